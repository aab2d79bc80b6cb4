"""A message as JSON, and back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from interop.store import MessageLine, MessageLink, MessageRow


def shown_line(line: MessageLine | MessageRow) -> dict[str, Any]:
    """What became of a message, without its bytes."""
    size = line.size if isinstance(line, MessageLine) else len(line.raw)
    return {
        "id": line.id,
        "at": _instant(line.at),
        "direction": line.direction,
        "type": line.type,
        "state": line.state,
        "ack_code": line.ack_code,
        "control_id": line.control_id,
        "application": line.application,
        "facility": line.facility,
        "peer": line.peer,
        "size": size,
        "attempts": line.attempts,
        "took_ms": None if line.took is None else round(line.took / 1000, 3),
        "order": line.order_id,
        "touched": list(line.touched),
        "issues": line.issues,
    }


def shown_row(row: MessageRow) -> dict[str, Any]:
    """The same, with its bytes, its acknowledgement's in base64, and its links to others."""
    ack = None if row.ack is None else b64encode(row.ack).decode()
    links = [asdict(link) for link in row.links]
    return {**shown_line(row), "links": links, "raw": b64encode(row.raw).decode(), "ack": ack}


def line_of(shown: Mapping[str, Any]) -> MessageLine:
    """The line that ``shown_line`` showed."""
    return MessageLine(**_both(shown), size=shown["size"])


def row_of(shown: Mapping[str, Any]) -> MessageRow:
    """The message that ``shown_row`` showed; its hash is the server's own affair."""
    ack = None if shown["ack"] is None else b64decode(shown["ack"])
    links = tuple(MessageLink(**link) for link in shown["links"])
    return MessageRow(**_both(shown), raw=b64decode(shown["raw"]), ack=ack, body_hash="", links=links)


_SAME = ("id", "direction", "peer", "application", "facility", "control_id", "type", "state", "ack_code", "issues")


def _both(shown: Mapping[str, Any]) -> dict[str, Any]:
    took = shown["took_ms"]
    return {name: shown[name] for name in _SAME} | {
        "order_id": shown["order"],
        "touched": tuple(shown["touched"]),
        "attempts": shown["attempts"],
        "took": None if took is None else round(took * 1000),
        "at": datetime.fromisoformat(shown["at"]),
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
