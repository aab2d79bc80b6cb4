"""All HTTP doors on a store in a temporary folder, with an archive that answers as it is told."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx
import orjson
import pytest
import uvloop

from interop.access import system_agent
from interop.auth import Bindings, Keys, Tokens
from interop.errors import UnavailableError
from interop.fhir.query import Query
from interop.fhir_api import fhir_routes
from interop.hl7_api import hl7_routes
from interop.http_app import HttpApp, http_app
from interop.imaging_api import match_routes, pacs_routes
from interop.parts import site
from interop.settings import Settings
from interop.store import Store, open_store
from interop.viewer import Assets
from interop.workflow import resources
from interop.workflow.site import Site
from tests.scripted_archive import running

__all__ = ["running"]

STUDY_A, STUDY_B = "1.2.3.1", "1.2.3.2"


@dataclass
class FakeAnswer:
    """An answer in pieces."""

    status: int
    headers: list[tuple[bytes, bytes]]
    pieces: list[bytes]
    ends_with_connection: bool = False
    closed: bool = False

    def header(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)

    async def chunk(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def body(self, limit: int) -> bytes:
        return b"".join(self.pieces)

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeArchive:
    """Holds studies A and B of one patient; searches are answered from them, everything else as scripted."""

    studies: list[str] = field(default_factory=lambda: [STUDY_A, STUDY_B])
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    answer: Callable[[str, dict[str, str]], FakeAnswer] | None = None
    down: bool = False
    twice: dict[str, list[str]] = field(default_factory=dict)  # studies that stand under these patients
    Answer: ClassVar[type[FakeAnswer]] = FakeAnswer

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> FakeAnswer:
        path, named = target.decode(), {name.decode().lower(): value.decode() for name, value in headers}
        self.asked.append((path, named))
        if self.down:
            raise UnavailableError("the image archive does not answer", retry_after=10)
        search = re.fullmatch(r"/dicom-web/(studies|series|instances)(\?.*)?", path)
        if search:
            wanted = re.search(r"StudyInstanceUID=([0-9.,]+)", path)
            shown = [uid for uid in self.studies if not wanted or uid in wanted.group(1).split(",")]
            rows = [
                {"0020000D": {"vr": "UI", "Value": [uid]}} | patient
                for uid in shown
                for patient in ([{"00100020": {"Value": [who]}} for who in self.twice.get(uid, [])] or [{}])
            ]
            return FakeAnswer(200, [(b"content-type", b"application/dicom+json")], [orjson.dumps(rows)])
        if self.answer is not None:
            return self.answer(path, named)
        body = b"[{}]" if path.endswith("/metadata") else b"pixels"
        return FakeAnswer(200, [(b"content-type", b"image/jpeg"), (b"content-length", b"%d" % len(body))], [body])

    async def post(self, target: bytes, *_asked: object, **_more: object) -> FakeAnswer:
        assert target == b"/tools/find", "nothing is stored here"
        self.asked.append((target.decode(), {}))
        if self.down:
            raise UnavailableError("the image archive does not answer", retry_after=10)
        return FakeAnswer(200, [], [b"[]"])  # no study has a name by which it could be asked for


@dataclass
class Urls:
    """Where clients find the server."""

    base_url: str = "http://testserver"
    public_url: str = ""


@dataclass
class Web:
    """The doors and what tests do with them."""

    http: HttpApp
    store: Store
    archive: FakeArchive
    patients: dict[str, str]

    def client(self, *, address: str = "192.0.2.7", **options: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.http.app, client=(address, 50000))
        return httpx.AsyncClient(transport=transport, base_url="http://testserver", **options)

    def bearer(self, *scopes: str, who: str = "dr", patient: str | None = None) -> dict[str, str]:
        token = self.http.tokens.issue(who, scopes or ("system/*.cruds",), patient=patient)
        return {"Authorization": f"Bearer {token}"}

    @asynccontextmanager
    async def viewer(self, *studies: str, who: str = "dr") -> AsyncIterator[httpx.AsyncClient]:
        """A browser that has opened a launch of these studies."""
        async with self.client() as client:
            launched = await client.post("/api/v1/launch", json={"studies": studies}, headers=self.bearer(who=who))
            assert launched.status_code == 200, launched.text
            opened = await client.get(launched.json()["url"])
            assert opened.status_code == 303, opened.text
            yield client

    async def events(self, **match: Any) -> list[Any]:
        rows = await self.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=500)))
        return [
            row
            for row in rows
            if all(getattr(row.event, name, getattr(row.agent, name, None)) == value for name, value in match.items())
        ]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    """Bodies past ASGI depend on the loop's transports: they run on the server's loop as well as on Python's own."""
    both = item.path.stem in ("test_body_to_socket", "test_stored_frames")
    return {"asyncio": asyncio.new_event_loop} | ({"uvloop": uvloop.new_event_loop} if both else {})


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder that looks like OHIF's dist."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(
        '<!doctype html><html><head><link rel="manifest" href="/manifest.json"><script>window.PUBLIC_URL="/"</script>'
        '<script src="/app-config.js"></script></head><body><div id="root"></div></body></html>'
    )
    (folder / "app-config.js").write_text("window.config = { demo: 'https://elsewhere.example' }")
    (folder / "app.bundle.0f6159c501addfe9.js").write_text("console.log('viewer');\n" * 200)
    (folder / "manifest.json").write_text("{}")
    (folder / "assets" / "icon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("not to be served")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
async def store(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Store]:
    shutil.copyfile(sqlite_template, tmp_path / "interop.db")
    opened = await open_store(f"sqlite:///{tmp_path}/interop.db")
    yield opened
    await opened.close()


def _register(tx: Any) -> dict[str, str]:
    patients = {}
    for uid, family in ((STUDY_A, "Παπαδόπουλος"), (STUDY_B, "Other")):
        patient = tx.create({"resourceType": "Patient", "name": [{"family": family, "given": ["Νίκος"]}]})
        study = {
            "resourceType": "ImagingStudy",
            "status": "available",
            "identifier": [
                {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"},
                {
                    "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]},
                    "system": "urn:acc",
                    "value": f"ACC{uid[-1]}",
                },
            ],
            "subject": {"reference": patient.reference},
            "description": "CT <b>head</b>",
            "started": "2026-08-01T10:15:00+03:00",
            "numberOfInstances": 8,
        }
        tx.create(study)
        patients[uid] = patient.reference
    return patients


@pytest.fixture(scope="session")
def rules() -> Site:
    """The site's rules and mapping tables, which take a moment to compile."""
    return site(Settings.of({}))


@pytest.fixture
async def web(store: Store, dist: Path, tmp_path: Path, rules: Site) -> Web:
    archive = FakeArchive()

    async def database() -> None:
        await store.ping()

    keys = Keys.load(tmp_path)
    http = http_app(
        store,
        archive,
        keys,
        bindings=Bindings(Tokens(keys), Urls().base_url),
        urls=Urls(),
        assets=Assets(dist, b"window.config = {}"),
        checks={"database": database},
        fhir=fhir_routes(store, rules, writer=resources, base_url="http://testserver/fhir"),
        hl7=hl7_routes(store, rules),
        matching=match_routes(store, rules),
        pacs=pacs_routes(store, [("orthanc", "orthanc")]),
    )
    patients = await store.unit(system_agent("test"), _register)
    return Web(http, store, archive, patients)
