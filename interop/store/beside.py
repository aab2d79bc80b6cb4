"""Questions that take long, beside the loop: on connections of their own, which neither write nor checkpoint.

A unit begins in the loop like any other. Where one of its questions would hold up everybody it is stopped, and the
unit, which has written nothing yet, begins anew in a thread, on a state of the database that has all that was
committed. What it leaves in the audit trail is then committed in the loop before it is answered.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

from interop.access.agent import Agent
from interop.errors import InteropError, UnavailableError
from interop.store import instants
from interop.store import statements as sql
from interop.store.session import ReadOnlySession, Session, Values
from interop.store.sqlite_session import Options, SqliteSession, connect_to_read
from interop.store.tx import Tx
from interop.store.unit import Surroundings

T = TypeVar("T")
Owed = list[tuple[str, Values]]

PATIENCE = 0.03  # seconds that a unit may have the loop to itself when it goes on asking
LONGEST = 60.0  # seconds of a question, as on PostgreSQL
THREADS = 2
WAITING = 32  # questions that may wait for a thread
_STEPS = 10_000  # of SQLite's machine between two looks at the clock: less than a millisecond
_STEPS_BESIDE = 500_000  # where each look has to wait for the interpreter, which the loop holds
_AUDIT = frozenset((sql.AUDIT_INSERT, sql.AUDIT_INSERT_ONCE))


class NotAReadError(Exception):
    """The unit wants to do what can be done on the writing connection alone."""


class Watch:
    """Stops a question on the writing connection that keeps the loop too long, where nothing was written before it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._session: SqliteSession | None = None
        self._until = 0.0
        self._changes = 0
        self.stopped = False
        connection.set_progress_handler(self._asked, _STEPS)

    def begin(self, session: SqliteSession | None) -> None:
        """A unit begins, over this session; None: one that may take as long as it does."""
        self._session = session
        self._until = time.monotonic() + PATIENCE
        self._changes = self._connection.total_changes
        self.stopped = False

    def _asked(self) -> int:
        if self._session is None or time.monotonic() < self._until:
            return 0
        asking = self._session.asking
        if asking is None or not is_question(asking) or self._connection.total_changes != self._changes:
            return 0  # stopping what writes would undo the whole group
        self.stopped = True
        return 1


def is_question(statement: str) -> bool:
    """Whether a statement only reads."""
    return statement.lstrip().startswith(("SELECT", "WITH"))


def write_owed(tx: Tx, *, value: T, owed: Owed) -> T:
    """The unit that commits what a read beside the loop leaves behind."""
    for statement, values in owed:
        tx.session.put(statement, values)
    return value


def refuse(_tx: Tx, *, error: InteropError) -> NoReturn:
    """The unit of what was refused there."""
    raise error


class _BesideSession(SqliteSession):
    """A session that reads; rows of the audit trail wait to be written elsewhere."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.owed: Owed = []

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        return super().rows(_only_asked(sql), values)

    def row(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        return super().row(_only_asked(sql), values)

    def put(self, sql: str, values: Values = ()) -> None:
        if sql not in _AUDIT:
            _leave()
        self.owed.append((sql, values))

    def insert(self, sql: str, values: Values = ()) -> int:
        _leave()

    def run(self, sql: str, values: Values = ()) -> int:
        _leave()

    def put_many(self, sql: str, many: Iterable[Values]) -> None:
        _leave()

    def lock(self, keys: Iterable[str]) -> None:
        _leave()

    def next_number(self, name: str) -> int:
        _leave()


def _only_asked(statement: str) -> str:
    if not is_question(statement):
        _leave()
    return statement


def _leave() -> NoReturn:
    raise NotAReadError


class Readers:
    """A few threads and connections for them."""

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._surroundings = surroundings
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="reader")
        self._idle: deque[sqlite3.Connection] = deque()
        self._under_way = 0
        self._closed = False

    async def read(self, agent: Agent, work: Callable[[Tx], T]) -> tuple[T, Owed]:
        """What the work returns, and the audit rows that are to be written before anybody is told.

        NotAReadError where it wants to write anything else; UnavailableError where too many wait, or it takes for ever.
        """
        return await self._in_thread(lambda session: (work(self._tx(session, agent)), session.owed))

    async def look(self, agent: Agent, work: Callable[[Tx], T]) -> T:
        """What the work returns, which may not write at all."""
        return await self._in_thread(lambda session: work(self._tx(ReadOnlySession(session), agent)))

    async def close(self) -> None:
        """End what is under way, with UnavailableError for those who wait for it."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        while self._idle:
            self._idle.popleft().close()

    def _tx(self, session: Session, agent: Agent) -> Tx:
        return Tx(session, agent, instants.now(), self._surroundings)

    async def _in_thread(self, work: Callable[[_BesideSession], T]) -> T:
        if self._closed:
            raise UnavailableError("the store is closed", retry_after=5)
        if self._under_way >= THREADS + WAITING:
            raise UnavailableError("too many long searches wait for their turn", retry_after=5)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)
        finally:
            self._under_way -= 1

    def _run(self, work: Callable[[_BesideSession], T]) -> T:
        until = time.monotonic() + LONGEST
        connection = None
        try:
            connection = self._idle.pop() if self._idle else connect_to_read(self._options)
            connection.set_progress_handler(lambda: self._closed or time.monotonic() > until, _STEPS_BESIDE)
            connection.execute("BEGIN")
            return work(_BesideSession(connection))
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT and not self._closed:
                text = f"the search took longer than {LONGEST:.0f} s; ask for less"
                raise UnavailableError(text, retry_after=60) from error
            raise UnavailableError("the database is not available", retry_after=5) from error
        finally:
            if connection is not None:
                self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
        else:
            self._idle.append(connection)
