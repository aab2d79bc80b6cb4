"""Statements on their way to PostgreSQL: any number of them in one round trip, over libpq's pipeline mode.

psycopg's own cursors send and look for an answer at each statement, and weigh several times what the statements of a
unit do. Here values are written once, by their Python type; a statement that comes again is prepared; and all that is
handed over goes out in one write (PostgreSQL 18, 32.5 Pipeline Mode). Rows are read by psycopg's loaders.
"""

from __future__ import annotations

import asyncio
import select
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

import psycopg
from psycopg import abc, pq
from psycopg.adapt import Transformer

from interop.store.fibers import wait
from interop.store.session import Values, unstorable

PREPARED = 400  # statements that a connection keeps prepared
PREPARED_AT = 3  # uses
# The server plans a prepared statement for good after a few uses; a plan for tables that were empty is none for full
# ones, and until the next ANALYZE nothing tells it so. After so many uses a statement is prepared, and planned, anew.
PREPARED_ANEW_AT = frozenset((50, 500, 5_000, 50_000))
_BYTEA, _INT8, _TEXT, _FLOAT8 = 17, 20, 25, 701  # pg_type.oid; a text's type is left to the server
_OPEN = int(pq.ConnStatus.OK)
_FAILED, _SKIPPED = pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED
_ARRAY = Struct("!iiIii").pack  # dimensions, nulls, type of the elements, how many, number of the first
_LENGTH = Struct("!i").pack
_LONG = Struct("!iq").pack  # length and value
_REAL = Struct("!id").pack
_NULL = _LENGTH(-1)

Written = tuple[int, int, bytes | None]  # type, format (1: binary), value


class Encoded(NamedTuple):
    """A statement with its values as they go over the wire."""

    text: str
    types: tuple[int, ...]
    formats: tuple[int, ...]
    values: tuple[bytes | None, ...]


def encoded(text: str, values: Values) -> Encoded:
    """The statement made ready; MalformedError where a text cannot be stored."""
    if not values:
        return Encoded(text, (), (), ())
    return Encoded(text, *zip(*[_WRITERS[type(value)](value) for value in values], strict=True))


def _text(value: str) -> Written:
    return 0, 0, _bytes_of(value)


def _bytes_of(value: str) -> bytes:
    """UTF-8 without U+0000, at which libpq would take a text to end."""
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise unstorable() from error
    if b"\0" in data:
        raise unstorable()
    return data


def _array(values: Sequence[Any]) -> Written:
    """One dimension of texts, of whole numbers or of floats; of None alone: of whole numbers."""
    first = next((value for value in values if value is not None), 0)
    kind = next((known for known in (str, float) if isinstance(first, known)), int)
    if kind is str:
        parts = [_NULL if value is None else _sized(_bytes_of(value)) for value in values]
    elif kind is float:
        parts = [_NULL if value is None else _REAL(8, value) for value in values]
    else:
        parts = [_NULL if value is None else _LONG(8, value) for value in values]
    oid = {str: _TEXT, float: _FLOAT8}.get(kind, _INT8)
    return 0, 1, _ARRAY(1, None in values, oid, len(values), 1) + b"".join(parts)


def _sized(data: bytes) -> bytes:
    return _LENGTH(len(data)) + data


class _Writers(dict[type, Callable[[Any], Written]]):
    def __missing__(self, kind: type) -> Callable[[Any], Written]:
        """A type made of one of these is written as it: pydicom's UID is a text."""
        for known in kind.__mro__:
            if known in self:
                self[kind] = self[known]
                return self[kind]
        raise TypeError(f"a {kind.__name__} is no value of a statement")


_WRITERS = _Writers(
    {
        str: _text,
        int: lambda value: (_INT8, 0, b"%d" % value),
        bytes: lambda value: (_BYTEA, 1, value),
        float: lambda value: (_FLOAT8, 0, float.__repr__(value).encode()),
        type(None): lambda _: (0, 0, None),
        list: _array,
    }
)


@lru_cache(maxsize=1024)
def numbered(text: str) -> bytes:
    """The statement with PostgreSQL's own marks: $1, $2, …"""
    first, *rest = text.split("?")
    return (first + "".join(f"${n}{part}" for n, part in enumerate(rest, 1))).encode()


class Answer:
    """What the server said to a statement."""

    __slots__ = ("_read", "_result")

    def __init__(self, result: pq.abc.PGresult, read: abc.Transformer) -> None:
        self._result = result
        self._read = read

    @property
    def status(self) -> str:
        """The command tag (PostgreSQL 18, 54.7: CommandComplete)."""
        return (self._result.command_status or b"").decode()

    @property
    def touched(self) -> int:
        """How many rows it wrote."""
        return self._result.command_tuples or 0

    def rows(self) -> list[tuple[Any, ...]]:
        """Its rows."""
        self._read.set_pgresult(self._result)
        return self._read.load_rows(0, self._result.ntuples, tuple)

    def row(self) -> tuple[Any, ...] | None:
        """Its first row."""
        self._read.set_pgresult(self._result)
        return self._read.load_row(0, tuple) if self._result.ntuples else None


class _Known:
    """A statement that came before."""

    __slots__ = ("name", "uses")

    def __init__(self) -> None:
        self.uses = 0
        self.name: bytes | None = None  # under which the server has it prepared


class Wire:
    """One connection, always in pipeline mode; its statements go through here and nowhere else."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._read: abc.Transformer = Transformer(connection)
        self._known: OrderedDict[tuple[str, tuple[int, ...]], _Known] = OrderedDict()
        self._names = 0
        self._broken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = self._pgconn.socket
        self._answered: asyncio.Future[None] | None = None  # what a fiber waits for
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)
        self._pgconn.enter_pipeline_mode()

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._connection.closed

    @property
    def idle(self) -> bool:
        """Whether no transaction is open."""
        return self._pgconn.transaction_status == pq.TransactionStatus.IDLE

    def close(self) -> None:
        """Let the connection go."""
        self._detach()
        self._connection.close()

    def attach(self) -> None:
        """From now on units on fibers of this event loop speak over it, and the others have their turn meanwhile."""
        if self._loop is None and not self.closed:
            self._loop = asyncio.get_running_loop()
            self._socket = self._pgconn.socket  # libpq forgets it when it finds the connection lost
            self._loop.add_reader(self._socket, self._readable)

    def _detach(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.remove_reader(self._socket)

    def _readable(self) -> None:
        """Take in what the server says; asked or, where it ends the connection, unasked."""
        waiting, self._answered = self._answered, None
        try:
            self._pgconn.consume_input()
        except psycopg.OperationalError:  # whoever asks next is told
            self._detach()
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        elif self._pgconn.status != _OPEN:
            self._detach()

    def check(self) -> None:
        """psycopg.OperationalError where the server has ended the connection, as far as is known here.

        To be asked before what must not be sent twice: behind it nobody could tell whether it was done.
        """
        while not self._broken and self._poll.poll(0):
            self._broken = True
            try:
                self._pgconn.consume_input()  # unasked it says that it ends, or something that changes nothing
                self._broken = self._pgconn.status != _OPEN
            finally:
                if self._broken:
                    self.close()
        if self._broken or self._pgconn.status != _OPEN:
            raise psycopg.OperationalError("the connection is lost")

    def ask(self, text: str, values: Values = ()) -> Answer:
        """One statement; psycopg.Error where the server refuses it or is lost."""
        return self.exchange([encoded(text, values)])[0]

    def exchange(self, statements: Sequence[Encoded]) -> list[Answer]:
        """The answers to these; psycopg.Error of the first that failed, and those behind it were skipped."""
        if self._broken:
            raise psycopg.OperationalError("the connection is lost")
        self._broken = True  # should any of this not come to its end, nobody knows what is under way
        try:
            results = self._exchanged(statements)
        finally:
            if self._broken:
                self.close()
        for result in results:
            if result.status == _FAILED:
                raise psycopg.errors.error_from_result(result)
        return [Answer(result, self._read) for result in results]

    def _exchanged(self, statements: Sequence[Encoded]) -> list[pq.abc.PGresult]:
        fresh: list[tuple[int, _Known]] = []
        stale: list[bytes] = []
        count = 0
        for statement in statements:
            known = self._known_as(statement)
            if known.name is not None and known.uses in PREPARED_ANEW_AT:
                stale.append(known.name)
                known.name = None
            if known.name is None and known.uses >= PREPARED_AT:
                self._names += 1
                known.name = b"s%d" % self._names
                self._pgconn.send_prepare(known.name, numbered(statement.text), statement.types)
                fresh.append((count, known))
                count += 1
            self._send(statement, known.name)
            count += 1
        stale += self._oldest()
        for name in stale:
            self._pgconn.send_query_params(b"DEALLOCATE " + name, None)
        self._pgconn.pipeline_sync()
        self._flush()
        results = list(self._results(count))
        for _ in self._results(len(stale)):
            pass
        self._next()  # of the Sync
        self._broken = False
        for place, known in fresh:
            if results[place].status in (_FAILED, _SKIPPED):
                known.name = None
        prepared = {place for place, _ in fresh}
        return [each for place, each in enumerate(results) if place not in prepared or each.status == _FAILED]

    def _known_as(self, statement: Encoded) -> _Known:
        key = statement.text, statement.types
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known()
        else:
            self._known.move_to_end(key)
        known.uses += 1
        return known

    def _send(self, statement: Encoded, name: bytes | None) -> None:
        _, types, formats, values = statement
        if name is None:
            text = numbered(statement.text)
            self._pgconn.send_query_params(text, values, types, formats, pq.Format.BINARY)
        else:
            self._pgconn.send_query_prepared(name, values, formats, pq.Format.BINARY)

    def _oldest(self) -> list[bytes]:
        """Forget the statements that are too many; the names by which the server knows them."""
        names = []
        while len(self._known) > PREPARED:
            _, known = self._known.popitem(last=False)
            if known.name is not None:
                names.append(known.name)
        return names

    def _results(self, count: int) -> Iterator[pq.abc.PGresult]:
        for _ in range(count):
            result = self._next()
            if result is None:
                raise psycopg.OperationalError("the server said less than it was asked")
            if result.status == _FAILED and self._pgconn.status != _OPEN:
                raise psycopg.errors.error_from_result(result)
            yield result
            self._next()  # None: the end of this statement

    def _next(self) -> pq.abc.PGresult | None:
        while self._pgconn.is_busy():
            if self._loop is not None:
                self._answered = self._loop.create_future()
                wait(self._answered)
            else:
                self._poll.poll()
                self._pgconn.consume_input()
        return self._pgconn.get_result()

    def _flush(self) -> None:
        """Send what libpq could not send at once, and take in what the server says meanwhile."""
        while self._pgconn.flush():
            self._poll.modify(self._pgconn.socket, select.POLLIN | select.POLLOUT)
            try:
                if any(event & ~select.POLLOUT for _, event in self._poll.poll()):
                    self._pgconn.consume_input()
            finally:
                self._poll.modify(self._pgconn.socket, select.POLLIN)
