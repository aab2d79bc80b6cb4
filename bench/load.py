"""The load generator: a process of its own, raw bytes on raw asyncio, so that it is not what is measured.

Reads one job as JSON on standard input, prints one result as JSON. A request is a template in which ``@@@@@@@@`` is
replaced by a counter of eight digits, so that its length never changes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import uvloop

MARK = b"@@@@@@@@"
END_OF_MESSAGE = b"\x1c\r"
LAST_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """Who is to be asked, how, for how long, and what a good answer holds."""

    port: int
    wire: str  # "mllp" or "http"
    templates: list[str]
    connections: int = 16
    seconds: float = 5.0
    first: int = 0  # where the counter starts
    good: str = ""  # bytes that every answer must hold; empty: any answer with a 2xx status
    reconnect: bool = False  # the peer closes after each answer


@dataclass(slots=True)
class Outcome:
    """What came back."""

    answers: int = 0
    wrong: int = 0
    received: int = 0  # bytes
    seconds: float = 0.0
    p50: float = 0.0  # milliseconds
    p99: float = 0.0
    example: str = ""  # of a wrong answer

    @property
    def rate(self) -> float:
        """Good answers in a second."""
        return (self.answers - self.wrong) / self.seconds if self.seconds else 0.0


class Generator:
    """Requests by counter, and the time at which no more are to be sent."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.templates = [_framed(load.wire, text) for text in load.templates]
        self.counter = load.first
        self.until = time.perf_counter() + load.seconds
        self.outcome = Outcome()
        self.waits: list[float] = []
        self.good = load.good.encode()

    def next(self) -> bytes | None:
        """The next request, or None when time is up."""
        if time.perf_counter() >= self.until:
            return None
        template = self.templates[self.counter % len(self.templates)]
        self.counter += 1
        return template.replace(MARK, b"%08d" % self.counter)

    def answered(self, body: bytes, status_is_good: bool, waited: float) -> None:
        """Count an answer."""
        self.outcome.answers += 1
        self.outcome.received += len(body)
        self.waits.append(waited)
        if not status_is_good or (self.good and self.good not in body):
            self.outcome.wrong += 1
            self.outcome.example = self.outcome.example or body[:300].decode("utf-8", "replace")


@dataclass(slots=True)
class Sender(asyncio.Protocol):
    """One connection with one request under way."""

    generator: Generator
    done: asyncio.Future[None]
    transport: asyncio.Transport | None = None
    body: bytearray = field(default_factory=bytearray)
    sent: float = 0.0
    parser: httptools.HttpResponseParser | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        if self.generator.load.wire == "http":
            self.parser = httptools.HttpResponseParser(self)
        self._send()

    def _send(self) -> None:
        assert self.transport is not None
        request = self.generator.next()
        if request is None:
            self.transport.close()
            return
        self.body.clear()
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take what came; the next request follows the end of the answer."""
        if self.parser is not None:
            self.parser.feed_data(data)
            return
        self.body += data
        if self.body.endswith(END_OF_MESSAGE):
            self._answered(True)

    def on_body(self, body: bytes) -> None:
        """Part of an HTTP body."""
        self.body += body

    def on_message_complete(self) -> None:
        """The end of an HTTP answer."""
        assert self.parser is not None
        good = 200 <= self.parser.get_status_code() < 300
        self.parser = httptools.HttpResponseParser(self)
        self._answered(good)

    def _answered(self, good: bool) -> None:
        self.generator.answered(bytes(self.body), good, time.perf_counter() - self.sent)
        assert self.transport is not None
        if self.generator.load.reconnect:
            self.transport.close()
        else:
            self._send()

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is over, on either side's wish."""
        if not self.done.done():
            self.done.set_result(None)


def _framed(wire: str, text: str) -> bytes:
    data = text.encode()
    return b"\x0b" + data + END_OF_MESSAGE if wire == "mllp" else data


async def _connection(generator: Generator) -> None:
    loop = asyncio.get_running_loop()
    while time.perf_counter() < generator.until:
        done = loop.create_future()
        await loop.create_connection(lambda done=done: Sender(generator, done), "127.0.0.1", generator.load.port)  # type: ignore[misc]
        await done


async def run(load: Load) -> Outcome:
    """All connections at once, until time is up and the last answer is there."""
    generator = Generator(load)
    started = time.perf_counter()
    async with asyncio.timeout(load.seconds + LAST_ANSWER_SECONDS):
        await asyncio.gather(*(_connection(generator) for _ in range(load.connections)))
    outcome = generator.outcome
    outcome.seconds = time.perf_counter() - started
    waits = sorted(generator.waits)
    if waits:
        outcome.p50 = 1000 * waits[len(waits) // 2]
        outcome.p99 = 1000 * waits[len(waits) * 99 // 100]
    return outcome


if __name__ == "__main__":
    result = uvloop.run(run(Load(**json.load(sys.stdin))))
    json.dump(asdict(result), sys.stdout)
