"""A message as JSON."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from interop.store import MessageLine, MessageRow


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
        "touched": list(line.touched),
        "issues": line.issues,
    }


def shown_row(row: MessageRow) -> dict[str, Any]:
    """The same, with its bytes and its acknowledgement's in base64."""
    ack = None if row.ack is None else b64encode(row.ack).decode()
    return {**shown_line(row), "raw": b64encode(row.raw).decode(), "ack": ack}


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
