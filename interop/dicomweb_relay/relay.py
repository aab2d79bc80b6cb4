"""GET from the archive, and POST to it, with its credentials and for the caller's address."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from interop.dicomweb_relay.answer import Answer
from interop.dicomweb_relay.connection import Connection, LostError
from interop.dicomweb_relay.pool import Pool

Body = Callable[[], AsyncIterator[bytes | memoryview]]  # makes the pieces, anew each time it is called

_UNSAFE = re.compile(rb"[\x00-\x20\x7f]")
_HEADER_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@lru_cache(maxsize=1024)  # a viewer sends the same few with every frame
def _line(header: tuple[bytes, bytes]) -> bytes:
    name, value = header
    if _UNSAFE.search(name) or _HEADER_UNSAFE.search(value):
        raise ValueError("a header has characters that HTTP cannot carry")
    return name + b": " + value + b"\r\n"


class Relay:
    """A client of one archive.

    It sends what it is told to send and nothing else: no Accept-Encoding (Orthanc would gzip pixels), no cookies, never
    the caller's own Authorization. A GET whose kept connection turns out dead is sent again; a POST goes over a
    new one, unless it may be sent again too.
    """

    def __init__(
        self,
        url: str,
        username: str = "",
        password: str | None = None,
        *,
        bearer: Callable[[], str] | None = None,
        tls: ssl.SSLContext | None = None,
        connections: int = 24,
        connect_timeout: float = 3,
        answer_timeout: float = 60,
        idle_timeout: float = 30,
        wait_timeout: float = 15,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the archive's address is not an http(s) URL")
        if parts.scheme != "https":
            tls = None
        elif tls is None:
            tls = ssl.create_default_context()
        port = parts.port or (443 if tls else 80)
        self._pool = Pool(parts.hostname, port, tls, limit=connections, connect=connect_timeout, wait=wait_timeout)
        self._prefix = parts.path.rstrip("/").encode()
        self._answer_timeout, self._idle_timeout = answer_timeout, idle_timeout
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._fixed = f" HTTP/1.1\r\nHost: {host}:{port}\r\n".encode("ascii")
        self._bearer = bearer  # asked for each request: tokens are renewed
        if bearer is None and password is not None:
            credentials = base64.b64encode(f"{username}:{password}".encode())
            self._fixed += b"Authorization: Basic " + credentials + b"\r\n"

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
        """The answer to a GET of the target (path and query, as it goes on the wire).

        UnavailableError when the archive cannot be reached, is too busy, or does not begin to answer in time.
        """
        request = self._request(target, headers)
        connection = await self._pool.borrow()
        try:
            return await self._exchange(connection, request)
        except LostError:
            if connection.exchanges == 1:  # it was new: the archive itself refused
                raise
        # A kept connection may have been closed by the archive as we took it.
        return await self._exchange(await self._pool.borrow(fresh=True), request)

    async def post(
        self,
        target: bytes,
        length: int,
        pieces: Body,
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        again: bool = False,
    ) -> Answer:
        """The answer to a POST of so many bytes, which are read as the archive takes them.

        ``again``: asked twice it does what it does once; a kept connection is used then, and where the archive closes
        that without an answer, a new one. UnavailableError as for a GET, and when the archive leaves before it has
        answered: whether it did what was asked is then not known.
        """
        request = self._request(target, [(b"Content-Length", b"%d" % length), *headers], b"POST ")
        connection = await self._pool.borrow(fresh=not again)
        try:
            return await self._posted(connection, request, pieces)
        except LostError:
            if connection.exchanges == 1:
                raise
        return await self._posted(await self._pool.borrow(fresh=True), request, pieces)

    async def _posted(self, connection: Connection, request: bytes, pieces: Body) -> Answer:
        try:
            connection.send(request)
            async for piece in pieces():
                if not await connection.write(piece, self._idle_timeout):
                    break
            await connection.head(self._answer_timeout)
        except BaseException:
            connection.abort()
            self._pool.give_back(connection)
            raise
        return Answer(connection, self._pool, self._idle_timeout)

    async def _exchange(self, connection: Connection, request: bytes) -> Answer:
        try:
            connection.send(request)
            await connection.head(self._answer_timeout)
        except BaseException:
            connection.abort()
            self._pool.give_back(connection)
            raise
        return Answer(connection, self._pool, self._idle_timeout)

    def _request(self, target: bytes, headers: Sequence[tuple[bytes, bytes]], verb: bytes = b"GET ") -> bytes:
        if _UNSAFE.search(target):
            raise ValueError("the target has characters that a request line cannot carry")
        if self._bearer is not None:
            headers = [(b"Authorization", b"Bearer " + self._bearer().encode("latin-1")), *headers]
        return b"".join((verb, self._prefix, target, self._fixed, *map(_line, headers), b"\r\n"))

    async def close(self) -> None:
        """Closes every connection."""
        self._pool.close()
