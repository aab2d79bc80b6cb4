"""Frames by way of the stored file are what the archive's DICOMweb would have given, and never out of date."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

from interop.demo.viewing import CHROMIUM, FLAGS
from interop.dicomweb.stored_frames import StoredFrames
from interop.dicomweb_relay import Relay

CT, ECHO = "1.2.826.0.1.9.1", "1.2.826.0.1.9.2"
STUDY, SERIES = "1.2.826.0.1.8", "1.2.826.0.1.8.1"
ANY_SYNTAX = "multipart/related; type=application/octet-stream; transfer-syntax=*"
OCTETS = 'multipart/related; type="application/octet-stream"'
ACCEPTS = [
    ANY_SYNTAX,  # OHIF's
    OCTETS,
    f"{OCTETS}; transfer-syntax={ExplicitVRLittleEndian}",
    f"{OCTETS}; transfer-syntax={ImplicitVRLittleEndian}",
    f"{OCTETS}; transfer-syntax={RLELossless}",
    f"{OCTETS}; transfer-syntax=1.2.3",
    'multipart/related; type="image/jpeg"; transfer-syntax=*',
    'multipart/related; type="image/dicom-rle"',
    "application/octet-stream",
    "*/*",
    "image/png",
]


def image(number: int, *, frames: int = 1, bits: int = 16, colours: int = 1, size: int = 48) -> FileDataset:
    """A picture of noise, in a study of its own."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    found.SpecificCharacterSet, found.PatientID, found.PatientName = "ISO_IR 192", "P8", "Παπαδόπουλος^Νίκος"
    found.StudyInstanceUID, found.SeriesInstanceUID = f"{STUDY}.{number}", f"{SERIES}.{number}"
    found.SOPClassUID = UltrasoundMultiFrameImageStorage if frames > 1 else CTImageStorage
    found.SOPInstanceUID = f"{SERIES}.{number}.1"
    found.Modality, found.InstanceNumber, found.PatientBirthDate, found.PatientSex = "CT", 1, "", ""
    found.StudyDate, found.StudyTime, found.StudyID, found.SeriesNumber = "20261202", "093000", "1", 1
    found.Rows, found.Columns, found.SamplesPerPixel, found.PixelRepresentation = size, size, colours, 0
    found.PhotometricInterpretation = "RGB" if colours == 3 else "MONOCHROME2"
    if colours == 3:
        found.PlanarConfiguration = 0
    found.BitsAllocated = found.BitsStored = bits
    found.HighBit = bits - 1
    if frames > 1:
        found.NumberOfFrames = frames
    length = frames * size * size * colours * bits // 8
    noise = numpy.random.default_rng(number).integers(0, 256, length, dtype=numpy.uint8).tobytes()
    found.add_new(0x7FE00010, "OB" if bits == 8 else "OW", noise + b"\0" * (length % 2))
    return found


def encapsulated(number: int, syntax: str, fragments: list[bytes], **shape: Any) -> FileDataset:
    found = image(number, bits=8, **shape)
    found.file_meta.TransferSyntaxUID = syntax
    found.PixelData = encapsulate(fragments)
    found["PixelData"].VR, found["PixelData"].is_undefined_length = "OB", True
    return found


def jpeg(seed: int, size: int = 48) -> bytes:
    pixels = numpy.random.default_rng(seed).integers(0, 256, (size, size), dtype=numpy.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def written(dataset: FileDataset) -> bytes:
    stream = io.BytesIO()
    syntax = dataset.file_meta.TransferSyntaxUID
    dcmwrite(
        stream,
        dataset,
        enforce_file_format=True,
        little_endian=syntax != ExplicitVRBigEndian,
        implicit_vr=syntax == ImplicitVRLittleEndian,
    )
    return stream.getvalue()


def with_icon(number: int) -> FileDataset:
    """Pixel data within a sequence, before the image's own; lengths undefined."""
    found = image(number)
    icon = Dataset()
    icon.Rows = icon.Columns = 8
    icon.SamplesPerPixel, icon.PhotometricInterpretation, icon.BitsAllocated = 1, "MONOCHROME2", 8
    icon.BitsStored, icon.HighBit, icon.PixelRepresentation, icon.PixelData = 8, 7, 0, bytes(64)
    icon["PixelData"].VR = "OB"
    icon.is_undefined_length_sequence_item = True
    found.IconImageSequence = [icon]
    found["IconImageSequence"].is_undefined_length = True
    return found


def changed(number: int, **values: Any) -> FileDataset:
    found = image(number)
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def with_private(number: int, size: int) -> FileDataset:
    """A long element before the pixels, full of what looks like some."""
    found = image(number)
    found.private_block(0x0029, "TEST", create=True).add_new(1, "OB", b"\xe0\x7f\x10\x00OW\0\0" * (size // 8))
    return found


def in_syntax(number: int, syntax: str, **shape: Any) -> FileDataset:
    found = image(number, **shape)
    found.file_meta.TransferSyntaxUID = syntax
    return found


def rle(number: int, **shape: Any) -> FileDataset:
    found = image(number, **shape)
    found.compress(RLELossless, generate_instance_uid=False)
    return found


def several_fragments(number: int) -> FileDataset:
    found = encapsulated(number, JPEGBaseline8Bit, [])
    picture = jpeg(number)
    picture += b"\0" * (-len(picture) % 4)
    found.PixelData = encapsulate([picture], fragments_per_frame=2, has_bot=False)
    assert found.PixelData.count(b"\xfe\xff\x00\xe0") >= 3
    return found


def padded(number: int) -> FileDataset:
    found = image(number)
    found.add_new(0xFFFCFFFC, "OB", bytes(10))
    return found


def one_bit(number: int) -> FileDataset:
    found = image(number, bits=8)
    found.BitsAllocated = found.BitsStored = 1
    found.HighBit = 0
    found.PixelData = found.PixelData[: 48 * 48 // 8]
    return found


MADE: dict[str, tuple[Callable[[int], FileDataset], bool]] = {  # by name: how, and whether OHIF's request goes past
    "explicit": (image, True),
    "implicit": (lambda n: in_syntax(n, ImplicitVRLittleEndian), True),
    "implicit, eight bits": (lambda n: in_syntax(n, ImplicitVRLittleEndian, bits=8), True),
    "of odd length": (lambda n: image(n, bits=8, size=45), True),
    "in colours": (lambda n: image(n, bits=8, colours=3), True),
    "of 32 bits": (lambda n: image(n, bits=32), True),
    "with an icon": (with_icon, True),
    "number of frames 1": (lambda n: changed(n, NumberOfFrames=1), True),
    "Greek PatientID": (lambda n: changed(n, PatientID="Π 1"), True),
    "PatientID with space": (lambda n: changed(n, PatientID=" P 1 "), True),
    "no PatientID": (lambda n: changed(n, PatientID=""), True),
    "PatientID of two values": (lambda n: changed(n, PatientID=["A", "B"]), True),
    "Latin-1": (lambda n: changed(n, SpecificCharacterSet="ISO_IR 100", PatientID="Ü", PatientName="Ü"), True),
    "PatientID with a bar": (lambda n: changed(n, PatientID="A|B"), False),
    "long private header": (lambda n: with_private(n, 300_000), True),
    "too long a header": (lambda n: with_private(n, 600_000), False),
    "cine": (lambda n: image(n, frames=5, bits=8, colours=3), True),
    "implicit cine": (lambda n: in_syntax(n, ImplicitVRLittleEndian, frames=3), True),
    "RLE": (rle, True),
    "RLE cine": (lambda n: rle(n, frames=4, bits=8), True),
    "JPEG": (lambda n: encapsulated(n, JPEGBaseline8Bit, [jpeg(n)]), True),
    "JPEG cine": (lambda n: encapsulated(n, JPEGBaseline8Bit, [jpeg(n), jpeg(n + 1), jpeg(n + 2)], frames=3), True),
    "JPEG in fragments": (several_fragments, True),
    "JPEG 2000": (lambda n: encapsulated(n, JPEG2000Lossless, [bytes(range(256)) * 3]), True),
    "trailing padding": (padded, True),
    "big endian": (lambda n: in_syntax(n, ExplicitVRBigEndian), False),
    "deflated": (lambda n: in_syntax(n, DeflatedExplicitVRLittleEndian), False),
    "too few pixels": (lambda n: changed(n, Rows=50), False),
    "no bits allocated": (lambda n: changed(n, BitsAllocated=None), False),
    "one bit": (one_bit, True),
    "no pixels": (lambda n: changed(n, PixelData=None), False),
}
MORE = {"cine": 5, "implicit cine": 3, "RLE cine": 4, "JPEG cine": 3}


def store(site: Any, dataset: FileDataset | bytes) -> str:
    content = dataset if isinstance(dataset, bytes) else written(dataset)
    with direct(site) as archive:
        answer = archive.post("/instances", content=content)
        answer.raise_for_status()
        return str(answer.json()["ID"])


def direct(site: Any) -> httpx.Client:
    auth = (site.orthanc.credentials.username, site.orthanc.credentials.password)
    return httpx.Client(base_url=site.orthanc.url, auth=auth, timeout=30, trust_env=False)


def path_of(dataset: Dataset, frame: int | str = 1) -> str:
    return (
        f"/dicom-web/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}/frames/{frame}"
    )


def seen(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """What the client sees, but for the boundary and what is new with every answer."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    body = answer.content
    if found := re.search(r'boundary="?([^";]+)', headers.get("content-type", "")):
        assert int(headers.pop("content-length")) == len(body)
        assert body.count(found.group(1).encode()) == 2
        body = body.replace(found.group(1).encode(), b"BOUNDARY")
        headers["content-type"] = headers["content-type"].replace(found.group(1), "BOUNDARY")
    elif answer.status_code != 200:
        body = re.sub(rb"[0-9a-f-]{30,}", b"", body)
        headers.pop("content-length", None)
    return answer.status_code, headers, body


@contextmanager
def only_the_plugin() -> Iterator[None]:
    async def get(self: StoredFrames, question: Any) -> None:
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoredFrames, "get", get)
        yield


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the archive is asked for."""
    found: list[str] = []

    def seen(original: Any) -> Any:
        async def asked(self: Relay, target: bytes, *rest: Any, **more: Any) -> Any:
            found.append(target.decode())
            return await original(self, target, *rest, **more)

        return asked

    for name in ("get", "post"):
        monkeypatch.setattr(Relay, name, seen(getattr(Relay, name)))
    return found


def in_silence(asked: list[str]) -> None:
    """Forgets what was asked, once nothing more is: a launch has the study read ahead."""
    while True:
        asked.clear()
        time.sleep(1.0)
        if not asked:
            return


def plugin(asked: list[str]) -> list[str]:
    """The frames that the plugin was asked for."""
    return [path for path in asked if path.startswith("/dicom-web/") and "/frames/" in path]


def test_answers_are_those_of_the_plugin_whatever_is_stored_and_accepted(site: Any, asked: list[str]) -> None:
    wrong, taken = [], {}
    with site.client(headers=site.bearer()) as client:
        for number, (name, (make, _)) in enumerate(MADE.items(), 1):
            dataset = make(number)
            store(site, dataset)
            for accept in ACCEPTS:
                for frame in range(1, MORE.get(name, 1) + 2):
                    path = path_of(dataset, frame)
                    asked.clear()
                    ours = seen(client.get(path, headers={"Accept": accept}))
                    taken.setdefault((name, accept), not plugin(asked))
                    again = seen(client.get(path, headers={"Accept": accept}))
                    with only_the_plugin():
                        theirs = seen(client.get(path, headers={"Accept": accept}))
                    if not ours == again == theirs:
                        wrong.append((name, accept, frame, ours[:2], again[:2], theirs[:2]))
    assert wrong == []
    assert {name: taken[name, ANY_SYNTAX] for name in MADE} == {name: past for name, (_, past) in MADE.items()}
    for accept in ("*/*", "application/octet-stream", OCTETS):
        assert taken["explicit", accept]
        assert taken["implicit", accept]
        assert not taken["RLE", accept]


def test_the_archives_own_answer_is_byte_for_byte_ours(site: Any) -> None:
    """The plugin asked without this server between, told the address by which clients reach this one."""
    forwarded = {"Forwarded": f"host={site.base.removeprefix('http://')};proto=http", "Accept": ANY_SYNTAX}
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        for number, dataset in enumerate((image(1), rle(2), image(3, frames=3)), 1):
            store(site, dataset)
            for frame in range(1, 4 if number == 3 else 2):
                ours = client.get(path_of(dataset, frame), headers={"Accept": ANY_SYNTAX})
                theirs = archive.get(path_of(dataset, frame), headers=forwarded)
                assert seen(ours)[2] == seen(theirs)[2]
                assert seen(ours)[1]["content-type"] == seen(theirs)[1]["content-type"]


def test_what_was_replaced_deleted_or_given_to_another_patient_is_never_shown_as_it_was(site: Any) -> None:
    with site.client(headers=site.bearer()) as client:
        for frames, first in ((1, 1), (4, 10)):
            before, after = image(first, frames=frames), image(first + 1, frames=frames)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                setattr(after, keyword, getattr(before, keyword))
            compressed = rle(first + 2, frames=frames)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                setattr(compressed, keyword, getattr(before, keyword))
            path = path_of(before, frames)
            for dataset in (before, after, compressed, before):
                name = store(site, dataset)
                for _ in range(3):
                    answer = client.get(path, headers={"Accept": ANY_SYNTAX})
                    assert answer.status_code == 200
                    assert f"transfer-syntax={dataset.file_meta.TransferSyntaxUID}" in answer.headers["content-type"]
                    size = 48 * 48 * 2
                    if dataset is not compressed:
                        assert dataset.PixelData[size * (frames - 1) : size * frames] in answer.content
            before.PatientID = "P9"
            with direct(site) as archive:
                moved = store(site, before)
                archive.delete(f"/instances/{name}").raise_for_status()
                for _ in range(3):
                    assert client.get(path, headers={"Accept": ANY_SYNTAX}).status_code == 200
                archive.delete(f"/instances/{moved}").raise_for_status()
            for _ in range(3):
                assert client.get(path, headers={"Accept": ANY_SYNTAX}).status_code == 404


def test_a_name_leads_to_no_other_study(site: Any, asked: list[str]) -> None:
    """The right instance under a wrong study or series is nobody's, as before."""
    one, other = image(1), image(2)
    for dataset in (one, other):
        store(site, dataset)
    with site.client() as client:
        assert client.get(site.launch(one.StudyInstanceUID)).status_code == 303
        assert client.get(path_of(one)).status_code == 200
        in_silence(asked)
        assert client.get(path_of(other)).status_code == 403
        assert asked == []
        mixed = path_of(other).replace(other.StudyInstanceUID, one.StudyInstanceUID, 1)
        assert client.get(mixed).status_code == 404
        mixed = path_of(one).replace(one.SeriesInstanceUID, other.SeriesInstanceUID, 1)
        assert client.get(mixed).status_code == 404


def test_a_study_under_two_patients_is_left_to_the_plugin(site: Any, asked: list[str]) -> None:
    one, other = image(1), image(2)
    other.StudyInstanceUID, other.PatientID = one.StudyInstanceUID, ""
    for dataset in (one, other):
        store(site, dataset)
    with site.client(headers=site.bearer()) as client:
        for dataset in (one, other):
            asked.clear()
            answer = client.get(path_of(dataset), headers={"Accept": ANY_SYNTAX})
            assert answer.status_code == 200
            assert dataset.PixelData in answer.content
            assert len(plugin(asked)) == 1


def test_many_ask_at_once_for_one_cine(site: Any, asked: list[str]) -> None:
    dataset = image(1, frames=40, bits=8, colours=3, size=200)
    store(site, dataset)
    size = 200 * 200 * 3

    async def all_of_them() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(
            base_url=site.base, headers=site.bearer(), limits=limits, trust_env=False, timeout=60
        ) as client:
            wanted = [client.get(path_of(dataset, n), headers={"Accept": ANY_SYNTAX}) for n in range(1, 41)]
            return await asyncio.gather(*wanted)

    for number, answer in enumerate(asyncio.run(all_of_them())):
        assert answer.status_code == 200
        assert dataset.PixelData[size * number : size * (number + 1)] in answer.content
    assert plugin(asked) == []
    assert len([path for path in asked if path.endswith("/attachments/dicom/data")]) == 1
    assert asked.count("/tools/find") == 1


def test_an_archive_killed_or_stopped_shows(site: Any) -> None:
    dataset = image(1, size=4096)  # 32 MB, far more than what lies between archive and client
    store(site, dataset)
    host, port = site.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.settimeout(30)
        bearer = site.bearer()["Authorization"]
        lines = [f"GET {path_of(dataset)} HTTP/1.1", f"Host: {host}:{port}", f"Authorization: {bearer}"]
        client.sendall("\r\n".join([*lines, f"Accept: {ANY_SYNTAX}", "", ""]).encode())
        received = client.recv(65536)
        assert received.startswith(b"HTTP/1.1 200")
        os.kill(site.orthanc.pid, signal.SIGKILL)
        size = len(received)
        while data := client.recv(2**20):
            size += len(data)
        assert size < 4096 * 4096 * 2
    with site.client(headers=site.bearer()) as http:
        answer = http.get(path_of(dataset), headers={"Accept": ANY_SYNTAX})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        asyncio.run(site.orthanc.stop(grace=5))
        asyncio.run(site.orthanc.start())
        started = time.monotonic()
        while http.get(path_of(dataset), headers={"Accept": ANY_SYNTAX}).status_code != 200:
            assert time.monotonic() - started < 30
            time.sleep(0.2)


def test_ohif_asks_in_a_way_that_goes_past_the_plugin(site: Any, asked: list[str]) -> None:
    frames: dict[str, str] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), headless=True)
        context = browser.new_context()  # the viewer's own files are loaded once
        for study in (CT, ECHO):
            page = context.new_page()
            page.on("request", lambda request: frames.setdefault(request.url, request.headers.get("accept", "")))
            page.goto(site.launch(study))
            page.wait_for_selector("canvas", timeout=60_000)
            page.wait_for_load_state("networkidle")
        browser.close()
    wanted = {url: accept for url, accept in frames.items() if "/frames/" in url}
    assert {url.split("/studies/")[1].split("/")[0] for url in wanted} == {CT, ECHO}
    assert set(wanted.values()) <= {ANY_SYNTAX, 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
    assert plugin(asked) == []
