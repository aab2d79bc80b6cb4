"""The embedded engine: SQLite by the standard library, one connection, statements run in the event loop.

Units that are waiting together share one BEGIN IMMEDIATE … COMMIT, so that they share one fsync. A
group is first run without savepoints, which cost a third of the time of everything: where a unit is refused, the group
is undone and run again, each unit under its own savepoint, and so are the next few groups. Measured: a writer thread
beside a busy loop is starved by the interpreter's lock, while a statement in the loop takes microseconds. One
connection writes and checkpoints: SQLite before 3.51.3 may otherwise corrupt the file
(sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from interop.access.agent import Agent, system_agent
from interop.errors import ConflictError, InteropError, UnavailableError
from interop.store import instants
from interop.store import statements as sql
from interop.store.beside import NotAReadError, Readers, Watch, refuse, write_owed
from interop.store.file_lock import FileLock
from interop.store.rows import Stats
from interop.store.session import ReadOnlySession
from interop.store.sqlite_session import Options, SqliteSession, connect
from interop.store.store import Refused, Store, T
from interop.store.tx import Tx
from interop.store.unit import Surroundings

logger = logging.getLogger(__name__)

GROUP = 256  # units in one commit
GROUP_SECONDS = 0.05  # after which a group is committed and the loop has a turn
PATIENCE = 0.0005  # seconds without a newcomer, after which a group that is smaller than is known is begun
PROBE = 8  # groups after which one unit more than is known is waited for
CAREFUL_GROUPS = 32  # after a refusal, so many groups use savepoints from the start
RETRY_AFTER = 5
_VIEWER = system_agent("view")
_ENGINE_FAILURES = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    )
)
_TAKEN = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
_KEEPS_CONNECTION = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT))


class _Waiting:
    """A unit that waits for its group."""

    __slots__ = ("agent", "aside", "enqueued", "error", "future", "refused", "value", "watched", "work")

    def __init__(
        self, agent: Agent, work: Callable[[Tx], Any], refused: Refused[Any] | None, future: asyncio.Future[Any]
    ) -> None:
        self.agent = agent
        self.work = work
        self.refused = refused
        self.future = future
        self.value: Any = None
        self.error: BaseException | None = None
        self.enqueued: set[str] = set()
        self.watched = True  # its questions may be stopped,
        self.aside = False  # and one was: it is to begin anew beside the loop


class SqliteStore(Store):
    """A database in one file."""

    backend = "sqlite"
    units_in_order = True

    def __init__(self, options: Options, lock: FileLock, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._options = options
        self._lock = lock
        self._connection: sqlite3.Connection | None = connect(options)
        self._watch = Watch(self._connection)
        self._readers = Readers(options, surroundings)
        self._aside: set[asyncio.Task[None]] = set()
        self._waiting: deque[_Waiting] = deque()
        self._scheduled = False
        self._arrived = 0.0  # when the last unit came
        self._expected = (1, 1)  # units in the last two groups
        self._most = 1  # units that come together, as far as is known
        self._groups = 0
        self._closed = False
        self._careful = 0  # groups that still use savepoints
        self._release_jobs(self._connection)

    def _release_jobs(self, connection: sqlite3.Connection) -> None:
        """Since the lock is ours, whoever had claimed a job has ended, by kill -9 perhaps: its lease is over."""
        try:
            connection.execute(sql.JOB_RELEASE_ALL)
        except sqlite3.Error as error:
            if not _is_engine_failure(error):
                raise
            logger.warning("jobs of a process that ended wait for their leases: %s", _name(error))

    async def unit(self, agent: Agent, work: Callable[[Tx], T], *, refused: Refused[T] | None = None) -> T:
        if self._closed:
            raise UnavailableError("the store is closed", retry_after=RETRY_AFTER)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._enqueue(_Waiting(agent, work, refused, future), loop)
        return await future

    def _enqueue(self, unit: _Waiting, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting.append(unit)
        self._arrived = time.monotonic()
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._commit_group, loop)

    async def view(self, work: Callable[[Tx], T]) -> T:
        try:
            session = SqliteSession(self._open())
            self._watch.begin(session)
            return work(Tx(ReadOnlySession(session), _VIEWER, instants.now(), self._surroundings))
        except sqlite3.Error as error:
            if not self._watch.stopped:
                if not _is_engine_failure(error):
                    raise
                raise self._failed(error) from error
        return await self._readers.look(_VIEWER, work)

    async def _begin_aside(self, unit: _Waiting) -> None:
        """A unit that asks for long, beside the loop; what it leaves behind is committed here before it is answered."""
        again = _Waiting(unit.agent, unit.work, unit.refused, unit.future)
        again.watched = False
        try:
            value, owed = await self._readers.read(unit.agent, unit.work)
            again.work = partial(write_owed, value=value, owed=owed)
        except NotAReadError:
            pass  # it has to be done in the loop, however long it takes
        except InteropError as error:
            again.work = partial(refuse, error=error)
        except Exception as error:
            unit.error = error
            _resolve(unit)
            return
        self._enqueue(again, asyncio.get_running_loop())

    async def _count(self) -> Stats:
        """Counting reads a whole index, so it is done beside the loop, over a connection that neither writes nor
        checkpoints."""
        self._open()
        return await self._readers.look(_VIEWER, lambda tx: tx.stats())

    async def close(self) -> None:
        self._closed = True
        while self._waiting:
            self._run_group()
        await self._readers.close()
        while self._aside or self._waiting:
            await asyncio.gather(*self._aside)
            self._run_group()
        try:
            if self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._connection.close()
        except sqlite3.Error as error:
            logger.warning("the database was left with its WAL: %s", _name(error))  # replayed at the next start
        finally:
            self._connection = None
            self._lock.release()

    # one group, one commit

    def _commit_group(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting:  # closing has done it
            self._scheduled = False
            return
        known = min(sum(self._expected), self._most)
        if self._more_to_come(known):
            loop.call_soon(self._commit_group, loop)
            return
        self._scheduled = False
        self._remember(len(self._waiting), known)
        self._run_group()
        if self._waiting and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._commit_group, loop)

    def _more_to_come(self, known: int) -> bool:
        """Whether those who were answered together are about to ask together again.

        The next requests of several senders come one after another, within less time than a commit takes: begun at
        the first of them, every group would be a fragment; begun without the last, every other group would be that one
        alone. Who is alone never waits.
        """
        alone = sum(self._expected) <= 2
        return len(self._waiting) < known and not alone and time.monotonic() - self._arrived < PATIENCE

    def _remember(self, came: int, known: int) -> None:
        """How many there are is learned: one less where they did not all come, now and then one more is waited for."""
        self._expected = (self._expected[1], came)
        self._groups += 1
        if came < known:
            self._most = max(came, self._most - 1)
        else:
            self._most = max(came, self._most) + (self._groups % PROBE == 0)

    def _run_group(self) -> None:
        done: list[_Waiting] = []
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                if not self._run_waiting(connection, done):
                    connection.execute("ROLLBACK")
                    connection.execute("BEGIN IMMEDIATE")
                    self._run_again(connection, done)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            self._refuse_group(done, self._failed(error))
            return
        except BaseException as error:  # KeyboardInterrupt: nothing was kept, and nobody may wait for ever
            self._refuse_group(done, UnavailableError("the server is stopping", retry_after=RETRY_AFTER))
            raise error
        for unit in done:
            if unit.aside:
                task = asyncio.get_running_loop().create_task(self._begin_aside(unit))
                self._aside.add(task)
                task.add_done_callback(self._aside.discard)
            else:
                _resolve(unit)
        for unit in done:
            self._tell_ready(unit.enqueued)

    def _run_waiting(self, connection: sqlite3.Connection, done: list[_Waiting]) -> bool:
        """Run those who wait; False where one was refused and there are no savepoints to undo it by itself."""
        session = SqliteSession(connection)
        now = instants.now()  # committed together, so of one moment
        until = time.monotonic() + GROUP_SECONDS
        careful = self._careful > 0
        self._careful -= careful
        while self._waiting and len(done) < GROUP:
            unit = self._waiting.popleft()
            if unit.future.cancelled():
                continue
            done.append(unit)
            if careful:
                self._run_careful(session, unit)
            elif not self._run_bold(session, unit, now):
                self._careful = CAREFUL_GROUPS
                return False
            if time.monotonic() > until:
                break
        session.keep_numbers()
        return True

    def _run_again(self, connection: sqlite3.Connection, done: list[_Waiting]) -> None:
        session = SqliteSession(connection)
        for unit in done:
            if not unit.aside:
                unit.enqueued = set()
                self._run_careful(session, unit)
        session.keep_numbers()

    def _run_bold(self, session: SqliteSession, unit: _Waiting, now: datetime) -> bool:
        tx = Tx(session, unit.agent, now, self._surroundings)
        self._watch.begin(session if unit.watched else None)
        try:
            unit.value = unit.work(tx)
        except Exception as error:
            if self._watch.stopped:
                unit.aside = True
                return True
            if _is_engine_failure(error):
                raise
            return False
        unit.enqueued = tx.enqueued
        return True

    def _run_careful(self, session: SqliteSession, unit: _Waiting) -> None:
        self._watch.begin(session if unit.watched else None)
        try:
            unit.value = self._under_savepoint(session, unit, unit.work)
        except InteropError as error:
            if unit.refused is None:
                unit.error = error
                return
            self._run_refused(session, unit, unit.refused, error)
        except Exception as error:
            if self._watch.stopped:
                unit.aside = True
            else:
                _keep_error(unit, error)

    def _run_refused(
        self, session: SqliteSession, unit: _Waiting, refused: Refused[Any], refusal: InteropError
    ) -> None:
        try:
            self._watch.begin(None)
            unit.value = self._under_savepoint(session, unit, lambda tx: refused(tx, refusal))
        except Exception as error:
            _keep_error(unit, error)

    def _under_savepoint(self, session: SqliteSession, unit: _Waiting, work: Callable[[Tx], Any]) -> Any:
        tx = Tx(session, unit.agent, instants.now(), self._surroundings)
        session.run("SAVEPOINT unit")
        try:
            value = work(tx)
        except Exception as error:
            if self._watch.stopped or not _is_engine_failure(error):
                session.run("ROLLBACK TO unit")
                session.run("RELEASE unit")
            raise
        session.run("RELEASE unit")
        unit.enqueued = tx.enqueued
        return value

    def _refuse_group(self, done: list[_Waiting], failure: UnavailableError) -> None:
        if not done and self._waiting:  # not even begun: those who wait now are the group
            done.extend(self._waiting)
            self._waiting.clear()
        for unit in done:
            unit.error = UnavailableError(failure.text, retry_after=failure.retry_after)
            _resolve(unit)

    # the connection and its failures

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._closed:
                raise UnavailableError("the store is closed", retry_after=RETRY_AFTER)
            self._connection = connect(self._options)
            self._watch = Watch(self._connection)
        return self._connection

    def _failed(self, error: sqlite3.Error) -> UnavailableError:
        """What the callers are told; a connection that may be damaged is opened afresh at the next unit."""
        logger.error("the database refused a commit: %s", _name(error))
        if _code(error) not in _KEEPS_CONNECTION and self._connection is not None:
            self._connection.close()
            self._connection = None
        if _code(error) == sqlite3.SQLITE_FULL:
            return UnavailableError("the database is full", retry_after=60)
        return UnavailableError("the database is not available", retry_after=RETRY_AFTER)


def _keep_error(unit: _Waiting, error: Exception) -> None:
    if _is_engine_failure(error):
        raise error
    unit.error = _as_conflict(error)


def _resolve(unit: _Waiting) -> None:
    if unit.future.done():
        return  # whoever waited has gone; the work stands
    if unit.error is not None:
        unit.future.set_exception(unit.error)
    else:
        unit.future.set_result(unit.value)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _is_engine_failure(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and _code(error) in _ENGINE_FAILURES


def _as_conflict(error: Exception) -> Exception:
    """A unique index that the unit ran into, as the caller is told of it on either engine."""
    if isinstance(error, sqlite3.IntegrityError) and _name(error) in _TAKEN:
        return ConflictError("something of the same identity is there already")
    return error
