"""WADO-RS: the archive's bytes on their way to the client, as they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from interop.access import Agent
from interop.dicomweb.accept import Wish
from interop.dicomweb.access_log import AccessLog
from interop.dicomweb.archive import SINK, Answer, Archive, ArchiveAnswer, Sink
from interop.dicomweb.kept_thumbnails import Thumbnail
from interop.dicomweb.metadata_memory import JSON, FreshMetadata, KeptMetadata
from interop.dicomweb.multipart import SinglePart, WholeMultipart
from interop.dicomweb.paths import Target
from interop.dicomweb.series_metadata import accepts_gzip, has_same_tag
from interop.dicomweb.upstream import failure
from interop.errors import UnavailableError

log = logging.getLogger(__name__)

_PASSED = frozenset({b"content-type", b"content-length", b"content-range", b"accept-ranges", b"etag", b"last-modified"})
_PIXELS = frozenset({"frames", "rendered", "bulk"})
# Pixels of an instance never change under their UID; the cache is the browser's own and belongs to this session.
_CACHED = (b"cache-control", b"private, max-age=86400, immutable")
_REVALIDATED = (b"cache-control", b"private, no-cache")  # kept by the browser, and asked for again each time
_VARY_PACKED = (b"vary", b"Authorization, Cookie, Accept, Accept-Encoding")
_VARY = (b"vary", b"Authorization, Cookie, Accept")
_FRAMED = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'self'",
)  # the viewer shows PDFs in a frame
_IMPLICIT, _EXPLICIT = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"
_OTHER_FORM = frozenset({400, 406, 415})  # what archives say to a form that they do not have
_LARGE = 2 * 1024 * 1024
_AT_ONCE = contextlib.nullcontext()
_PATIENCE = 60.0  # seconds for a client to take the next piece


class Source(Protocol):
    """Where the bytes of a body come from."""

    async def chunk(self) -> bytes | memoryview: ...


async def ask(
    archive: Archive, target: Target, query: str, wish: Wish, headers: Sequence[tuple[bytes, bytes]]
) -> ArchiveAnswer:
    """A good answer of the archive; its failures as errors of ours."""
    path = f"{target.path}?{query}".encode("ascii") if query else target.path.encode("ascii")
    answer = await archive.get(path, [(b"Accept", wish.accept.encode("ascii")), *headers])
    last = wish.accept
    if (answer.status >= 500 or answer.status in _OTHER_FORM) and wish.otherwise is not None:
        answer.close()
        last = wish.otherwise
        answer = await archive.get(path, [(b"Accept", last.encode("ascii")), *headers])
    if answer.status in (200, 206, 304):
        return answer
    answer.close()
    raise failure(answer.status, target, syntax=last.partition("transfer-syntax=")[2])


@dataclass(frozen=True, slots=True)
class Client:
    """Whom the answer is for, as ASGI has it."""

    scope: Scope
    receive: Receive
    send: Send


async def relay(
    answer: Answer, target: Target, wish: Wish, client: Client, log_access: tuple[AccessLog, Agent]
) -> None:
    """Passes the answer on; not a byte before the access is written down."""
    await _write_down(target, log_access)
    headers = [pair for pair in answer.headers if pair[0] in _PASSED]
    source: Source = answer
    if wish.unwrap and answer.status == 200:
        part = SinglePart(answer)
        start = await part.open()
        kind = b"application/pdf" if wish.pdf and start.startswith(b"%PDF-") else b"application/octet-stream"
        if target.kind == "retrieve":
            kind = b"application/dicom"
        elif target.kind == "frames" and part.syntax not in (b"", _IMPLICIT, _EXPLICIT):
            kind += b"; transfer-syntax=" + part.syntax  # it is not the pixels' own bytes
        headers = [pair for pair in headers if pair[0] not in (b"content-type", b"content-length")]
        headers += [(b"content-type", kind), (b"content-length", b"%d" % part.length)]
        source = part
    elif answer.ends_with_connection:
        source = WholeMultipart(answer)
    headers.append(_VARY)
    if target.kind in _PIXELS:
        headers += [_CACHED if target.instance else _REVALIDATED, _FRAMED]
    length = answer.header(b"content-length")
    poured = source if isinstance(source, WholeMultipart) else answer if length and source is answer else None
    offered = client.scope.get("extensions", {}).get(SINK) if poured is not None else None
    sink = offered["open"]() if offered is not None else None
    await client.send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if sink is not None and poured is not None:
        await _pour(poured, answer, sink, client.send)
    elif length is not None and int(length) <= _LARGE:
        await _pump(source, client.send)
    else:
        await _pump_watched(source, client.receive, client.send)


async def give_metadata(
    kept: KeptMetadata | FreshMetadata, target: Target, client: Client, log_access: tuple[AccessLog, Agent]
) -> bool:
    """Answers with metadata that are at hand, packed for who takes it so; 304 to who has them already.

    False where nothing was answered, for they are to be relayed.
    """
    if await kept.there():
        await _write_down(target, log_access)  # an archive that is being asked answers meanwhile
    if not await kept.ready():
        return False
    await _write_down(target, log_access)
    asked = client.scope["headers"]
    headers = [(b"content-type", JSON), _REVALIDATED, _VARY_PACKED]
    if kept.tag is not None:
        headers.append((b"etag", kept.tag))
    status, body = 200, b""
    if kept.tag is not None and has_same_tag(asked, kept.tag):
        status = 304
    elif accepts_gzip(asked):
        body = await kept.zipped()
        headers.append((b"content-encoding", b"gzip"))
    else:
        body = await kept.unpacked()
    if status == 200:
        headers.append((b"content-length", b"%d" % len(body)))
    await client.send({"type": "http.response.start", "status": status, "headers": headers})
    await client.send({"type": "http.response.body", "body": body, "more_body": False})
    kept.given()
    return True


async def give_picture(kept: Thumbnail, target: Target, client: Client, log_access: tuple[AccessLog, Agent]) -> None:
    """Answers with a thumbnail that is at hand; 304 to who has it already. One of a series may be another tomorrow."""
    await _write_down(target, log_access)
    caching = _CACHED if target.instance else _REVALIDATED
    headers = [(b"content-type", kept.type), (b"etag", kept.tag), caching, _VARY, _FRAMED]
    same = has_same_tag(client.scope["headers"], kept.tag)
    if not same:
        headers.append((b"content-length", b"%d" % len(kept.packed)))
    await client.send({"type": "http.response.start", "status": 304 if same else 200, "headers": headers})
    await client.send({"type": "http.response.body", "body": b"" if same else kept.packed, "more_body": False})


async def give_rows(
    rows: list[dict[str, Any]],
    target: Target,
    client: Client,
    log_access: tuple[AccessLog, Agent],
    warnings: Sequence[str],
) -> None:
    """Answers with the rows of a search, and with what has to be said about them."""
    await _write_down(target, log_access)
    answer = Response(orjson.dumps(rows), media_type=JSON.decode("ascii"), headers={"Vary": _VARY[1].decode("ascii")})
    for text in warnings:
        answer.headers.append("warning", text)
    await answer(client.scope, client.receive, client.send)


async def _write_down(target: Target, log_access: tuple[AccessLog, Agent]) -> None:
    access_log, agent = log_access
    if not access_log.known(agent, str(target.study), target.verb):
        await access_log.record(agent, [str(target.study)], target.verb)


async def _pour(source: Answer | WholeMultipart, answer: Answer, sink: Sink, send: Send) -> None:
    """From the archive's socket to the client's, where the server lends the door that one."""
    try:
        if not await source.pour(sink, _PATIENCE):
            log.info("an image answer ends early: the client is gone, or takes nothing")
            return
        answer.close()
        async with asyncio.timeout(_PATIENCE) if sink.full else _AT_ONCE:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except UnavailableError as error:
        log.warning("an image answer ends early: %s", error.text)
    except TimeoutError:
        sink.abort()


async def _pump(source: Source, send: Send) -> None:
    try:
        while data := await source.chunk():
            await send({"type": "http.response.body", "body": data, "more_body": True})
    except UnavailableError as error:
        log.warning("an image answer ends early: %s", error.text)
        return  # unfinished: the server closes the connection, and the client sees that something is missing
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _pump_watched(source: Source, receive: Receive, send: Send) -> None:
    """For long answers: stops when the client has gone or takes nothing for a minute."""
    gone = asyncio.create_task(_until_gone(receive))
    try:
        while data := await source.chunk():
            async with asyncio.timeout(_PATIENCE):
                await send({"type": "http.response.body", "body": data, "more_body": True})
            if gone.done():
                return
    except (UnavailableError, TimeoutError) as error:
        log.warning("an image answer ends early: %s", error)
        return
    finally:
        gone.cancel()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def caller_headers(scope: Scope, names: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """The caller's headers of these names, to pass on."""
    return [(name, value) for name, value in scope["headers"] if name in names]
