"""An answer of the archive, on its way to the client."""

from __future__ import annotations

from interop.dicomweb_relay.connection import Connection, Sink
from interop.dicomweb_relay.pool import Pool
from interop.errors import UnavailableError


class Answer:
    """Status and headers are there; the body is read piece by piece. ``close`` must follow, read to the end or not."""

    def __init__(self, connection: Connection, pool: Pool, idle: float) -> None:
        self.status = connection.status
        self.headers = connection.headers  # names in lower case
        self.ends_with_connection = connection.to_close  # then only the content can tell whether it is whole
        self._connection: Connection | None = connection
        self._pool = pool
        self._idle = idle

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower case) name."""
        return next((value for key, value in self.headers if key == name), None)

    async def chunk(self) -> bytes | memoryview:
        """The next piece of the body; empty at its end. UnavailableError if the archive falls silent or breaks off."""
        connection = self._connection
        if connection is None:
            return b""
        data = connection.take()
        if not data:
            await connection.more(self._idle)
            data = connection.take()
        return data

    async def ahead(self, size: int) -> bytes | memoryview:
        """The beginning of a body of which nothing was taken yet: so many bytes (512 kB at most) or the whole of it.

        They stay to be taken, and are good until then. UnavailableError if the archive falls silent or breaks off.
        """
        return b"" if self._connection is None else await self._connection.ahead(size, self._idle)

    async def pour(self, sink: Sink, patience: float) -> bool:
        """Passes the rest of the body to the sink as it arrives; False if the sink was gone before its end.

        UnavailableError if the archive falls silent or breaks off. A sink that takes nothing for ``patience`` seconds
        is aborted.
        """
        return self._connection is not None and await self._connection.pour(sink, self._idle, patience)

    async def body(self, limit: int) -> bytes:
        """The whole body, where it is known to be small; UnavailableError beyond the limit."""
        chunks: list[bytes | memoryview] = []
        size = 0
        while data := await self.chunk():
            chunks.append(data)
            size += len(data)
            if size > limit:
                raise UnavailableError("the archive's answer is longer than this server keeps in memory")
        return b"".join(chunks)

    def close(self) -> None:
        """Gives the connection back, or closes it if the answer was not read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)
