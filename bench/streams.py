"""The load generator for long bodies, each way: a process of its own, which keeps nothing of what it reads.

Reads one job as JSON on standard input, prints one result as JSON. What is sent is the request, then a file; the mark
``@@@@@@@@`` in it is replaced by a counter of eight digits before the clock starts, so that each request is another
one. The answers under way when time is up are cut off, and their bytes count; with no time, each client asks once.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import httptools
import uvloop

MARK = b"@@@@@@@@"
LONGEST = 300.0  # seconds for an answer


@dataclass(frozen=True, slots=True)
class Transfers:
    """Who is to be asked for what, by how many at once, for how long."""

    port: int
    request: str  # its head
    file: str = ""  # its body
    clients: int = 1
    seconds: float = 0.0
    first: int = 0  # where the counter starts


@dataclass(slots=True)
class Transferred:
    """What went to and fro."""

    whole: int = 0  # answers read to their end
    longest: int = 0  # bytes of one of those
    received: int = 0  # bytes in all
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def megabytes(self) -> float:
        """Received in a second."""
        return self.received / self.seconds / 1e6 if self.seconds else 0.0


class Client(asyncio.Protocol):
    """A connection with one request under way."""

    def __init__(self, job: Transfers, body: bytes, result: Transferred, until: float) -> None:
        self._head, self._body, self._result, self._until = job.request.encode(), body, result, until
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._start()

    def _start(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._size, self._begin, self._last = 0, b"", b""
        self._ended = self._cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._transport.write(self._head)
        if self._body:
            self._transport.write(self._body)

    def data_received(self, data: bytes) -> None:
        """Count what came."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Part of an answer's body."""
        self._size += len(body)
        self._result.received += len(body)
        self._last = body[-8:]
        if not self._begin:
            self._begin = body[:300]

    def on_message_complete(self) -> None:
        """The end of an answer: the next request, while there is time."""
        self._answered()
        assert self._transport is not None
        if time.perf_counter() >= self._until or self._body or not self._parser.should_keep_alive():
            self._transport.close()
            return
        self._start()
        self._send()

    def _answered(self) -> None:
        self._ended = True
        if self._parser.get_status_code() == 200:
            self._result.whole += 1
            self._result.longest = max(self._result.longest, self._size)
        else:
            self._result.wrong.append(f"{self._parser.get_status_code()} {self._begin!r}")

    def connection_lost(self, error: Exception | None) -> None:
        """The end of an answer that has no length; its last boundary tells that it is whole."""
        if not self._ended and self._size:
            if self._last.rstrip(b"\r\n").endswith(b"--"):
                self._answered()
            elif not self._cut:
                self._result.wrong.append(f"broken off after {self._size} bytes: {error}")
        if not self.done.done():
            self.done.set_result(None)

    def cut(self) -> None:
        """Time is up."""
        self._cut = True
        if self._transport is not None:
            self._transport.abort()


async def _client(job: Transfers, body: bytes, result: Transferred, until: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        made: list[Client] = []

        def make(made: list[Client] = made) -> Client:
            made.append(Client(job, body, result, until))
            return made[0]

        await loop.create_connection(make, "127.0.0.1", job.port)
        left = until - time.perf_counter() if job.seconds else LONGEST
        try:
            await asyncio.wait_for(made[0].done, max(left, 0.001))
        except TimeoutError:
            made[0].cut()
            return
        if time.perf_counter() >= until:
            return


async def run(job: Transfers, template: bytes) -> Transferred:
    """All clients at once."""
    result = Transferred()
    bodies = [template.replace(MARK, b"%08d" % (job.first + number)) for number in range(job.clients)]
    started = time.perf_counter()
    async with asyncio.timeout(LONGEST):
        await asyncio.gather(*(_client(job, body, result, started + job.seconds) for body in bodies))
    result.seconds = time.perf_counter() - started
    return result


if __name__ == "__main__":
    asked = Transfers(**json.load(sys.stdin))
    sent = Path(asked.file).read_bytes() if asked.file else b""
    json.dump(asdict(uvloop.run(run(asked, sent))), sys.stdout)
