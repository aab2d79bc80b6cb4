"""Acknowledgements that come in on a connection where this server answers: kept, audited, and never answered.

An answer to an answer would go back and forth for ever (v2.5.1 2.9.2: only an initiating message is acknowledged).
"""

from __future__ import annotations

from interop.audit.event import Event
from interop.errors import InteropError
from interop.hl7.message import Message, parse
from interop.store import Tx
from interop.workflow.messages import hash_of


def keep(tx: Tx, raw: bytes, peer: str) -> None:
    """Keep the bytes; nothing else happens."""
    message = _readable(raw)
    application, facility = message.sender if message else ("", "")
    type_ = (message.type if message else "") or "ACK"
    tx.add_message(
        direction="in",
        peer=peer,
        application=application,
        facility=facility,
        control_id="",  # its sender may use the number for a message of its own as well
        type=type_,
        raw=raw,
        body_hash=hash_of(raw),
        state="received",
    )
    tx.audit(Event("hl7", type_, "C", detail="an acknowledgement that nothing here waits for; not answered"))


def _readable(raw: bytes) -> Message | None:
    try:
        return parse(raw)
    except InteropError:
        return None
