"""Lists of messages, and letting old ones go, without an index that every message would pay for.

Numbers grow with time, so a moment is found by halving the numbers; a patient's messages are found through their
orders and the audit trail, refused ones by what stands in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from interop.errors import MalformedError
from interop.hl7.message import Message, parse
from interop.store import instants
from interop.store import statements as sql
from interop.store.messages import Messages, plain
from interop.store.rows import MessageLine, MessageQuery

_SLACK = 60_000_000  # microseconds by which numbers and moments of units that ran beside one another may be crossed
_REFUSED = 1000  # refused messages, newest first, that are looked into
_PATIENT = ("PID-2", "PID-3", "PID-4")
_ACCESSION = ("OBR-18", "IPC-1")

Condition = tuple[str, tuple[Any, ...]]


class MessageLists(Messages):
    """The messages of a transaction, many at a time."""

    def list_messages(self, query: MessageQuery) -> list[MessageLine]:
        """The messages for which all of the query holds, newest first."""
        conditions = list(self._conditions(query))
        where = " AND ".join(text for text, _ in conditions)
        values = [value for _, some in conditions for value in some]
        asked = f"{sql.MESSAGE_LINES}{f' WHERE {where}' if where else ''} ORDER BY id DESC LIMIT ?"
        return [_line(row) for row in self.session.rows(asked, (*values, query.limit))]

    def prune_messages(self, older_than: datetime, limit: int) -> int:
        """Forget up to this many settled messages from before that moment; how many went.

        What is still owed (queued) or waits for somebody to decide (dead, unanswered) stays.
        """
        before = instants.micros(older_than)
        number = self._number_at(before + _SLACK)
        gone = self.session.run(sql.MESSAGES_PRUNE, (number, before, limit))
        if gone:
            self.session.put(sql.ANSWERS_PRUNE, (number, limit))
        return gone

    def _conditions(self, query: MessageQuery) -> Iterator[Condition]:
        for column in ("control_id", "state", "direction", "peer"):
            value = getattr(query, column)
            if value is not None:
                yield f"{column} = ?", (plain(value),)
        if query.type is not None:
            yield "substr(type, 1, length(?)) = ?", (query.type, query.type)
        if query.before is not None:
            yield "id < ?", (query.before,)
        if query.since is not None:
            at = instants.micros(query.since)
            yield "id >= ? AND at >= ?", (self._number_at(at - _SLACK), at)
        if query.until is not None:
            at = instants.micros(query.until)
            yield "id < ? AND at < ?", (self._number_at(at + _SLACK), at)
        if query.patient is not None:
            yield self._of_patient(query.patient)
        if query.accession is not None:
            subselect = sql.MESSAGES_OF_ORDERS.format(column="accession")
            yield self._among([(subselect, (query.accession,))], query.accession, _ACCESSION)

    def _of_patient(self, named: str) -> Condition:
        id = named.removeprefix("Patient/")
        known = [row[0] for row in self.session.rows(sql.BY_IDENTIFIER_ANY_SYSTEM_IDS, ("Patient", named))]
        found: list[Condition] = []
        for each in dict.fromkeys((id, *known)):
            found.append((sql.MESSAGES_OF_ORDERS.format(column="patient_id"), (each,)))
            found.append((sql.MESSAGES_OF_PATIENT, (f"Patient/{each}",)))
        return self._among(found, named, _PATIENT)

    def _among(self, subselects: list[Condition], text: str, positions: tuple[str, ...]) -> Condition:
        """In one of these, or refused with this text at one of these positions: a refused message touched nothing."""
        refused = [
            id
            for id, raw in self.session.rows(sql.MESSAGES_REFUSED_WITH[self.session.dialect], (text.encode(), _REFUSED))
            if _names(bytes(raw), positions, text)
        ]
        parts = [subselect for subselect, _ in subselects]
        values = [value for _, some in subselects for value in some]
        marks = "".join(f" OR id = {int(id)}" for id in refused)
        return f"(id IN ({' UNION '.join(parts)}){marks})", tuple(values)

    def _number_at(self, at: int) -> int:
        """The first number from which on messages are not older than this; one past the last where there is none."""
        low, last = self.session.row(sql.MESSAGE_ENDS) or (0, 0)
        high = last + 1
        while low < high:
            middle = (low + high) // 2
            found = self.session.row(sql.MESSAGE_AT, (middle,))
            if found is None or found[1] >= at:
                high = middle
            else:
                low = found[0] + 1
        return int(low)


def _names(raw: bytes, positions: tuple[str, ...], text: str) -> bool:
    try:
        message: Message = parse(raw)
    except MalformedError:
        return False
    for position in positions:
        name, _, number = position.partition("-")
        for segment in message.all(name):
            if any(value.text(1) == text for value in segment.values(int(number))):
                return True
    return False


def _line(row: tuple[Any, ...]) -> MessageLine:
    return MessageLine(
        id=row[0],
        direction=row[1],
        peer=row[2],
        application=row[3],
        facility=row[4],
        control_id=row[5],
        type=row[6],
        size=row[7],
        state=row[8],
        ack_code=row[9],
        issues=json.loads(row[10]),
        order_id=row[11],
        touched=tuple(row[12].split()),
        attempts=row[13] + (row[1] == "in"),
        took=row[14],
        at=instants.instant(row[15]),
    )
