"""The DICOMweb door against Orthanc's own, by 1, 8 and 32 clients: metadata, studies, frames, storing."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench import archive, images, memory
from bench.figures import Figure, rate_figure
from bench.load import Load, Outcome
from bench.parts import ROOT, MeasurementError, Server, generate
from bench.streams import MARK, Transferred, Transfers

CLIENTS = (1, 8, 32)
ROUNDS = 3
COLD_ROUNDS = {1: 30, 8: 6, 32: 6}  # by clients, even: who asks second finds the files in memory
SERIES, INSTANCES = 2, 500  # of the study of 500 MB
SMALL = 64  # pixels, of the side of an image whose metadata are asked for
SECONDS = 1.0  # of a round
LONG_SECONDS = 2.0  # of a round of whole studies
US_FRAMES, XA_FRAMES = 87, 60
SETTLING = 5.0  # seconds in which both ends finish with what was just stored: asking is measured, not storing
STORED = {1: 100, 8: 20, 32: 10}  # images in a client's request
SETTINGS = {"INTEROP_READ_AHEAD_SERIES": "0"}  # else nothing would be cold
GOAL, WARM_GOAL, GROWTH_GOAL = "≥ 0.9×", "≥ 20×", "< 64 MB"
TITLE = "DICOMweb"
EXPLANATION = f"""\
Through the proxy, with a bearer, authorised and audited, and from Orthanc's DICOMweb plugin directly, in turn, {ROUNDS}
rounds; the ratio is the middle one of the rounds'. 1, 8 and 32 clients, one request under way for each. Metadata of a
series of {INSTANCES} instances: cold, all clients ask at once for what nobody has asked for before, in each round
({", ".join(map(str, COLD_ROUNDS.values()))} of them) for another series, now the one first and now the other, and
nothing is read ahead; warm, it has been asked for. The study has {SERIES * INSTANCES:,} CT images of 512 kB; what is
counted of it are bytes, as few answers end within a round, and the memory is that of the server's processes but
Orthanc. Frames: of CT images of 512 kB, of an ultrasound loop of {US_FRAMES} JPEGs in colour, of an angiography of
{XA_FRAMES} frames of 256 kB in one file of 16 MB.
Storing: a STOW-RS request of each client, with images of 512 kB that the archive does not have."""

# glibc's: else half of the generator's time goes, now and then, into memory that it gives back after each piece.
_KEEPS_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(256 * 1024 * 1024),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TOP_PAD_": str(16 * 1024 * 1024),
}
_BOUNDARY = b"0b9c1d5e4f7a4c2e8d3b6a1f5e9c7d2a"  # as long as clients make them
_MULTIPART = 'multipart/related; type="application/{}"; transfer-syntax=*'


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two who are asked."""

    port: int
    authorization: str

    def get(self, path: str, accept: str) -> str:
        """The request for a path."""
        return self._head("GET", path, [f"Accept: {accept}"])

    def post(self, path: str, kind: str, length: int) -> str:
        """The head of a request that stores."""
        fields = [f"Content-Type: {kind}", f"Content-Length: {length}", "Accept: application/dicom+json"]
        return self._head("POST", path, fields)

    def _head(self, method: str, path: str, fields: Sequence[str]) -> str:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Authorization: {self.authorization}"]
        return "\r\n".join([*lines, *fields]) + "\r\n\r\n"


def measure(server: Server, folder: Path) -> list[Figure]:
    """All of it; MeasurementError where an answer is wrong."""
    ours = Side(server.http_port, f"Bearer {server.token}")
    theirs = Side(server.orthanc_port, archive.orthanc_credentials(server))
    study = images.make(folder / "study", INSTANCES, series=SERIES)
    small = images.make(folder / "small", INSTANCES, series=sum(COLD_ROUNDS.values()), side=SMALL)
    loops = {"us": images.make_us(folder / "us", US_FRAMES), "xa": images.make_xa(folder / "xa", XA_FRAMES)}
    for name in ("study", "small", "xa"):
        images.store(folder / name, server.dicom_port, dict(server.environment))
    images.store(folder / "us", server.dicom_port, dict(server.environment), "-xy")
    counts = {study: SERIES * INSTANCES, small: sum(COLD_ROUNDS.values()) * INSTANCES, loops["us"]: 1, loops["xa"]: 1}
    for uid, count in counts.items():
        archive.eventually("the ImagingStudy", lambda uid=uid, count=count: archive.shown(server, uid) == count)  # type: ignore[misc]
    time.sleep(SETTLING)
    frames = {
        "frames of CT": _frames(server, study, 1)[:20],
        "frames of an ultrasound loop": _frames(server, loops["us"], US_FRAMES),
        "frames of an angiography": _frames(server, loops["xa"], XA_FRAMES),
    }
    figures = _cold(server, (ours, theirs), small) + _warm(server, (ours, theirs), small)
    figures += _whole(server, (ours, theirs), study)
    for name, paths in frames.items():
        for clients in CLIENTS:
            figures += _framed((ours, theirs), name, paths, clients)
    for clients in CLIENTS:
        figures += _storing((ours, theirs), folder, clients)
    return figures


def _over(clients: int) -> str:
    return f"{clients} client{'s' if clients > 1 else ''}"


def _series(server: Server, study: str) -> list[str]:
    """The paths of its metadata, series by series."""
    rows = json.loads(server.request("GET", f"/dicom-web/studies/{study}/series"))
    return [f"/dicom-web/studies/{study}/series/{row['0020000E']['Value'][0]}/metadata" for row in rows]


def _frames(server: Server, study: str, frames: int) -> list[str]:
    rows = json.loads(server.request("GET", f"/dicom-web/studies/{study}/instances"))
    return [
        f"/dicom-web/studies/{study}/series/{row['0020000E']['Value'][0]}/instances/{row['00080018']['Value'][0]}"
        f"/frames/{number}"
        for row in rows
        for number in range(1, frames + 1)
    ]


def _transfer(job: Transfers, answers: int) -> Transferred:
    """What the generator of long bodies counted; MeasurementError if answers are wrong, or too few are whole."""
    command, environment = [sys.executable, "-m", "bench.streams"], {**os.environ, **_KEEPS_MEMORY}
    done = subprocess.run(  # noqa: S603
        command, input=json.dumps(asdict(job)), capture_output=True, text=True, cwd=ROOT, env=environment
    )
    if done.returncode:
        raise MeasurementError(f"the generator of long bodies failed: {done.stderr[-2000:]}")
    found = Transferred(**json.loads(done.stdout))
    if found.wrong or found.whole < answers:
        raise MeasurementError(f"{found.whole} whole answers, and wrong ones, such as: {found.wrong[:1]}")
    return found


def _cold(server: Server, sides: tuple[Side, Side], study: str) -> list[Figure]:
    ours, theirs = sides
    figures, paths = [], iter(_series(server, study))
    for clients in CLIENTS:
        direct: list[float] = []
        proxied: list[float] = []
        for number, path in enumerate(itertools.islice(paths, COLD_ROUNDS[clients])):
            both = ((theirs, direct), (ours, proxied))
            for side, times in both if number % 2 else reversed(both):
                job = Transfers(side.port, side.get(path, "application/dicom+json"), clients=clients)
                times.append(_transfer(job, clients).seconds)
        ratio = median(other / mine for mine, other in zip(proxied, direct, strict=True))
        what = f"metadata of {INSTANCES} instances, {_over(clients)} at once, from Orthanc"
        figures += [
            Figure(what, "", f"{median(direct) * 1000:.0f} ms"),
            Figure("the same through the proxy, cold", "", f"{median(proxied) * 1000:.0f} ms", f"{ratio:.2f}×", GOAL),
        ]
    return figures


def _warm(server: Server, sides: tuple[Side, Side], study: str) -> list[Figure]:
    paths, figures = _series(server, study)[: len(CLIENTS)], []
    for path in paths:
        server.request("GET", path)
    for clients in CLIENTS:
        direct, proxied = _rounds(sides, paths, "application/dicom+json\r\nAccept-Encoding: gzip", clients)
        what = f"metadata of {INSTANCES} instances, {_over(clients)}, from Orthanc"
        figures += [
            rate_figure(what, direct),
            rate_figure("the same through the proxy, warm", proxied, ratio=_ratio(direct, proxied), goal=WARM_GOAL),
        ]
    return figures


def _rounds(
    sides: tuple[Side, Side], paths: Sequence[str], accept: str, clients: int
) -> tuple[list[Outcome], list[Outcome]]:
    ours, theirs = sides
    direct: list[Outcome] = []
    proxied: list[Outcome] = []
    for _ in range(ROUNDS):
        for side, outcomes in ((theirs, direct), (ours, proxied)):
            templates = [side.get(path, accept) for path in paths]
            outcomes.append(generate(Load(side.port, "http", templates, connections=clients, seconds=SECONDS)))
    return direct, proxied


def _ratio(direct: Sequence[Outcome], proxied: Sequence[Outcome]) -> str:
    return f"{median(ours.rate / theirs.rate for ours, theirs in zip(proxied, direct, strict=True)):.2f}× of direct"


def _framed(sides: tuple[Side, Side], what: str, paths: Sequence[str], clients: int) -> list[Figure]:
    direct, proxied = _rounds(sides, paths, _MULTIPART.format("octet-stream"), clients)
    megabytes = median(outcome.received / outcome.seconds / 1e6 for outcome in proxied)
    through = f"the same through the proxy ({megabytes:,.0f} MB/s)"
    return [
        rate_figure(f"{what}, {_over(clients)}, from Orthanc", direct),
        rate_figure(through, proxied, ratio=_ratio(direct, proxied), goal=GOAL),
    ]


def _whole(server: Server, sides: tuple[Side, Side], study: str) -> list[Figure]:
    ours, theirs = sides
    path, accept, figures = f"/dicom-web/studies/{study}", _MULTIPART.format("dicom"), []
    before = memory.resident(server.pid)
    memory.forget_peak(server.pid)
    for clients in CLIENTS:
        direct: list[Transferred] = []
        proxied: list[Transferred] = []
        for _ in range(ROUNDS):
            for side, found in ((theirs, direct), (ours, proxied)):
                job = Transfers(side.port, side.get(path, accept), clients=clients, seconds=LONG_SECONDS)
                found.append(_transfer(job, 0))
        ratio = median(mine.megabytes / other.megabytes for mine, other in zip(proxied, direct, strict=True))
        rates = [f"{median(each.megabytes for each in found):,.0f} MB/s" for found in (direct, proxied)]
        figures += [
            Figure(f"a study of 500 MB, {_over(clients)}, from Orthanc", rates[0]),
            Figure("the same through the proxy", rates[1], "", f"{ratio:.2f}× of direct", GOAL),
        ]
    once = _transfer(Transfers(ours.port, ours.get(path, accept)), 1)
    if once.longest < SERIES * INSTANCES * 2 * images.SIDE**2:
        raise MeasurementError(f"the study has {once.longest} bytes")
    most = memory.peak(server.pid)
    grown = f"{before:.0f} → {most:.0f} MB at most"
    return [*figures, Figure("the server's memory meanwhile", f"+{most - before:.0f} MB", grown, "", GROWTH_GOAL)]


def _storing(sides: tuple[Side, Side], folder: Path, clients: int) -> list[Figure]:
    ours, theirs = sides
    count = STORED[clients]
    body = folder / f"stow-{clients}"
    kind = _request(body, count)
    direct: list[float] = []
    proxied: list[float] = []
    for number in range(ROUNDS):
        for place, (side, rates) in enumerate(((theirs, direct), (ours, proxied))):
            head = side.post("/dicom-web/studies", kind, body.stat().st_size)
            first = 1000 * (2 * number + place) + 10_000 * clients
            done = _transfer(Transfers(side.port, head, str(body), clients, 0, first), clients)
            rates.append(clients * count / done.seconds)
    ratio = median(mine / other for mine, other in zip(proxied, direct, strict=True))
    return [
        Figure(f"STOW-RS of {count} CT images, {_over(clients)}, to Orthanc", f"{median(direct):,.0f}/s"),
        Figure("the same through the proxy", f"{median(proxied):,.0f}/s", "", f"{ratio:.2f}× of direct", GOAL),
    ]


def _request(path: Path, count: int) -> str:
    """Writes a body in which the UIDs of study, series and images have the generator's mark; its Content-Type."""
    mark = MARK.decode("ascii")
    images.make(path.with_suffix(".images"), count, study_uid="1.2.3.1", patient="STOW")
    with path.open("wb") as written:
        for number, file in enumerate(sorted(path.with_suffix(".images").iterdir())):
            data = images.marked(file, f"1.2.826.0.1.3680043.8.498.1{mark}", number)
            written.write(b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (_BOUNDARY, data))
        written.write(b"--%b--\r\n" % _BOUNDARY)
    return f'multipart/related; type="application/dicom"; boundary={_BOUNDARY.decode("ascii")}'
