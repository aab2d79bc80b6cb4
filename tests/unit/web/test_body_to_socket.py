"""A body's way past ASGI: the server as it runs, before an archive that behaves as told, clients on bare sockets."""

from __future__ import annotations

import asyncio

import pytest

from interop.dicomweb import retrieve
from interop.dicomweb_relay.buffers import SIZE, Buffers
from interop.fhir.query import Query
from interop.http_server import _line
from tests.scripted_archive import FRAME, FRAME_BYTES, STUDY, TYPE, Running, frames, head


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
    async with asyncio.timeout(60):
        while before < running.sent or not running.protocols[0].flow.write_paused:  # until nothing moves any more
            before = running.sent
            await asyncio.sleep(0.2)
    assert running.sent < total // 2, "the rest waits in the archive"
    waiting = running.protocols[0].transport.get_write_buffer_size()
    assert 0 < waiting <= SIZE, "one buffer is what a slow client costs"
    size = 0
    while size < int(headers["content-length"]):
        async with asyncio.timeout(60):
            piece = await reader.read(2**20)
        assert piece, f"the answer ended after {size} bytes"
        size += len(piece)
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


@pytest.mark.parametrize("whole", [True, False])
async def test_a_study_without_a_length_comes_in_chunks_and_its_end_is_looked_for(
    running: Running, whole: bool
) -> None:
    content = b"--b\r\n\r\n" + FRAME_BYTES * 4 + (b"\r\n--b--\r\n" if whole else b"")

    async def study(path: str, writer: asyncio.StreamWriter) -> bool:
        if path != f"/dicom-web/studies/{STUDY}":
            return False
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + TYPE + b"\r\n")
        for start in range(0, len(content), 100_000):
            writer.write(content[start : start + 100_000])
            await writer.drain()
        writer.close()
        return True

    running.others = study
    reader, writer = await running.connect()
    writer.write(running.request(f"/dicom-web/studies/{STUDY}"))
    _, headers = await head(reader)
    assert headers["transfer-encoding"] == "chunked"
    body = bytearray()
    async with asyncio.timeout(10):
        while line := await reader.readline():
            size = int(line, 16)
            body += await reader.readexactly(size)
            await reader.readexactly(2)
            if size == 0:
                break
    assert body == content
    assert (line == b"0\r\n") is whole, "what is cut short has no last chunk"
    writer.close()
