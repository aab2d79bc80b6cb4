"""Worklist, studies and frames: what needs Orthanc."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench import fhir, images
from bench.figures import Figure, rate_figure
from bench.load import Load, Outcome
from bench.parts import MeasurementError, Server, generate
from bench.stock import SYSTEM

ORDERS = 20
STUDY = 200
ROUNDS = 3
CONNECTIONS = (1, 4, 16)  # of those who ask for frames
TITLE = "Worklist, studies, frames"
EXPLANATION = f"""\
An order's way to the worklist is counted from the 201 to the end of the first `findscu` that finds it, its start of
some tens of milliseconds included. A study of {STUDY} CT images (512 × 512 × 16 bit, 100 MB) is stored by `storescu` on
one association; complete is when the ImagingStudy shows all of them. Frames of 512 kB are asked for over 1, 4 and
16 connections, through the proxy with a bearer and from Orthanc directly, in turn."""


def measure(server: Server, folder: Path) -> list[Figure]:
    """All three, in that order."""
    patient = json.loads(server.request("POST", "/fhir/Patient", _patient()))["id"]
    return [*_worklist(server, patient), *_study(server, patient, folder), *_frames(server, folder)]


def _patient() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": "ARCHIVE"}],
        "name": [{"family": "Παπαδόπουλος", "given": ["Νίκος"]}],
    }


def _placed(server: Server, patient: str, number: str) -> tuple[str, str]:
    """Accession number and StudyInstanceUID of a new CT order."""
    order = json.loads(server.request("POST", "/fhir/ServiceRequest", fhir.placed(patient, number, "CT")))
    found = {"accession": "", "study": ""}
    for identifier in order["identifier"]:
        codes = [coding.get("code") for coding in identifier.get("type", {}).get("coding", [])]
        if "ACSN" in codes:
            found["accession"] = identifier["value"]
        if identifier.get("system") == "urn:dicom:uid":
            found["study"] = identifier["value"].removeprefix("urn:oid:")
    return found["accession"], found["study"]


def eventually(what: str, probe: Callable[[], bool], seconds: float = 60.0) -> float:
    """Seconds until the probe holds."""
    started = time.perf_counter()
    while not probe():
        if time.perf_counter() - started > seconds:
            raise MeasurementError(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)
    return time.perf_counter() - started


def _worklist(server: Server, patient: str) -> list[Figure]:
    waits, queries = [], []
    for number in range(ORDERS):
        accession, _ = _placed(server, patient, f"WL{number:05d}")
        waits.append(eventually("the order in the worklist", lambda key=accession: _found(server, key)))  # type: ignore[misc]
        started = time.perf_counter()
        _found(server, accession)
        queries.append(time.perf_counter() - started)
    waits.sort()
    wait = f"{1000 * median(waits):.0f} / {1000 * waits[-1]:.0f} ms"
    return [
        Figure(f"order committed → answer of the worklist ({ORDERS} orders)", "", wait, "", "≤ 1 s"),
        Figure("`findscu` alone", "", f"{1000 * median(queries):.0f} / {1000 * max(queries):.0f} ms"),
    ]


def _found(server: Server, accession: str) -> bool:
    keys = [f"AccessionNumber={accession}", "PatientID", "ScheduledProcedureStepSequence[0].Modality=CT"]
    command = ["findscu", "-W", "-X", "-aet", "CT1", "-aec", "ORTHANC", "127.0.0.1", str(server.dicom_port)]
    with tempfile.TemporaryDirectory() as answers:
        command += ["-od", answers, *(part for key in keys for part in ("-k", key))]
        subprocess.run(  # noqa: S603
            command, env={**server.environment, "TCP_NODELAY": "1"}, check=True, capture_output=True
        )
        return any(Path(answers).iterdir())


def _study(server: Server, patient: str, folder: Path) -> list[Figure]:
    accession, uid = _placed(server, patient, "STUDY")
    images.make(folder / "study", STUDY, study_uid=uid, accession=accession, patient="ARCHIVE")
    started = time.perf_counter()
    images.store(folder / "study", server.dicom_port, dict(server.environment))
    stored = time.perf_counter() - started
    lag = eventually("the ImagingStudy complete", lambda: _instances(server, uid) == STUDY)
    return [
        Figure(f"C-STORE of {STUDY} images by storescu", f"{STUDY / stored:,.0f}/s", f"{stored:.2f} s together"),
        Figure("last image stored → ImagingStudy complete", "", f"{1000 * lag:.0f} ms", "", "≤ 1 s"),
        Figure("first image → ImagingStudy complete", f"{STUDY / (stored + lag):,.0f}/s", f"{stored + lag:.2f} s"),
    ]


def _instances(server: Server, uid: str) -> int:
    found = json.loads(server.request("GET", f"/fhir/ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:{uid}"))
    studies = [entry["resource"] for entry in found.get("entry", [])]
    if studies and not studies[0].get("basedOn"):
        raise MeasurementError("the study is not linked to its order")
    return int(studies[0].get("numberOfInstances", 0)) if studies else 0


def _frames(server: Server, folder: Path) -> list[Figure]:
    credentials = orthanc_credentials(server)
    bearer = f"Bearer {server.token}"
    uid = images.make(folder / "frames", 20)
    images.store(folder / "frames", server.dicom_port, dict(server.environment))
    eventually("the ImagingStudy of the frames", lambda: shown(server, uid) == 20)
    listed = json.loads(server.request("GET", f"/dicom-web/studies/{uid}/instances"))
    paths = [
        f"/dicom-web/studies/{uid}/series/{row['0020000E']['Value'][0]}/instances/{row['00080018']['Value'][0]}/frames/1"
        for row in listed
    ]
    return [row for connections in CONNECTIONS for row in _rates(server, paths, credentials, bearer, connections)]


def _rates(server: Server, paths: list[str], credentials: str, bearer: str, connections: int) -> list[Figure]:
    """Orthanc and the proxy in turn; the ratio is the middle one of the rounds', so that a slow minute hits both."""
    direct: list[Outcome] = []
    proxied: list[Outcome] = []
    for _ in range(ROUNDS):
        for port, secret, outcomes in (
            (server.orthanc_port, credentials, direct),
            (server.http_port, bearer, proxied),
        ):
            templates = [_get(port, path, secret) for path in paths]
            outcomes.append(generate(Load(port, "http", templates, connections=connections, seconds=4)))
    ratio = median(ours.rate / theirs.rate for ours, theirs in zip(proxied, direct, strict=True))
    megabytes = median(outcome.received / outcome.seconds / 1e6 for outcome in proxied)
    over = f"over {connections} connection{'s' if connections > 1 else ''}"
    return [
        rate_figure(f"frames of 512 kB {over}, from Orthanc directly", direct),
        rate_figure(
            f"the same through the proxy ({megabytes:,.0f} MB/s)",
            proxied,
            ratio=f"{ratio:.2f}× of direct",
            goal="≥ 0.9×",
        ),
    ]


def shown(server: Server, uid: str) -> int:
    found = json.loads(server.request("GET", f"/fhir/ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:{uid}"))
    return sum(int(entry["resource"].get("numberOfInstances", 0)) for entry in found.get("entry", []))


def _get(port: int, path: str, authorization: str) -> str:
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: {authorization}",
        'Accept: multipart/related; type="application/octet-stream"; transfer-syntax=*',
    ]
    return "\r\n".join(lines) + "\r\n\r\n"


def orthanc_credentials(server: Server) -> str:
    """Those that `up` generated: only the server's own user can read the file."""
    for path in Path(server.environment["INTEROP_DATA_DIR"]).rglob("*.json"):
        users = json.loads(path.read_text()).get("RegisteredUsers")
        if users:
            name, password = next(iter(users.items()))
            return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
    raise MeasurementError("no configuration of the private Orthanc in the data directory")
