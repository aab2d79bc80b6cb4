"""The relay against an archive that behaves as told, byte by byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from interop.dicomweb_relay import Answer, Relay
from interop.dicomweb_relay.connection import HIGH_WATER
from interop.errors import UnavailableError
from tests.certificates import Authority

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@dataclass
class Archive:
    """What it was asked."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def archive(script: Script) -> AsyncIterator[Archive]:
    seen = Archive()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        number = 0
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                seen.requests.append(request)
                await script(reader, writer, number)
                number += 1
                if writer.is_closing():
                    return
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        await server.wait_closed()


def relay_to(seen: Archive, **options: float) -> Relay:
    return Relay(f"http://127.0.0.1:{seen.port}", "interop", "secret", **options)  # type: ignore[arg-type]


async def whole(answer: Answer) -> bytes:
    try:
        return await answer.body(10_000_000)
    finally:
        answer.close()


def always(*pieces: bytes, close: bool = False) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
        if close:
            writer.close()

    return script


async def test_a_connection_is_kept_and_sends_what_it_is_told() -> None:
    async with archive(always(OK)) as seen:
        relay = relay_to(seen)
        for _ in range(5):
            answer = await relay.get(b"/dicom-web/studies?x=1", [(b"Accept", b"a/b")])
            assert (answer.status, answer.header(b"content-type")) == (200, b"text/plain")
            assert await whole(answer) == b"hello"
        await relay.close()
    assert seen.connections == 1
    lines = seen.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /dicom-web/studies?x=1 HTTP/1.1"
    assert set(lines[1:-2]) == {
        f"Host: 127.0.0.1:{seen.port}".encode(),
        b"Authorization: Basic aW50ZXJvcDpzZWNyZXQ=",
        b"Accept: a/b",
    }
    assert b"encoding" not in seen.requests[0].lower()


@pytest.mark.parametrize(
    "pieces",
    [
        tuple(bytes([byte]) for byte in OK),
        (b"HTTP/1.1 100 Continue\r\n\r\n", OK),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nhe\r\n3\r\nl", b"lo\r\n0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", b"lo"),
    ],
)
async def test_bodies_are_read_however_they_are_cut(pieces: tuple[bytes, ...]) -> None:
    async with archive(always(*pieces)) as seen:
        relay = relay_to(seen)
        for _ in range(2):
            assert await whole(await relay.get(b"/")) == b"hello"
        await relay.close()
    assert seen.connections == 1


async def test_a_body_may_end_with_its_connection() -> None:
    async with archive(always(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhel", b"lo", close=True)) as seen:
        relay = relay_to(seen)
        for _ in range(2):
            answer = await relay.get(b"/")
            assert answer.ends_with_connection
            assert await whole(answer) == b"hello"
        await relay.close()
    assert seen.connections == 2


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_without_a_body(status: bytes) -> None:
    async with archive(always(b"HTTP/1.1 " + status + b"\r\n\r\n")) as seen:
        relay = relay_to(seen)
        for _ in range(2):
            assert await whole(await relay.get(b"/")) == b""
        await relay.close()
    assert seen.connections == 1


async def test_a_kept_connection_that_died_is_replaced_unnoticed() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 0:
            writer.write(OK)
        else:
            writer.close()  # takes the second request and hangs up

    async with archive(once) as seen:
        relay = relay_to(seen)
        for _ in range(4):
            assert await whole(await relay.get(b"/")) == b"hello"
        await relay.close()
    assert seen.connections == 4


async def test_a_new_connection_that_dies_is_an_error_and_not_tried_for_ever() -> None:
    async with archive(always(close=True)) as seen:
        relay = relay_to(seen)
        with pytest.raises(UnavailableError):
            await relay.get(b"/")
        await relay.close()
    assert len(seen.requests) == 1


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",),
    ],
)
async def test_an_answer_cut_short_is_never_whole(pieces: tuple[bytes, ...]) -> None:
    async with archive(always(*pieces, close=True)) as seen:
        relay = relay_to(seen)
        with pytest.raises(UnavailableError):
            await whole(await relay.get(b"/"))
        await relay.close()


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"\x00" * 100, b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\na\x00b: c\r\n\r\n"]
)
async def test_what_is_not_http_is_an_error(answer: bytes) -> None:
    async with archive(always(answer)) as seen:
        relay = relay_to(seen)
        with pytest.raises(UnavailableError):
            await relay.get(b"/")
        await relay.close()


async def test_headers_without_end_are_an_error() -> None:
    async with archive(always(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 8000 + b"\r\n"] * 12)) as seen:
        relay = relay_to(seen)
        with pytest.raises(UnavailableError):
            await relay.get(b"/")
        await relay.close()


async def test_more_than_announced_is_dropped_with_its_connection() -> None:
    async with archive(always(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")) as seen:
        relay = relay_to(seen)
        for _ in range(3):
            assert await whole(await relay.get(b"/")) == b"hello"
        await relay.close()
    assert seen.connections == 3


async def test_silence_is_an_error_before_and_within_an_answer() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(5)

    async with archive(silent) as seen:
        relay = relay_to(seen, answer_timeout=0.05)
        with pytest.raises(UnavailableError, match="in time") as caught:
            await relay.get(b"/")
        assert caught.value.retry_after
        await relay.close()

    async def falls_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(OK[:-2])
        await asyncio.sleep(5)

    async with archive(falls_silent) as seen:
        relay = relay_to(seen, idle_timeout=0.05)
        with pytest.raises(UnavailableError, match="silent"):
            await whole(await relay.get(b"/"))
        await relay.close()


async def test_nobody_listening_is_503() -> None:
    async with archive(always(OK)) as seen:
        pass
    with pytest.raises(UnavailableError) as caught:
        await relay_to(seen).get(b"/")
    assert caught.value.status == 503
    assert str(seen.port) not in caught.value.text


async def test_there_are_never_more_connections_than_allowed_and_those_who_wait_get_a_turn() -> None:
    at_once, most = 0, 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        writer.write(OK)

    async with archive(slow) as seen:
        relay = relay_to(seen, connections=4)

        async def one() -> bytes:
            return await whole(await relay.get(b"/"))

        assert await asyncio.gather(*(one() for _ in range(40))) == [b"hello"] * 40
        assert most <= 4
        assert seen.connections <= 4
        await relay.close()


async def test_who_waits_too_long_is_told_to_come_back() -> None:
    async with archive(always(OK)) as seen:
        relay = relay_to(seen, connections=1, wait_timeout=0.05)
        held = await relay.get(b"/")
        with pytest.raises(UnavailableError, match="busy"):
            await relay.get(b"/")
        assert await whole(held) == b"hello"
        assert await whole(await relay.get(b"/")) == b"hello"
        await relay.close()


async def test_one_who_gives_up_waiting_takes_nothing_with_it() -> None:
    async with archive(always(OK)) as seen:
        relay = relay_to(seen, connections=1)
        held = await relay.get(b"/")
        waiting = [asyncio.create_task(relay.get(b"/")) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        assert await whole(held) == b"hello"
        waiting[1].cancel()
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        assert await whole(await waiting[2]) == b"hello"
        await relay.close()


async def test_a_slow_client_makes_the_archive_wait() -> None:
    sent = 0
    total = 40 * 1024 * 1024

    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // 65536):
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    async with archive(large) as seen:
        relay = relay_to(seen)
        answer = await relay.get(b"/")
        await asyncio.sleep(0.3)
        assert sent < total, "the archive was read ahead of the client"
        connection = answer._connection
        assert connection is not None
        assert connection._buffered <= HIGH_WATER + 1024 * 1024
        size = 0
        while data := await answer.chunk():
            size += len(data)
        assert size == total
        answer.close()
        await relay.close()


async def test_an_answer_that_is_not_read_to_its_end_costs_its_connection() -> None:
    async with archive(always(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000000))) as seen:
        relay = relay_to(seen)
        for _ in range(2):
            answer = await relay.get(b"/")
            await answer.chunk()
            answer.close()
            answer.close()
        answer = await relay.get(b"/")
        with pytest.raises(UnavailableError, match="longer"):
            await answer.body(1000)
        answer.close()
        await relay.close()
    assert seen.connections == 3


@pytest.mark.parametrize("target", [b"/a b", b"/a\r\nX: y", b"/a\x00", b"/a\n"])
async def test_a_target_cannot_carry_more_than_a_target(target: bytes) -> None:
    with pytest.raises(ValueError, match="request line"):
        await Relay("http://127.0.0.1:1").get(target)


@pytest.mark.parametrize("header", [(b"A", b"b\r\nX: y"), (b"A: b\r\nX", b"y"), (b"A B", b"c"), (b"A", b"\x00")])
async def test_a_header_cannot_carry_more_than_a_header(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="header"):
        await Relay("http://127.0.0.1:1").get(b"/", [header])


@pytest.mark.parametrize("url", ["ftp://x", "http://", "orthanc:8042", "file:///etc/passwd"])
def test_what_is_no_http_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Relay(url)


async def test_over_tls_several_records_that_arrive_at_once_are_all_read(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(authority.issue("archive"))
    pieces = [bytes([number]) * 3000 for number in range(8)]
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 24000\r\n\r\n")
                for piece in pieces:  # a record each, and no pause for the loop between them
                    writer.write(piece)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=serving)
    port, tokens = server.sockets[0].getsockname()[1], iter(("one", "two", "three"))
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    relay = Relay(f"https://localhost:{port}", bearer=lambda: next(tokens), tls=trusting)
    try:
        for _ in range(3):
            assert await whole(await relay.get(b"/")) == b"".join(pieces)
    finally:
        await relay.close()
        server.close()
    assert [line for each in asked for line in each.splitlines() if line.startswith(b"Authorization")] == [
        b"Authorization: Bearer one",
        b"Authorization: Bearer two",
        b"Authorization: Bearer three",
    ]
