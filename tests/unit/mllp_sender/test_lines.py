"""What receivers do otherwise than the standard, and TLS to them."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from interop.errors import UnavailableError
from interop.hl7.framing import FrameDecoder, frame
from interop.hl7.line import Line
from interop.hl7.message import parse
from interop.mllp_sender import MllpSender
from tests.certificates import Authority
from tests.hl7_messages import orm


def acknowledged(raw: bytes) -> bytes:
    """AA, without a frame."""
    return f"MSH|^~\\&|A|B|C|D|1||ACK|9|P|2.3\rMSA|AA|{parse(raw).control_id}\r".encode()


@dataclass
class Receiver:
    """Listens at a free port and answers as it is told."""

    answer: Callable[[bytes], bytes]
    line: Line = field(default_factory=Line)
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    messages: list[tuple[int, float, bytes]] = field(default_factory=list)  # connection, when, what
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number, decoder = self.connections, FrameDecoder(1_000_000)
        try:
            while data := await reader.read(65536):
                for one in decoder.feed(data):
                    raw: bytes = one.data  # type: ignore[union-attr]
                    self.messages.append((number, time.monotonic(), raw))
                    writer.write(self.answer(raw))
        except ConnectionError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[MllpSender]:
    """The receiver up, and a sender."""
    sender = MllpSender()
    async with await asyncio.start_server(receiver.serve, receiver.host, 0, ssl=receiver.tls) as server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield sender
        await sender.close()
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "answer",
    [acknowledged, lambda raw: acknowledged(raw).rstrip(b"\r"), lambda raw: frame(acknowledged(raw))],
    ids=["bare", "without-its-cr", "framed-after-all"],
)
async def test_answers_without_a_frame(answer: Callable[[bytes], bytes]) -> None:
    receiver = Receiver(answer, Line(answers="unframed"))
    async with listening(receiver) as sender:
        for number in range(2):
            reply = await sender.send(receiver, orm(id=f"C{number}"))
            assert parse(reply).get("MSA-2") == f"C{number}"
    assert receiver.connections == 1


async def test_one_that_never_answers_has_what_was_written() -> None:
    receiver = Receiver(lambda raw: b"", Line(answers="none"))
    async with listening(receiver) as sender:
        for number in range(3):
            assert await sender.send(receiver, orm(id=f"C{number}")) == b""
        await asyncio.sleep(0.1)
    assert [parse(raw).control_id for _, _, raw in receiver.messages] == ["C0", "C1", "C2"]


async def test_one_message_per_connection_and_a_pause_between() -> None:
    line = Line(one_message_per_connection=True, pause_seconds=0.2)
    receiver = Receiver(lambda raw: frame(acknowledged(raw)), line)
    async with listening(receiver) as sender:
        await asyncio.gather(*(sender.send(receiver, orm(id=f"C{number}")) for number in range(3)))
    assert [number for number, _, _ in receiver.messages] == [1, 2, 3]
    times = [at for _, at, _ in receiver.messages]
    assert min(after - before for before, after in itertools.pairwise(times)) > 0.19


async def test_each_receiver_has_its_own_patience_and_those_behind_do_not_wait_for_it_again() -> None:
    receiver = Receiver(lambda raw: b"", Line(answer_seconds=0.3))
    async with listening(receiver) as sender:
        begun = time.monotonic()
        results = await asyncio.gather(*(sender.send(receiver, orm()) for _ in range(5)), return_exceptions=True)
        assert time.monotonic() - begun < 1.0
    assert all(isinstance(result, UnavailableError) for result in results)
    assert len(receiver.messages) == 1


async def test_a_late_answer_is_nobodys() -> None:
    late: list[asyncio.Task[None]] = []

    class Late(Receiver):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            raw = (await reader.readuntil(b"\x1c\r"))[1:-2]
            if self.connections == 1:
                await asyncio.sleep(0.4)
            writer.write(frame(acknowledged(raw)))
            await reader.read()
            writer.close()

    receiver = Late(lambda raw: b"", Line(answer_seconds=0.2))
    async with listening(receiver) as sender:
        with pytest.raises(UnavailableError, match=r"no answer .* in 0\.2 s"):
            await sender.send(receiver, orm(id="C1"))
        await asyncio.sleep(0.3)
        assert parse(await sender.send(receiver, orm(id="C2"))).get("MSA-2") == "C2"
    assert late == []


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def served(authority: Authority) -> ssl.SSLContext:
    """A receiver's side: it wants a certificate of the authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
    context.load_cert_chain(authority.issue("receiver"))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_tls_with_a_certificate_of_ours(authority: Authority) -> None:
    line = Line(tls=True, ca=str(authority.ca), cert=str(authority.issue("interop")), server_name="receiver.example")
    receiver = Receiver(lambda raw: frame(acknowledged(raw)), line, served(authority))
    async with listening(receiver) as sender:
        for number in range(2):
            assert parse(await sender.send(receiver, orm(id=f"C{number}"))).get("MSA-2") == f"C{number}"
    assert receiver.connections == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"server_name": "elsewhere.example"}, "no connection to .*: .*elsewhere"),
        ({"ca": ""}, "no connection to .*: "),
        ({"ca": "/no/such/ca.pem"}, r"no TLS to .*: /no/such/ca\.pem"),
        ({"cert": ""}, "ended TLS: .*certificate|without an answer|no connection"),
    ],
)
async def test_tls_that_does_not_come_about_is_said(authority: Authority, changed: dict[str, str], said: str) -> None:
    good = {"ca": str(authority.ca), "cert": str(authority.issue("interop")), "server_name": "localhost"}
    line = Line(tls=True, **{**good, **changed})  # type: ignore[arg-type]
    receiver = Receiver(lambda raw: frame(acknowledged(raw)), line, served(authority))
    async with listening(receiver) as sender:
        with pytest.raises(UnavailableError, match=said):
            await sender.send(receiver, orm())
    assert receiver.messages == []
