"""The server as it runs, before an archive on a bare socket that behaves as told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from interop.auth import Keys
from interop.dicomweb.archive import ONLY, NamedArchive
from interop.dicomweb.patient_ids import orthanc_id
from interop.dicomweb_relay import Relay
from interop.http_app import HttpApp, http_app
from interop.http_server import HttpProtocol, HttpServer
from interop.orthanc.storage import Storage
from interop.store import Store

STUDY = "1.2.3.1"
FRAME = f"/dicom-web/studies/{STUDY}/series/1.2.3.4/instances/1.2.3.5/frames/1"
FRAME_BYTES = bytes(range(256)) * 2050  # more than 512 kB
TYPE = b"Content-Type: multipart/related; boundary=b\r\n"
Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Urls:
    """Where clients find the server."""

    base_url: str = "http://testserver"
    public_url: str = ""


@dataclass
class Running:
    """The server, and what its archive saw."""

    http: HttpApp
    store: Store
    relay: Relay
    port: int = 0
    script: Script | None = None
    others: Callable[[str, asyncio.StreamWriter], Awaitable[bool]] | None = None  # what it knows besides the frame
    asked: list[str] = field(default_factory=list)
    sent: int = 0  # bytes of bodies that the archive could write
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    protocols: list[HttpProtocol] = field(default_factory=list)
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    def request(self, path: str = FRAME, *more: str) -> bytes:
        token = self.http.tokens.issue("dr", ("system/*.cruds",))
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {token}", *more]
        return "\r\n".join([*lines, "Accept: multipart/related", "", ""]).encode()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**16)
        self.clients.append(writer)
        return reader, writer

    async def send(self, writer: asyncio.StreamWriter, size: int, *, stop_at: int | None = None) -> None:
        """As the archive: a body of the size, or the beginning of one."""
        writer.write(b"HTTP/1.1 200 OK\r\n" + TYPE + b"Content-Length: %d\r\n\r\n" % size)
        while self.sent < (size if stop_at is None else stop_at):
            writer.write(bytes(65536))
            await writer.drain()
            self.sent += 65536


def found(patient: str, study: str) -> dict[str, Any]:
    """A row of Orthanc's own search for the study."""
    return {"ID": orthanc_id(patient, study), "PatientMainDicomTags": {"PatientID": patient}}


@pytest.fixture
async def running(store: Store, tmp_path: Path) -> AsyncIterator[Running]:
    found: list[Running] = []

    async def archive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                path = request.split(b" ")[1].decode()
                if length := re.search(rb"(?i)\r\ncontent-length: ([0-9]+)", request):
                    await reader.readexactly(int(length.group(1)))
                found[0].asked.append(path)
                if path != FRAME:
                    if found[0].others is None or not await found[0].others(path, writer):
                        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                assert found[0].script is not None
                await found[0].script(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            found[0].closed.set()
        finally:
            writer.close()

    async with listening(archive) as port:
        relay = Relay(f"http://127.0.0.1:{port}")
        named = NamedArchive(ONLY, relay, path_of=Storage(tmp_path / "storage").path)  # empty, unless a test fills it
        http = http_app(store, [named], Keys.load(tmp_path), urls=Urls(), assets=None, checks={})
        found.append(Running(http, store, relay))

        class Seen(HttpProtocol):
            def __init__(self, *args: Any, **named: Any) -> None:
                super().__init__(*args, **named)
                found[0].protocols.append(self)

        config = uvicorn.Config(http.app, port=0, http=Seen, ws="none", lifespan="off", log_config=None)
        config.timeout_graceful_shutdown = 1
        server = HttpServer(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        found[0].port = server.servers[0].sockets[0].getsockname()[1]
        yield found[0]
        for writer in found[0].clients:  # of a test that failed: uvloop waits for what they have not taken
            writer.transport.abort()
        server.should_exit = True
        await serving
        await relay.close()


@asynccontextmanager
async def listening(serve: Any) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def frames(running: Running, body: bytes = FRAME_BYTES) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + TYPE + b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 100_000):
            writer.write(body[start : start + 100_000])
            await writer.drain()

    return script


async def head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    named = dict(line.split(": ", 1) for line in lines[1:-2])
    return int(lines[0].split(" ")[1]), {name.lower(): value for name, value in named.items()}
