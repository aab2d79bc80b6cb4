"""Messages to receivers: as many connections to each as its line says, one message on its way over each.

They are kept open unless the line says otherwise. A reply that does not come in time, or that is to something else,
closes its connection: a late one must never be taken for the answer to the next message.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from interop.errors import UnavailableError
from interop.hl7.framing import frame
from interop.hl7.line import Line, NotTriedError
from interop.mllp_sender.wire import Answers, Unasked, Wire, Writing, anything
from interop.tls import TlsContext, TlsFileError, TlsFiles, reason_of

Place = tuple[str, int]
Tell = Callable[[str, bytes, Writing], None]  # which receiver, what it said, and how to answer it


class Address(Protocol):
    """Where a receiver listens; how it is to be spoken to may stand in its ``line``."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


@dataclass(slots=True, eq=False)
class _Slot:
    """Room for one message on its way, and the connection that the last one left open."""

    wire: Wire | None = None
    free_at: float = 0.0  # when the pause after the last message is over

    def end(self, *, abort: bool) -> None:
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.close(abort=abort)


class _Slots:
    """The connections to one receiver, and whether it answers at all."""

    def __init__(self, count: int) -> None:
        self.every = [_Slot() for _ in range(count)]
        self.turn = asyncio.Semaphore(count)
        self.failures = 0
        self.down = False  # the last exchange came to nothing, and nothing else was answered beside it
        self._idle = list(self.every)
        self._answered = 0.0

    def take(self, now: float) -> _Slot:
        """The one that may be written to first, rather over an open connection."""
        best = min(self._idle, key=lambda slot: (max(0.0, slot.free_at - now), slot.wire is None or not slot.wire.open))
        self._idle.remove(best)
        return best

    def give_back(self, slot: _Slot) -> None:
        self._idle.append(slot)

    def failed(self, begun: float) -> None:
        self.failures += 1
        self.down = self._answered <= begun

    def succeeded(self, now: float) -> None:
        self._answered, self.down = now, False


class MllpSender:
    """Sends messages to receivers and hands their replies back."""

    def __init__(
        self,
        *,
        connect_seconds: float | None = None,
        reply_seconds: float | None = None,
        unasked: Tell | None = None,
    ) -> None:
        """The seconds hold for receivers that have no line of their own, or for all where they are given.

        ``unasked`` is given what receivers of enhanced mode say beside their replies.
        """
        self._unasked = unasked
        self._connect_seconds = connect_seconds
        self._reply_seconds = reply_seconds
        self._slots: dict[tuple[Place, Line], _Slots] = {}  # two may listen at one place, spoken to otherwise
        self._contexts: dict[TlsFiles, TlsContext] = {}

    async def send(self, receiver: Address, raw: bytes, answers: Answers = anything) -> bytes:
        """The reply to the message, empty where the receiver gives none; UnavailableError when none came.

        NotTriedError, which is one, where it had to wait for others so long that nothing was sent.

        ``answers`` says of a reply whether it is one to this message. One to an earlier message of the connection is
        passed over; one to anything else ends the connection, and is an UnavailableError.
        """
        place, line = (receiver.host, receiver.port), _line_of(receiver)
        framed = frame(raw)
        slots = self._slots.get((place, line)) or self._slots.setdefault((place, line), _Slots(line.connections))
        await self._turn(slots, place, self._reply_seconds or line.answer_seconds)
        try:
            slot = slots.take(_now())
            try:
                await asyncio.sleep(max(0.0, slot.free_at - _now()))
                return await self._send(slots, slot, place, line, framed, answers, self._unasked_of(receiver))
            finally:
                slots.give_back(slot)
        finally:
            slots.turn.release()

    async def _turn(self, slots: _Slots, place: Place, seconds: float) -> None:
        """Until a connection is free; NotTriedError where that takes longer than an answer may, or one just failed."""
        failures = slots.failures
        try:
            async with asyncio.timeout(seconds):
                await slots.turn.acquire()
        except TimeoutError:
            raise NotTriedError(f"{place[0]}:{place[1]} is busy with others") from None
        if slots.failures != failures and slots.down:  # it failed while this one waited
            slots.turn.release()
            raise NotTriedError(f"{place[0]}:{place[1]} does not answer")

    def _unasked_of(self, receiver: Address) -> Unasked | None:
        tell = self._unasked
        if tell is None or not getattr(receiver, "enhanced", False):
            return None
        name = str(getattr(receiver, "name", receiver.host))
        return lambda raw, say: tell(name, raw, say)

    async def _send(
        self,
        slots: _Slots,
        slot: _Slot,
        place: Place,
        line: Line,
        framed: bytes,
        answers: Answers,
        unasked: Unasked | None,
    ) -> bytes:
        begun, seconds = _now(), self._reply_seconds or line.answer_seconds
        try:
            wire = await self._wire(slot, place, line, unasked)
            try:
                if line.answers == "none":
                    await wire.tell(framed, seconds)
                    reply = b""
                else:
                    reply = await wire.exchange(framed, seconds, answers)
            except TimeoutError as error:
                raise UnavailableError(f"no answer from {place[0]}:{place[1]} in {seconds:g} s") from error
        except BaseException:
            slots.failed(begun)
            slot.end(abort=True)
            raise
        finally:
            slot.free_at = _now() + line.pause_seconds
        slots.succeeded(_now())
        if line.one_message_per_connection:
            slot.end(abort=False)
        return reply

    async def close(self) -> None:
        """Close all connections."""
        for slots in self._slots.values():
            for slot in slots.every:
                slot.end(abort=True)

    async def _wire(self, slot: _Slot, place: Place, line: Line, unasked: Unasked | None) -> Wire:
        if slot.wire is not None and slot.wire.open:
            return slot.wire
        loop = asyncio.get_running_loop()
        try:
            context = self._context(line) if line.tls else None
            async with asyncio.timeout(self._connect_seconds or line.connect_seconds):
                _, wire = await loop.create_connection(
                    lambda: Wire(line, unasked),
                    *place,
                    ssl=context,
                    server_hostname=(line.server_name or place[0]) if context else None,
                )
        except TlsFileError as error:
            raise UnavailableError(f"no TLS to {place[0]}:{place[1]}: {error.text}") from error
        except (OSError, TimeoutError) as error:
            raise UnavailableError(f"no connection to {place[0]}:{place[1]}: {_why(error)}") from error
        slot.wire = wire
        return wire

    def _context(self, line: Line) -> ssl.SSLContext:
        cert, key, ca = (Path(name) if name else None for name in (line.cert, line.key, line.ca))
        files = TlsFiles(cert, key, ca)
        if files not in self._contexts:
            self._contexts[files] = TlsContext(files, server=False)
        return self._contexts[files].current()


def _why(error: OSError) -> str:
    """What kept a connection from being made, in few words."""
    match error:
        case ssl.SSLError():
            return reason_of(error)
        case TimeoutError():
            return "no answer in time"
        case socket.gaierror():
            return "the name is not known"
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


def _now() -> float:
    return asyncio.get_running_loop().time()


def _line_of(receiver: Address) -> Line:
    line = getattr(receiver, "line", None)
    return line if isinstance(line, Line) else Line()
