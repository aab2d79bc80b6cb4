"""The HL7 door for tests: a listener on a port of its own, and senders that connect to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from interop.hl7.framing import ACK, NAK, Frame, FrameDecoder, frame
from interop.hl7.message import Message, parse
from interop.mllp_listener import Limits, MllpListener, StrangerLimits
from interop.store import MessageRow, Store
from interop.workflow.site import Site
from tests.sites import a_site


@dataclass
class Peer:
    """A sender with one open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    decoder: FrameDecoder = field(default_factory=lambda: FrameDecoder(10_000_000))
    answers: list[Message] = field(default_factory=list)

    async def send(self, *raw: bytes) -> None:
        """Messages in frames, in one write."""
        await self.write(b"".join(map(frame, raw)))

    async def write(self, data: bytes) -> None:
        """Any bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, within: float = 30.0) -> Message:
        """The next answer."""
        async with asyncio.timeout(within):
            while not self.answers:
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError
                self.answers += [parse(one.data) for one in self.decoder.feed(data) if isinstance(one, Frame)]
        return self.answers.pop(0)

    async def blocks(self, count: int, within: float = 30.0) -> list[str]:
        """The next blocks of MLLP release 2: ACK, NAK, or MSA-1 and MSA-2 of a content block."""
        found: list[str] = []
        async with asyncio.timeout(within):
            while len(found) < count:
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError
                for item in self.decoder.feed(data):
                    if isinstance(item, Frame):
                        found.append(" ".join(told(parse(item.data))))
                    else:
                        found.append({ACK: "ACK", NAK: "NAK"}[item.head])
        return found

    async def ended(self) -> bool:
        """Whether the server closes the connection without another word."""
        async with asyncio.timeout(10):
            return await self.reader.read(1) == b""


Opener = Callable[..., Any]


@asynccontextmanager
async def listening(
    store: Store,
    *allow: str,
    release: int = 1,
    batch_answers: bool = False,
    site: Site | None = None,
    strangers: StrangerLimits | None = None,
    **limits: Any,
) -> AsyncIterator[tuple[MllpListener, Opener]]:
    """A listener, and how to connect to it."""
    listener = MllpListener(
        store,
        site or a_site(),
        "127.0.0.1",
        0,
        allow,
        limits=Limits(**limits),
        stranger_limits=strangers,
        release=release,
        batch_answers=batch_answers,
    )
    await listener.start()
    peers: list[Peer] = []

    async def connect() -> Peer:
        peers.append(Peer(*await asyncio.open_connection("127.0.0.1", listener.port)))
        return peers[-1]

    try:
        yield listener, connect
    finally:
        for peer in peers:
            peer.writer.close()
        await listener.stop()


def told(answer: Message) -> tuple[str, str]:
    """MSA-1 and MSA-2."""
    return answer.get("MSA-1"), answer.get("MSA-2")


async def kept(store: Store, control_id: str) -> list[MessageRow]:
    """The messages with this control id."""
    return await store.view(lambda tx: tx.find_messages(control_id=control_id))
