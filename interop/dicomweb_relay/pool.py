"""Connections to one archive, kept for the next request.

Every kept connection holds one of Orthanc's HttpThreadsCount (50) threads, so there are fewer of them than that and
none is kept idle past the second after which Orthanc closes it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from interop.dicomweb_relay.buffers import Buffers
from interop.dicomweb_relay.connection import Connection
from interop.errors import UnavailableError

KEPT = 0.8  # seconds; Orthanc 1.10 closes idle connections after one


class Pool:
    """Lends connections; the most recently used first, because it is the most likely to be alive."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, *, limit: int, connect: float, wait: float):
        self.host, self.port, self.tls = host, port, tls
        self.limit, self.connect_timeout, self.wait_timeout = limit, connect, wait
        self._idle: list[Connection] = []
        self._lent: set[Connection] = set()
        self._opening = 0
        self._buffers = Buffers()
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def borrow(self, *, fresh: bool = False) -> Connection:
        """A connection to send on; UnavailableError when the archive cannot be reached or all stay busy."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.closed or now - connection.idle_since >= KEPT:
                connection.abort()
            elif not fresh:
                self._lent.add(connection)
                return connection
            else:  # others may want it, if there is room for it and the new one
                self._idle.append(connection)
                if len(self._idle) + len(self._lent) + self._opening >= self.limit:
                    self._idle.pop(0).abort()
                break
        if len(self._lent) + self._opening >= self.limit:
            await self._turn()
            return await self.borrow(fresh=fresh)
        self._opening += 1
        try:
            connection = await self._open()
        finally:
            self._opening -= 1
        self._lent.add(connection)
        return connection

    async def _turn(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self.wait_timeout):
                await waiter
        except TimeoutError:
            raise UnavailableError("all connections to the archive are busy", retry_after=5) from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._next()  # the turn was ours already: pass it on
            raise

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.connect_timeout):
                _, connection = await loop.create_connection(self._connection, self.host, self.port, ssl=self.tls)
        except (OSError, TimeoutError) as error:
            self._next()
            raise UnavailableError("the image archive does not answer", retry_after=10) from error
        except asyncio.CancelledError:
            self._next()
            raise
        return connection

    def _connection(self) -> Connection:
        return Connection(self._buffers)

    def give_back(self, connection: Connection) -> None:
        """Keeps the connection for the next request if its answer was read to the end, else closes it."""
        self._lent.discard(connection)
        if connection.reusable:
            connection.idle_since = connection.loop.time()
            self._idle.append(connection)
        else:
            connection.abort()
        self._next()

    def _next(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def close(self) -> None:
        """Closes every connection."""
        for connection in (*self._idle, *self._lent):
            connection.abort()
        self._idle.clear()
