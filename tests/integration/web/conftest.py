"""The HTTP doors as they are in use: a real server before a real Orthanc, with images of known content."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import uvloop
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from interop.access import system_agent
from interop.auth import Keys
from interop.dicomweb.archive import ONLY, NamedArchive
from interop.dicomweb_relay import Relay
from interop.http_app import HttpApp, http_app
from interop.http_server import HttpProtocol
from interop.orthanc.child import PrivateOrthanc
from interop.orthanc.storage import Storage
from interop.shipped import shipped
from interop.store import Store, open_store
from interop.testing.images import study_images
from interop.testing.ports import free_port
from interop.viewer import Assets
from tests.integration.conftest import make_orthanc
from tests.viewed_studies import STUDIES
from tests.viewer_screen import Open, Screen, browser

OHIF = Path(__file__).resolve().parents[3] / "build" / "ohif" / "dist"
CT, ECHO, PDF, BIG = "1.2.826.0.1.9.1", "1.2.826.0.1.9.2", "1.2.826.0.1.9.3", "1.2.826.0.1.9.4"


@dataclass
class Urls:
    """Where clients find the server."""

    base_url: str
    public_url: str = ""


@dataclass
class Site:
    """A running server."""

    base: str
    orthanc: PrivateOrthanc
    http: HttpApp
    store: Store
    loop: asyncio.AbstractEventLoop
    patients: dict[str, str]

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Something that has to happen in the server's own loop."""

        async def called() -> Any:
            return await work()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(60)

    def bearer(self, *scopes: str, who: str = "dr") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.http.tokens.issue(who, scopes or ('system/*.cruds',))}"}

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.base, timeout=30, trust_env=False, **options)

    def launch(self, *studies: str, who: str = "dr") -> str:
        return str(self.launched(*studies, who=who)["url"])

    def launched(self, *studies: str, who: str = "dr") -> dict[str, Any]:
        """The whole answer."""
        with self.client(headers=self.bearer(who=who)) as client:
            answer = client.post("/api/v1/launch", json={"studies": studies})
            assert answer.status_code == 200, answer.text
            told: dict[str, Any] = answer.json()
            return told


def item(modality: str, study: str) -> Dataset:
    """A worklist item."""
    step = Dataset()
    step.Modality = modality
    step.ScheduledProcedureStepID = "S1"
    step.ScheduledProcedureStepDescription = "Test"
    whole = Dataset()
    whole.PatientName = "Παπαδόπουλος^Νίκος"
    whole.PatientID = "P1"
    whole.AccessionNumber = f"ACC{study[-1]}"
    whole.StudyInstanceUID = study
    whole.RequestedProcedureID = "R1"
    whole.ScheduledProcedureStepSequence = [step]
    return whole


def images() -> Iterator[Dataset]:
    """A CT of five slices, a cine, a PDF, and a slice in the byte order that Orthanc 1.10 cannot hand on as it is."""
    now = datetime(2026, 8, 1, 10, tzinfo=UTC)
    yield from study_images(item("CT", CT), aet="CT1", images=5, now=now)
    yield from study_images(item("US", ECHO), aet="US1", images=4, now=now)
    [document] = study_images(item("OT", PDF), aet="CT1", images=1, now=now)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(document, keyword)
    document.SOPClassUID = document.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    document.Modality = "DOC"
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocument = b"%PDF-1.4 not much of one"
    yield document
    [slice_] = study_images(item("CT", BIG), aet="CT1", images=1, now=now)
    slice_.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    slice_["PixelData"].value = swapped(slice_.PixelData)
    yield slice_


def swapped(pixels: bytes) -> bytes:
    turned = bytearray(pixels)
    turned[0::2], turned[1::2] = pixels[1::2], pixels[0::2]
    return bytes(turned)


def stored(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    dataset.save_as(buffer, enforce_file_format=True, little_endian=not big, implicit_vr=False)
    return buffer.getvalue()


def fill(orthanc: PrivateOrthanc, datasets: Iterable[Dataset]) -> None:
    auth = (orthanc.credentials.username, orthanc.credentials.password)
    with httpx.Client(base_url=orthanc.url, auth=auth, timeout=30, trust_env=False) as client:
        for dataset in datasets:
            client.post("/instances", content=stored(dataset)).raise_for_status()


def register(tx: Any, studies: Iterable[str] = (CT, ECHO, PDF, BIG)) -> dict[str, str]:
    patients = {}
    for study in studies:
        patient = tx.create({"resourceType": "Patient", "name": [{"text": "Νίκος Παπαδόπουλος"}]})
        identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}
        resource = {"resourceType": "ImagingStudy", "status": "available", "identifier": [identifier]}
        tx.create({**resource, "subject": {"reference": patient.reference}, "numberOfInstances": 5})
        patients[study] = patient.reference
    return patients


@contextmanager
def served(orthanc: PrivateOrthanc, folder: Path, records: Callable[[Any], dict[str, str]]) -> Iterator[Site]:
    """The server in a thread of its own before an archive; ``records`` writes what it knows of the studies there."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    found: list[Site] = []
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        store = await open_store(f"sqlite:///{folder}/interop.db")
        relay = Relay(orthanc.url, orthanc.credentials.username, orthanc.credentials.password)
        assets = Assets(OHIF, (shipped("ohif") / "app-config.js").read_bytes())
        http = http_app(
            store,
            [NamedArchive(ONLY, relay, path_of=Storage(orthanc.folder / "storage").path)],
            Keys.load(folder),
            urls=Urls(base),
            assets=assets,
            checks={"database": store.ping},
            ahead_series=20,  # whenever a test says so
        )
        patients = await store.unit(system_agent("test"), records)
        config = uvicorn.Config(
            http.app, port=port, http=HttpProtocol, log_level="warning", access_log=False, loop="none", lifespan="off"
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        found.append(Site(base, orthanc, http, store, asyncio.get_running_loop(), patients))
        started.set()
        await stop.wait()
        server.should_exit = True
        await running
        await relay.close()
        await store.close()

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    assert started.wait(30)
    try:
        yield found[0]
    finally:
        found[0].loop.call_soon_threadsafe(stop.set)
        thread.join(30)


@pytest.fixture
def site(orthanc: PrivateOrthanc, tmp_path: Path) -> Iterator[Site]:
    """The server, and the archive filled with a few studies."""
    fill(orthanc, images())
    with served(orthanc, tmp_path, register) as found:
        yield found


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server before one archive; a study is stored when it is first opened."""
    folder: Path = tmp_path_factory.mktemp("hospital")
    orthanc = make_orthanc(folder)
    asyncio.run(orthanc.start())
    try:
        uids = [study.uid for study in STUDIES.values()]
        with served(orthanc, folder, lambda tx: register(tx, uids)) as site:
            yield site
    finally:
        asyncio.run(orthanc.stop(grace=0.0))


@pytest.fixture(scope="module")
def viewer(hospital: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Stores studies, launches them and opens them, in one browser."""
    folder = tmp_path_factory.mktemp("coders")
    with browser() as context:

        def open_(*names: str) -> Screen:
            keep(hospital, folder, *names)
            for page in context.pages:
                page.close()
            return Screen(context.new_page(), hospital.launch(*(STUDIES[name].uid for name in names)))

        yield open_


def keep(site: Site, folder: Path, *names: str) -> None:
    """Store those of the studies that the archive has not yet."""
    auth = (site.orthanc.credentials.username, site.orthanc.credentials.password)
    with httpx.Client(base_url=site.orthanc.url, auth=auth, timeout=60, trust_env=False) as client:
        for name in names:
            if not client.get("/dicom-web/studies", params={"StudyInstanceUID": STUDIES[name].uid}).json():
                for file in STUDIES[name].files(folder):
                    client.post("/instances", content=file).raise_for_status()
