"""A body's way past ASGI: the server as it runs, before an archive that behaves as told, clients on bare sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from interop.auth import Keys
from interop.dicomweb import retrieve
from interop.dicomweb_relay import Relay
from interop.dicomweb_relay.buffers import SIZE, Buffers
from interop.fhir.query import Query
from interop.http_app import HttpApp, http_app
from interop.http_server import HttpProtocol, HttpServer, _line
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
    sent: int = 0  # bytes of bodies that the archive could write
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    protocols: list[HttpProtocol] = field(default_factory=list)

    def request(self, path: str = FRAME, *more: str) -> bytes:
        token = self.http.tokens.issue("dr", ("system/*.cruds",))
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {token}", *more]
        return "\r\n".join([*lines, "Accept: multipart/related", "", ""]).encode()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**16)

    async def send(self, writer: asyncio.StreamWriter, size: int, *, stop_at: int | None = None) -> None:
        """As the archive: a body of the size, or the beginning of one."""
        writer.write(b"HTTP/1.1 200 OK\r\n" + TYPE + b"Content-Length: %d\r\n\r\n" % size)
        while self.sent < (size if stop_at is None else stop_at):
            writer.write(bytes(65536))
            await writer.drain()
            self.sent += 65536


@pytest.fixture
async def running(store: Store, tmp_path: Path) -> AsyncIterator[Running]:
    found: list[Running] = []

    async def archive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                if FRAME.encode() not in request:  # it knows only the frame
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
        http = http_app(store, relay, Keys.load(tmp_path), urls=Urls(), assets=None, checks={})
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


async def test_frames_come_through_whole_with_every_header_and_are_written_down(running: Running) -> None:
    running.script = frames(running)
    reader, writer = await running.connect()
    for number in range(6):
        writer.write(running.request(FRAME, f"X-Request-Id: number-{number}"))
        status, headers = await head(reader)
        assert status == 200
        assert headers["x-request-id"] == f"number-{number}"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"].startswith("private")
        assert await reader.readexactly(int(headers["content-length"])) == FRAME_BYTES
    writer.close()
    assert running.protocols[0].sink is None
    rows = await running.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=50)))
    assert [row.event.kind for row in rows] == ["dicom-transfer"]


async def test_requests_sent_ahead_are_answered_in_their_order(running: Running) -> None:
    running.script = frames(running)
    reader, writer = await running.connect()
    paths = [FRAME, "/dicom-web/studies/nonsense", FRAME, FRAME]
    writer.write(b"".join(running.request(path, f"X-Request-Id: n{n}") for n, path in enumerate(paths)))
    for number, path in enumerate(paths):
        status, headers = await head(reader)
        body = await reader.readexactly(int(headers["content-length"]))
        assert headers["x-request-id"] == f"n{number}"
        assert (status, body == FRAME_BYTES) == ((200, True) if path == FRAME else (404, False))
    writer.close()


async def test_a_client_that_wants_the_connection_closed_gets_all_and_the_end(running: Running) -> None:
    running.script = frames(running)
    reader, writer = await running.connect()
    writer.write(running.request(FRAME, "Connection: close"))
    _, headers = await head(reader)
    assert headers["connection"] == "close"
    assert await asyncio.wait_for(reader.read(), 10) == FRAME_BYTES
    writer.close()


async def test_a_client_gone_before_the_answer_is_no_fault(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(0.2)
        await running.send(writer, 2**20)

    running.script = script
    _, writer = await running.connect()
    writer.write(running.request())
    await asyncio.wait_for(asked.wait(), 10)
    writer.transport.abort()
    await asyncio.sleep(0.5)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    running.script = frames(running)
    reader, writer = await running.connect()
    writer.write(running.request())
    assert (await head(reader))[0] == 200
    writer.close()


async def test_nothing_leaves_without_credentials(running: Running) -> None:
    asked = False

    async def script(writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = True

    running.script = script
    reader, writer = await running.connect()
    writer.write(f"GET {FRAME} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await head(reader))[0] == 401
    assert not asked
    writer.close()


async def test_a_slow_client_makes_the_archive_wait_and_then_gets_all(running: Running) -> None:
    total = 64 * 1024 * 1024
    running.script = lambda writer: running.send(writer, total)
    reader, writer = await running.connect()
    writer.write(running.request())
    _, headers = await head(reader)
    before = -1
    while before < running.sent:  # until nothing moves any more
        before = running.sent
        await asyncio.sleep(0.2)
    assert running.sent < total // 2, "the rest waits in the archive"
    waiting = running.protocols[0].transport.get_write_buffer_size()
    assert 0 < waiting <= SIZE, "one buffer is what a slow client costs"
    size = 0
    while size < int(headers["content-length"]):
        size += len(await reader.read(2**20))
    assert size == total
    writer.close()


async def test_a_client_that_goes_away_lets_the_archive_go(running: Running) -> None:
    running.script = lambda writer: running.send(writer, 2**30)
    reader, writer = await running.connect()
    writer.write(running.request())
    await head(reader)
    await reader.readexactly(200_000)
    writer.transport.abort()
    await asyncio.wait_for(running.closed.wait(), 10)


async def test_a_client_that_takes_nothing_is_let_go(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "_PATIENCE", 0.2)
    running.script = lambda writer: running.send(writer, 2**30)
    _, writer = await running.connect()
    writer.write(running.request())
    await asyncio.wait_for(running.closed.wait(), 10)
    assert running.protocols[0].transport.is_closing()
    writer.close()


async def test_an_archive_that_dies_leaves_an_answer_that_is_seen_to_be_short(running: Running) -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        await running.send(writer, 2**30, stop_at=1_000_000)
        writer.transport.abort()

    running.script = script
    reader, writer = await running.connect()
    writer.write(running.request())
    status, headers = await head(reader)
    got = await asyncio.wait_for(reader.read(), 10)
    assert status == 200
    assert len(got) < int(headers["content-length"])
    writer.close()


async def test_an_archive_that_falls_silent_ends_the_answer(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.relay, "_idle_timeout", 0.2)

    async def script(writer: asyncio.StreamWriter) -> None:
        await running.send(writer, 2**30, stop_at=500_000)
        await asyncio.sleep(5)

    running.script = script
    reader, writer = await running.connect()
    writer.write(running.request())
    await head(reader)
    assert len(await asyncio.wait_for(reader.read(), 3)) <= 600_000
    writer.close()


def test_what_a_header_cannot_carry_is_never_sent() -> None:
    assert _line(b"X-A", b"b") == (b"x-a", b"x-a: b\r\n")
    for name, value in ((b"a", b"b\r\nc: d"), (b"a:", b"b"), (b"a b", b"c"), (b"a", b"\x00")):
        with pytest.raises(ValueError, match="header"):
            _line(name, value)


def test_buffers_are_used_again_and_not_hoarded() -> None:
    buffers = Buffers()
    first = buffers.take()
    buffers.give(first)
    assert buffers.take() is first
    for _ in range(100):
        buffers.give(bytearray(1))
    assert len(buffers._idle) < 20
