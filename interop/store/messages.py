"""HL7 messages: every one that came in or goes out, byte for byte, with what became of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict, Unpack

from interop.errors import ConflictError, NotFoundError
from interop.fhir.json import dumps
from interop.store import instants
from interop.store import statements as sql
from interop.store.rows import MessageRow
from interop.store.unit import Unit


class NewMessage(TypedDict):
    """A message that is to be kept."""

    direction: str
    peer: str
    application: str
    facility: str
    control_id: str
    type: str
    raw: bytes
    body_hash: str
    state: str
    ack_code: NotRequired[str | None]
    ack: NotRequired[bytes | None]
    issues: NotRequired[Sequence[dict[str, Any]]]
    order_id: NotRequired[str | None]
    at: NotRequired[datetime | None]
    arrived: NotRequired[int | None]  # when its last byte came, in microseconds
    touched: NotRequired[str]


_NAMES: tuple[Literal["peer", "application", "facility", "control_id", "type"], ...] = (
    "peer",
    "application",
    "facility",
    "control_id",
    "type",
)


class Messages(Unit):
    """The messages of a transaction."""

    def add_message(self, **message: Unpack[NewMessage]) -> int:
        """Keep a message; its number."""
        return self.session.insert(sql.MESSAGE_INSERT, self._written(message))

    def keep_message(self, **message: Unpack[NewMessage]) -> None:
        """Keep a message whose number nobody asks for: on PostgreSQL a round trip less."""
        self.session.make(sql.MESSAGE_INSERT, self._written(message))

    def _written(self, message: NewMessage) -> tuple[Any, ...]:
        issues, at, arrived = message.get("issues"), message.get("at"), message.get("arrived")
        return (
            message["direction"],
            *(plain(message[name]) for name in _NAMES),
            message["raw"],
            message["body_hash"],
            message["state"],
            message.get("ack_code"),
            message.get("ack"),
            dumps(issues).decode() if issues else "[]",
            message.get("order_id"),
            self._now if at is None else instants.micros(at),
            None if arrived is None else max(0, time.time_ns() // 1000 - arrived),
            message.get("touched", ""),
        )

    def message(self, id: int) -> MessageRow | None:
        """The message of this number."""
        found = self.session.row(sql.MESSAGE, (id,))
        return None if found is None else _message(found)

    def find_message(self, direction: str, application: str, facility: str, control_id: str) -> MessageRow | None:
        """The first message with this control id (MSH-10) of this sender (MSH-3, MSH-4).

        Bytes that were none, a torn one's beginning among them, do not count: the whole one may come under their id.
        """
        values = (plain(control_id), direction, plain(application), plain(facility))
        found = self.session.row(sql.MESSAGE_FIND, values)
        return None if found is None else _message(found)

    def find_messages(
        self,
        *,
        control_id: str | None = None,
        order_id: str | None = None,
        direction: str | None = None,
        state: str | None = None,
        limit: int = 100,
    ) -> list[MessageRow]:
        """The messages for which all of this holds, newest first."""
        asked = {"control_id": control_id, "order_id": order_id, "direction": direction, "state": state}
        given = {name: plain(value) for name, value in asked.items() if value is not None}
        where = f" WHERE {' AND '.join(f'{name} = ?' for name in given)}" if given else ""
        found = self.session.rows(f"{sql.MESSAGES}{where} ORDER BY id DESC LIMIT ?", (*given.values(), limit))
        return [_message(row) for row in found]

    def update_message(
        self,
        id: int,
        *,
        state: str | None = None,
        ack_code: str | None = None,
        ack: bytes | None = None,
        issues: Sequence[dict[str, Any]] | None = None,
        order_id: str | None = None,
        touched: str | None = None,
        took: int | None = None,
        attempts: int = 0,
    ) -> None:
        """Set what is given and leave the rest; ``attempts`` are added. NotFoundError where there is no such one."""
        written = None if issues is None else json.dumps(list(issues))
        values = (state, ack_code, ack, written, order_id, took, touched, attempts, id)
        if not self.session.run(sql.MESSAGE_UPDATE, values):
            raise NotFoundError(f"there is no message {id}")

    def link_answer(self, id: int, about: int) -> None:
        """The message ``id`` answers the message ``about``."""
        self.session.put(sql.ANSWER_INSERT, (id, about))

    def answers_to(self, about: int) -> list[MessageRow]:
        """The messages that answer this one, oldest first."""
        return [_message(row) for row in self.session.rows(sql.ANSWERS, (about,))]

    def answered_by(self, id: int) -> MessageRow | None:
        """The message that this one answers."""
        found = self.session.row(sql.ANSWERED, (id,))
        return None if found is None else _message(found)

    def move_message(self, id: int, state: str, before: str) -> None:
        """Another state; ConflictError where it is no longer in the one before."""
        if not self.session.run(sql.MESSAGE_MOVE, (state, id, before)):
            raise ConflictError(f"message {id} is not {before} any more")


def plain(text: str) -> str:
    """Text without U+0000, which PostgreSQL does not store."""
    return text.replace("\0", "") if "\0" in text else text


def _message(row: tuple[Any, ...]) -> MessageRow:
    return MessageRow(
        id=row[0],
        direction=row[1],
        peer=row[2],
        application=row[3],
        facility=row[4],
        control_id=row[5],
        type=row[6],
        raw=row[7],
        body_hash=row[8],
        state=row[9],
        ack_code=row[10],
        ack=row[11],
        issues=json.loads(row[12]),
        order_id=row[13],
        at=instants.instant(row[14]),
        took=row[15],
        touched=tuple(row[16].split()),
        attempts=row[17] + (row[1] == "in"),
    )
