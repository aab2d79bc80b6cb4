"""The engine for many processes: PostgreSQL by psycopg, each unit a transaction over one of a few connections.

READ COMMITTED: what must not happen twice is guarded by ``Tx.lock`` and by unique indexes. A unit that loses a race
(serialization failure, deadlock, an identity that another has just taken) is run again as a whole. A connection lost
before COMMIT was sent is a race lost, too; one lost in COMMIT leaves the outcome unknown and is UnavailableError.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from interop.access.agent import Agent, system_agent
from interop.errors import ConflictError, InteropError, UnavailableError
from interop.store import fibers, instants
from interop.store import statements as sql
from interop.store.fibers import wait
from interop.store.postgresql_readings import Readings
from interop.store.postgresql_session import Options, PostgresqlSession, connect
from interop.store.postgresql_wire import Wire
from interop.store.session import ReadOnlySession
from interop.store.store import Refused, Store, T
from interop.store.tx import Tx
from interop.store.unit import Surroundings

logger = logging.getLogger(__name__)

ATTEMPTS = 6
RETRY_AFTER = 5
NUMBERS_AT_ONCE = 20  # counters are taken in blocks, outside the unit: a row all units wait for would be a queue
_VIEWER = system_agent("view")
_VIEW = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_RACES = frozenset(("40001", "40P01", "23505"))  # serialization failure, deadlock, unique violation
_OUTAGES = ("08", "53", "57", "58")  # connection, resources, operator, system (PostgreSQL errcodes-appendix)
_OUTAGE_PAUSE = 10.0  # seconds between two lines of the log about the same outage
_OUTAGE_CODES = frozenset(("25006", "55P03"))  # a standby answered; a lock was not to be had in time


class _Numbers:
    """Counters, handed out from blocks that a connection of their own takes."""

    def __init__(self, options: Options, threads: ThreadPoolExecutor) -> None:
        self._options = options
        self._threads = threads
        self._connection: Wire | None = None
        self._taking = asyncio.Lock()
        self._blocks: dict[str, range] = {}

    def take(self, name: str) -> int:
        """The next number of this counter."""
        while not self._blocks.get(name):
            wait(self._refill(name))
        block = self._blocks[name]
        self._blocks[name] = block[1:]
        return block[0]

    async def _refill(self, name: str) -> None:
        async with self._taking:
            if not self._blocks.get(name):
                loop = asyncio.get_running_loop()
                self._blocks[name] = await loop.run_in_executor(self._threads, self._block, name)

    def _block(self, name: str) -> range:
        for last_try in (False, True):
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = connect(self._options)
                taken = self._connection.ask(sql.COUNTER_TAKE, (name, NUMBERS_AT_ONCE)).row()
                break
            except psycopg.OperationalError:
                self.close()
                if last_try:
                    raise
        assert taken is not None
        return range(taken[0] - NUMBERS_AT_ONCE + 1, taken[0] + 1)

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresqlStore(Store):
    """A database on a server."""

    backend = "postgresql"
    units_in_order = False

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._options = options
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="store")  # where connections are opened
        self._slots = asyncio.Semaphore(options.pool_size)
        self._under_way: set[asyncio.Task[Any]] = set()
        self._idle: deque[Wire] = deque()
        self._numbers = _Numbers(options, self._threads)
        self._readings = Readings(
            lambda work, commit: self._on_fiber(lambda: self._over(work, commit)),
            lambda one: self.unit(one.agent, one.work, refused=one.refused),
            surroundings,
        )
        self._closed = False

    async def unit(self, agent: Agent, work: Callable[[Tx], T], *, refused: Refused[T] | None = None) -> T:
        value, enqueued = await self._on_fiber(lambda: self._repeat(lambda c: self._attempt(c, agent, work, refused)))
        self._tell_ready(enqueued)
        return value

    async def reading(
        self,
        agent: Agent,
        work: Callable[[Tx], T],
        wanted: Sequence[tuple[str, str]] = (),
        *,
        refused: Refused[T] | None = None,
    ) -> T:
        value: T = await self._readings.read(agent, work, refused, wanted)
        return value

    async def view(self, work: Callable[[Tx], T]) -> T:
        return await self._on_fiber(lambda: self._repeat(lambda c: self._look(c, work)))

    async def close(self) -> None:
        self._closed = True
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
        while self._idle:
            self._idle.popleft().close()
        self._numbers.close()

    async def _on_fiber(self, work: Callable[[], T]) -> T:
        """Carried out to its end, also where whoever waits for it has gone."""
        if self._closed:
            raise UnavailableError("the store is closed", retry_after=RETRY_AFTER)
        task = asyncio.get_running_loop().create_task(self._in_turn(work))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        async with self._slots:
            return await fibers.run(work)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited for it may have gone

    # on a fiber

    def _repeat(self, attempt: Callable[[_Transaction], T]) -> T:
        """Run the attempt until it is decided."""
        for left in reversed(range(ATTEMPTS)):
            transaction = _Transaction()
            try:
                transaction.connection = self._take()
                value = attempt(transaction)
            except psycopg.Error as error:
                lost = self._discard_if_broken(transaction, error)
                reached = transaction.connection is not None  # else whoever called may try later
                again = (lost and reached and not transaction.committing) or error.sqlstate in _RACES
                if again and left:
                    wait(asyncio.sleep(random.uniform(0, 0.01) * (ATTEMPTS - left)))  # noqa: S311 - no secret
                    continue
                raise _answer(error) from error
            except BaseException:
                self._give_back(transaction)
                raise
            self._give_back(transaction)
            return value
        raise AssertionError("the last attempt returns or raises")

    def _attempt(
        self, transaction: _Transaction, agent: Agent, work: Callable[[Tx], T], refused: Refused[T] | None
    ) -> tuple[T, set[str]]:
        tx = self._begin(transaction, agent)
        try:
            value = work(tx)
        except InteropError as error:
            if refused is None:
                raise
            transaction.undo()
            tx = self._begin(transaction, agent)
            value = refused(tx, error)
        transaction.commit()
        return value, tx.enqueued

    def _over(self, work: Callable[[PostgresqlSession], None], commit: bool) -> None:
        """Work of several: committed, or, where it only asks, without a transaction; tried once."""
        transaction = _Transaction()
        try:
            transaction.connection = self._take()
            session = transaction.session = PostgresqlSession(transaction.open, self._numbers.take)
            if commit:
                session.begin()
            work(session)
            if commit:
                transaction.commit()
        except psycopg.Error as error:
            self._discard_if_broken(transaction, error)
            raise
        except BaseException:
            self._give_back(transaction)
            raise
        self._give_back(transaction)

    def _look(self, transaction: _Transaction, work: Callable[[Tx], T]) -> T:
        session = transaction.session = PostgresqlSession(transaction.open, self._numbers.take)
        session.begin(_VIEW)
        value = work(Tx(ReadOnlySession(session), _VIEWER, instants.now(), self._surroundings))
        transaction.undo()
        return value

    def _begin(self, transaction: _Transaction, agent: Agent) -> Tx:
        session = transaction.session = PostgresqlSession(transaction.open, self._numbers.take)
        session.begin()
        return Tx(session, agent, instants.now(), self._surroundings)

    def _take(self) -> Wire:
        while self._idle:
            wire = self._idle.pop()
            if not wire.closed:
                return wire
        loop = asyncio.get_running_loop()
        wire = wait(loop.run_in_executor(self._threads, connect, self._options))
        wire.attach()
        return wire

    def _give_back(self, transaction: _Transaction) -> None:
        connection = transaction.connection
        if connection is None:
            return
        try:
            transaction.undo()
        except psycopg.Error:
            connection.close()
        else:
            self._idle.append(connection)

    def _discard_if_broken(self, transaction: _Transaction, error: psycopg.Error) -> bool:
        """Whether the connection was lost; all idle ones are then as old as it was."""
        connection = transaction.connection
        lost = connection is None or connection.closed or (error.sqlstate or "").startswith(("08", "57P0"))
        if not lost:
            self._give_back(transaction)
            return False
        if connection is not None:
            connection.close()
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                break
        return True


class _Transaction:
    """A connection on its way through one attempt."""

    __slots__ = ("committing", "connection", "session")

    def __init__(self) -> None:
        self.connection: Wire | None = None
        self.session: PostgresqlSession | None = None
        self.committing = False

    @property
    def open(self) -> Wire:
        assert self.connection is not None
        return self.connection

    def commit(self) -> None:
        """COMMIT; a transaction that an error has already ended answers ROLLBACK, which must not pass for one."""
        assert self.session is not None
        self.open.check()
        self.committing = True
        if self.session.commit() != "COMMIT":
            raise RuntimeError("the unit went on after a failed statement; nothing was kept")

    def undo(self) -> None:
        """ROLLBACK, unless nothing was sent yet."""
        if not self.open.idle:
            self.open.ask("ROLLBACK")


class _Outages:
    """A line for an outage and then one now and then, not one for everybody who runs into it."""

    def __init__(self) -> None:
        self._told = float("-inf")
        self._more = 0

    def note(self, why: str) -> None:
        """The code, or libpq's own words where there was no server to give one; they hold no data."""
        now = time.monotonic()
        if now - self._told < _OUTAGE_PAUSE:
            self._more += 1
            return
        logger.error("the database refused a commit: %s%s", why, f" ({self._more} more before)" if self._more else "")
        self._told, self._more = now, 0


_outages = _Outages()


def _answer(error: psycopg.Error) -> Exception:
    """What the caller is told; errors of ours stay what they are."""
    code = error.sqlstate
    if code == "23505":
        return ConflictError("changed by another at the same moment; worth a retry")
    outage = code is None and isinstance(error, psycopg.OperationalError)
    if outage or (code is not None and (code[:2] in _OUTAGES or code in _RACES or code in _OUTAGE_CODES)):
        _outages.note(code or str(error).partition("\n")[0].strip() or type(error).__name__)
        text = "the database is full" if code == "53100" else "the database is not available"
        return UnavailableError(text, retry_after=60 if code == "53100" else RETRY_AFTER)
    return error
