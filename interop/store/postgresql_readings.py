"""Reads of a distant database, whose events are committed together.

A read costs little; the commit of its event costs a round trip and a flush of the log. So a read is carried out by
itself, without a transaction, and its events wait for the next commit of such events, as units wait for a group on
SQLite: nobody is answered before they are on the disk, and a search that takes long holds up no other. Reads of
resources that are named beforehand are even asked for together.

Whoever turns out to want more than to read, and everybody of a group that anything but a refusal happens to, is
carried out again as a unit of its own, which tells what is wrong.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from interop.access.agent import Agent
from interop.errors import InteropError
from interop.store import instants
from interop.store import statements as sql
from interop.store.postgresql_session import PostgresqlSession
from interop.store.session import ReadOnlySession, Values
from interop.store.tx import Tx
from interop.store.unit import Surroundings

GROUPS = 2  # under way at a time: one is put together while the other one waits for its answer
GROUP = 64  # members of one
_AUDIT = frozenset((sql.AUDIT_INSERT, sql.AUDIT_INSERT_ONCE))

Work = Callable[[Tx], Any]
Refused = Callable[[Tx, InteropError], Any]
Wanted = Sequence[tuple[str, str]]  # type and id
OverSession = Callable[[PostgresqlSession], None]


class Reading:
    """One of them, and what came of it."""

    __slots__ = ("agent", "error", "events", "failure", "refused", "step", "value", "wanted", "work")

    def __init__(self, agent: Agent, work: Work, refused: Refused | None, wanted: Wanted) -> None:
        self.agent, self.work, self.refused, self.wanted = agent, work, refused, wanted
        self.value: Any = None
        self.error: InteropError | None = None  # its refusal
        self.failure: Exception | None = None  # why it is to be carried out again
        self.events: list[tuple[str, Values]] = []
        self.step: asyncio.Future[None] | None = None


class _EventsSession(ReadOnlySession):
    """Reads, and keeps the events that are left."""

    def __init__(self, inner: PostgresqlSession) -> None:
        super().__init__(inner)
        self.events: list[tuple[str, Values]] = []

    def put(self, sql: str, values: Values = ()) -> None:
        if sql not in _AUDIT:
            super().put(sql, values)
        self.events.append((sql, values))


class _Groups:
    """Readings that wait for the same step, and go through it together."""

    def __init__(self, step: Callable[[list[Reading]], Awaitable[None]]) -> None:
        self._step = step
        self._waiting: deque[Reading] = deque()
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def through(self, reading: Reading) -> None:
        """Wait until it has been through; its ``failure`` says whether it was in vain."""
        loop = asyncio.get_running_loop()
        reading.step = loop.create_future()
        self._waiting.append(reading)
        if self._under_way < GROUPS:
            self._under_way += 1
            task = loop.create_task(self._serve())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await reading.step

    async def _serve(self) -> None:
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
                failure: Exception | None = None
                try:
                    await self._step(group)
                except Exception as error:  # whatever it was: each finds out for itself
                    failure = error
                for reading in group:
                    reading.failure = failure or reading.failure
                    if reading.step is not None and not reading.step.done():
                        reading.step.set_result(None)
        finally:  # at once: whoever comes from now on has to begin anew
            self._under_way -= 1


class Readings:
    """All those of a store."""

    def __init__(
        self,
        over: Callable[[OverSession, bool], Awaitable[None]],
        alone: Callable[[Reading], Awaitable[Any]],
        surroundings: Surroundings,
    ) -> None:
        """``over`` carries something out over a session, once or not at all, committed if so asked.

        ``alone`` carries out a reading as a unit.
        """
        self._over = over
        self._alone = alone
        self._surroundings = surroundings
        self._named = _Groups(lambda group: over(lambda session: self._ask(session, group), False))
        self._committing = _Groups(lambda group: over(lambda session: _write(session, group), True))

    async def read(self, agent: Agent, work: Work, refused: Refused | None, wanted: Wanted) -> Any:
        """What the work returned, or ``refused``; raised is what ``alone`` would raise."""
        reading = Reading(agent, work, refused, wanted)
        if wanted:
            await self._named.through(reading)
        else:
            try:
                await self._over(lambda session: self._ask(session, [reading]), False)
            except Exception as error:
                reading.failure = error
        if reading.failure is None and reading.events:
            await self._committing.through(reading)
        if reading.failure is not None:
            return await self._alone(reading)
        if reading.error is not None:
            raise reading.error
        return reading.value

    def _ask(self, session: PostgresqlSession, group: Sequence[Reading]) -> None:
        for reading in group:
            for key in reading.wanted:
                session.foresee(sql.RESOURCE, key)
        for reading in group:
            try:
                self._carry_out(session, reading)
            except InteropError as error:
                reading.error = error
            except RuntimeError as error:  # it wants to write
                reading.failure = error

    def _carry_out(self, session: PostgresqlSession, reading: Reading) -> None:
        try:
            own = _EventsSession(session)
            reading.value = reading.work(self._tx(own, reading.agent))
        except InteropError as error:
            if reading.refused is None:
                raise
            own = _EventsSession(session)
            reading.value = reading.refused(self._tx(own, reading.agent), error)
        reading.events = own.events

    def _tx(self, session: _EventsSession, agent: Agent) -> Tx:
        return Tx(session, agent, instants.now(), self._surroundings)


def _write(session: PostgresqlSession, group: Sequence[Reading]) -> None:
    for reading in group:
        for statement, values in reading.events:
            session.put(statement, values)
