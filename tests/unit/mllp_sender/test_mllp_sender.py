"""The wire to receivers: bytes out, the reply's bytes back, and never a reply to something else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from interop.errors import UnavailableError
from interop.hl7.framing import frame
from interop.hl7.line import Line, NotTriedError
from interop.hl7.message import parse
from interop.mllp_sender import MllpSender
from interop.mllp_sender.wire import Wire
from interop.testing.listener import HL7Listener
from tests.hl7_messages import orm


@pytest.fixture
def receiver() -> Iterator[HL7Listener]:
    with HL7Listener() as listener:
        yield listener


async def test_messages_go_over_one_connection_and_each_reply_comes_back(receiver: HL7Listener) -> None:
    sender = MllpSender()
    for number in range(3):
        reply = await sender.send(receiver, orm(id=f"C{number}"))
        assert parse(reply).get("MSA-2") == f"C{number}"
    assert [parse(raw).control_id for raw in receiver.messages] == ["C0", "C1", "C2"]
    await sender.close()


async def test_one_message_at_a_time_is_on_the_way(receiver: HL7Listener) -> None:
    sender = MllpSender()
    replies = await asyncio.gather(*(sender.send(receiver, orm(id=f"C{number}")) for number in range(20)))
    assert [parse(reply).get("MSA-2") for reply in replies] == [f"C{number}" for number in range(20)]
    await sender.close()


async def test_silence_ends_the_connection_so_that_a_late_reply_answers_nothing(receiver: HL7Listener) -> None:
    receiver.script("silence")
    sender = MllpSender(reply_seconds=0.2)
    with pytest.raises(UnavailableError, match="no answer"):
        await sender.send(receiver, orm(id="C1"))
    assert parse(await sender.send(receiver, orm(id="C2"))).get("MSA-2") == "C2"
    await sender.close()


@pytest.mark.parametrize("ending", ["close"])
async def test_a_connection_that_ends_instead_of_an_answer_is_opened_again(receiver: HL7Listener, ending: str) -> None:
    receiver.script("close")
    sender = MllpSender()
    with pytest.raises(UnavailableError, match="without an answer"):
        await sender.send(receiver, orm(id="C1"))
    assert parse(await sender.send(receiver, orm(id="C2"))).get("MSA-2") == "C2"
    await sender.close()


async def test_a_receiver_that_closed_while_idle_is_connected_anew(receiver: HL7Listener) -> None:
    sender = MllpSender()
    await sender.send(receiver, orm(id="C1"))
    receiver._server.end_connections()
    await asyncio.sleep(0.2)
    assert parse(await sender.send(receiver, orm(id="C2"))).get("MSA-2") == "C2"
    await sender.close()


async def test_nobody_there_is_said(receiver: HL7Listener) -> None:
    receiver.close()
    with pytest.raises(UnavailableError, match="no connection"):
        await MllpSender(connect_seconds=2).send(receiver, orm())


@dataclass
class Place:
    """Where a server of the test listens."""

    host: str
    port: int
    line: Line = field(default_factory=Line)


@asynccontextmanager
async def saying(before: bytes, after: bytes) -> AsyncIterator[Place]:
    """A receiver that says something when it is connected to, and something when it got a message."""
    ended: list[asyncio.Event] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.Event())
        try:
            writer.write(before)
            await reader.readuntil(b"\x1c\r")
            writer.write(after)
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()
            ended[-1].set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield Place("127.0.0.1", server.sockets[0].getsockname()[1])
        for one in ended:
            await one.wait()
        await asyncio.sleep(0.05)


async def test_a_reply_without_its_last_byte_is_a_reply() -> None:
    async with saying(b"", b"\x0bMSH|^~\\&|A|B|C|D|1||ACK|9|P|2.3\rMSA|AA|C1\x1c") as place:
        sender = MllpSender(reply_seconds=5)
        assert parse(await sender.send(place, orm(id="C1"))).get("MSA-1") == "AA"
        await sender.close()


def ack_of(id: str) -> bytes:
    return frame(f"MSH|^~\\&|A|B|C|D|1||ACK|9|P|2.3\rMSA|AA|{id}\r".encode())


def to(id: str) -> Callable[[bytes], bool]:
    """Whether a reply is one to this message."""
    return lambda reply: parse(reply).get("MSA-2") == id


async def test_an_answer_to_something_else_ends_the_connection() -> None:
    async with saying(b"", ack_of("STRAY") + ack_of("C1")) as place:
        sender = MllpSender(reply_seconds=5)
        with pytest.raises(UnavailableError, match="another message"):
            await sender.send(place, orm(id="C1"), to("C1"))
        await sender.close()


async def test_what_comes_before_anything_was_sent_answers_nothing() -> None:
    async with saying(ack_of("C1"), b"") as place:
        sender = MllpSender(reply_seconds=0.3)
        with pytest.raises(UnavailableError):  # it may come before or after the message is on its way
            await sender.send(place, orm(id="C0"), to("C0"))
        await sender.close()


async def test_several_connections_are_used_when_several_messages_wait(receiver: HL7Listener) -> None:
    receiver.seconds = 0.05
    line = Line(connections=3)
    sender = MllpSender()
    place = Place(receiver.host, receiver.port, line)
    ids = [f"C{number}" for number in range(9)]
    replies = await asyncio.gather(*(sender.send(place, orm(id=id), to(id)) for id in ids))
    assert [parse(reply).get("MSA-2") for reply in replies] == ids
    assert (receiver.connections, receiver.busiest) == (3, 3)
    await sender.send(place, orm(id="C9"), to("C9"))
    assert receiver.connections == 3  # one that is open is taken again
    await sender.close()


async def test_one_that_fails_beside_others_that_are_answered_is_no_receiver_that_is_down(
    receiver: HL7Listener,
) -> None:
    receiver.rule = lambda raw: "silence" if parse(raw).control_id == "BAD" else None
    receiver.seconds = 0.05
    sender = MllpSender(reply_seconds=1.0)
    place = Place(receiver.host, receiver.port, Line(connections=2))
    bad = asyncio.create_task(sender.send(place, orm(id="BAD"), to("BAD")))
    await asyncio.sleep(0.7)
    results = await asyncio.gather(*(sender.send(place, orm(id=f"C{n}"), to(f"C{n}")) for n in range(12)))
    assert len(results) == 12  # some of them waited while BAD came to nothing
    with pytest.raises(UnavailableError, match="no answer"):
        await bad
    await sender.close()


async def test_who_waits_too_long_for_its_turn_is_not_sent(receiver: HL7Listener) -> None:
    receiver.seconds = 0.2
    sender = MllpSender(reply_seconds=0.3)
    ids = [f"C{number}" for number in range(5)]
    results = await asyncio.gather(*(sender.send(receiver, orm(id=id)) for id in ids), return_exceptions=True)
    waited = [result for result in results if isinstance(result, NotTriedError)]
    assert len(waited) == 3
    assert len(receiver.messages) == 2
    assert parse(await sender.send(receiver, orm(id="C9"))).get("MSA-2") == "C9"
    await sender.close()


async def test_an_idle_connection_is_asked_after_as_the_line_says(receiver: HL7Listener) -> None:
    wire = Wire(Line(keepalive_seconds=45))
    await asyncio.get_running_loop().create_connection(lambda: wire, receiver.host, receiver.port)
    assert wire._transport is not None
    sock = wire._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 45
    wire.close()
    await asyncio.sleep(0.05)
