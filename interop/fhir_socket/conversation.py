"""One websocket, from its acceptance to its end: it hears commands, and tells what is due.

Everything is sent from one place, one frame after the other. A client that does not take a frame in time is let go:
what it missed has numbers, and is kept (``$events``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from logging import getLogger

from starlette.types import Message, Receive, Send

from interop.access import Agent
from interop.errors import InteropError, UnavailableError
from interop.fhir_socket.commands import BIND, command
from interop.fhir_socket.letters import UNSEEN, BehindError, Bound, EndedError, Letter, Letters, Stand

logger = getLogger(__name__)

NORMAL, UNSUPPORTED, POLICY, MISTAKE, LATER = 1000, 1003, 1008, 1011, 1013  # RFC 6455 7.4.1 and its registry
AGAIN_SECONDS = 1.0  # after the database did not answer
_LONGEST_REASON = 120  # bytes; a close frame has room for 123 (RFC 6455 5.5)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket, one caller and the process may have."""

    sockets: int = 1000
    sockets_of_caller: int = 16
    subscriptions: int = 50  # of one socket
    bind_seconds: float = 30.0  # that a socket may stay without any
    slowest: float | None = None  # seconds that a frame may take, in place of what the subscription says


class CloseError(Exception):
    """The socket is to be closed, and why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(slots=True)
class _Held:
    """A binding, and when it is due by itself."""

    bound: Bound
    beat: float  # loop time
    again: float = field(default=0.0)  # not before this loop time


class Conversation:
    """One socket."""

    def __init__(
        self,
        letters: Letters,
        agent: Agent,
        receive: Receive,
        send: Send,
        limits: Limits,
        *,
        began: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._letters = letters
        self._agent = agent
        self._receive = receive
        self._send = send
        self._limits = limits
        self._began = began
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._stands: Mapping[str, Stand] = {}
        self._wake = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._opened = self._now()

    @property
    def bound(self) -> Iterator[str]:
        """The ids of what is bound here."""
        return iter(self._held)

    def look(self, stands: Mapping[str, Stand]) -> None:
        """This is how the subscriptions stand: wake up if one of ours has moved."""
        self._stands = stands
        if any(stands.get(id) != held.bound.stand for id, held in self._held.items()):
            self._wake.set()

    async def run(self) -> None:
        """Returns when the socket is closed."""
        await self._receive()  # websocket.connect
        await self._send({"type": "websocket.accept"})
        try:
            await self._talk()
        except CloseError as end:
            reason = end.reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
            with contextlib.suppress(OSError):  # it is gone already
                await self._send({"type": "websocket.close", "code": end.code, "reason": reason})

    async def _talk(self) -> None:
        hearing = self._listen()
        try:
            while True:
                await self._pause()
                if hearing.done():
                    message = hearing.result()
                    if message["type"] == "websocket.disconnect":
                        return
                    await self._hear(message)
                    hearing = self._listen()
                await self._tend()
        except OSError:  # the client went while it was told something
            return
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    def _listen(self) -> asyncio.Task[Message]:
        async def heard() -> Message:
            return await self._receive()

        task = asyncio.create_task(heard())
        task.add_done_callback(lambda _: self._wake.set())
        return task

    async def _pause(self) -> None:
        """Until somebody says something, something happened, or it is time for something."""
        now, clock = self._now(), self._clock()
        times = [self._opened + self._limits.bind_seconds - now] if not self._held else []
        for held in self._held.values():
            if held.bound.agent.expires is not None:
                times.append(held.bound.agent.expires - clock)
            if held.bound.heartbeat is not None:
                times.append(held.beat - now)
            if held.again:
                times.append(held.again - now)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(times)) if times else None):
                await self._wake.wait()
        self._wake.clear()

    async def _hear(self, message: Message) -> None:
        text = message.get("text")
        if text is None:
            raise CloseError(UNSUPPORTED, "text frames only")
        try:
            said = command(text)
            if said.word == BIND:
                letters = await self._letters.bind(self._agent, said.about)
            else:
                letters = await self._letters.bind_with_token(self._agent, said.about)
        except UnavailableError as error:
            raise CloseError(LATER, error.text) from error
        except InteropError as error:
            raise CloseError(POLICY, error.text) from error
        if len(self._held.keys() | {letter.bound.id for letter in letters}) > self._limits.subscriptions:
            raise CloseError(POLICY, f"a socket has at most {self._limits.subscriptions} subscriptions")
        for letter in letters:
            held = self._held.get(letter.bound.id)
            if held is not None:  # bound anew, with another token: nothing is passed over, and nothing told twice
                letter = replace(letter, bound=replace(letter.bound, told=held.bound.told))
            await self._take(letter)
        self._began()

    async def _take(self, letter: Letter) -> None:
        """Send the frames, then know that they were."""
        bound = letter.bound
        for frame in letter.frames:
            await self._say(frame, self._limits.slowest or bound.seconds)
        held = self._held.setdefault(bound.id, _Held(bound, 0.0))
        if (letter.frames or not held.beat) and bound.heartbeat is not None:
            held.beat = self._now() + bound.heartbeat
        held.bound, held.again = bound, 0.0

    async def _say(self, frame: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._send({"type": "websocket.send", "text": frame})
        except TimeoutError as error:
            raise CloseError(LATER, "the client does not take what it is sent; $events has what it missed") from error

    async def _tend(self) -> None:
        """Whatever is due of each subscription, and the end of those that are over."""
        if not self._held and self._now() >= self._opened + self._limits.bind_seconds:
            raise CloseError(POLICY, "no subscription was bound in time")
        for held in list(self._held.values()):
            bound = held.bound
            if bound.agent.expires is not None and bound.agent.expires <= self._clock():
                raise CloseError(POLICY, "the token has expired")
            if held.again > self._now():
                continue
            try:
                await self._tend_one(held)
            except EndedError as error:
                del self._held[bound.id]
                if not self._held:
                    raise CloseError(NORMAL, error.text) from error
            except BehindError as error:
                raise CloseError(LATER, error.text) from error
            except UnavailableError as error:
                logger.warning("a websocket has to wait: %s", error.text)
                held.again = self._now() + AGAIN_SECONDS
            except InteropError as error:
                raise CloseError(POLICY, error.text) from error

    async def _tend_one(self, held: _Held) -> None:
        stand = self._stands.get(held.bound.id)
        if stand != held.bound.stand:
            letter = await self._letters.due(held.bound, stand)
            await self._take(letter)
            if letter.more:  # in turns with the others, and with what the client says
                held.bound = replace(held.bound, stand=UNSEEN)
                self._wake.set()
        if held.bound.heartbeat is not None and self._now() >= held.beat:
            await self._take(await self._letters.heartbeat(held.bound))
