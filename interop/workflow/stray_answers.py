"""Acknowledgements that come in on a connection where this server answers.

An application acknowledgement that its sender sends as a message of its own (v2.5.1 2.9.3) ends the message of ours
that it names in MSA-2, if it comes from whom that was sent to. All are kept and audited. None gets an answer of the
kind it is itself, which would go back and forth for ever; one that asks for an accept acknowledgement in MSH-15 gets
CA.
"""

from __future__ import annotations

from dataclasses import replace
from secrets import token_hex

from interop.audit.event import Event
from interop.errors import InteropError
from interop.hl7.acknowledgement import acknowledge
from interop.hl7.acknowledgement_mode import asked_of, due
from interop.hl7.message import Message, parse
from interop.store import MessageRow, PeerNote, Tx
from interop.workflow import outbox
from interop.workflow.messages import hash_of
from interop.workflow.site import Site

_ACCEPT = ("CA", "CE", "CR")
_STATES = {"AA": "sent", "CA": "sent", "AE": "dead", "AR": "dead", "CR": "dead"}


def keep(tx: Tx, site: Site, raw: bytes, peer: str, *, known: bool = True) -> bytes:
    """Keep the bytes and do what they say; what goes back, which is usually nothing.

    ``peer``: its address, or the receiver over whose connection it came. ``known``: whether its sender may say anything
    of our messages.
    """
    message = _readable(raw)
    about = _about(tx, message, peer) if message is not None and known else None
    if about is not None:
        tx.lock(f"answer:{about.id}")
        about = tx.message(about.id) or about
        for earlier in tx.answers_to(about.id):
            if earlier.direction == "in" and message is not None and _same(earlier, message):
                tx.audit(Event("hl7", earlier.type, "C", detail=f"repeat of message {earlier.id}, answered as before"))
                return earlier.ack or b""
    code = message.get("MSA-1").strip() if message is not None else ""
    reply = _accepted(tx, site, message, code) if message is not None else b""
    application, facility = message.sender if message else ("", "")
    type_ = (message.type if message else "") or "ACK"
    id = tx.add_message(
        direction="in",
        peer=peer,
        application=application,
        facility=facility,
        control_id="",  # its sender may use the number for a message of its own as well
        type=type_,
        raw=raw,
        body_hash=hash_of(raw),
        state="received",
        ack_code="CA" if reply else None,
        ack=reply or None,
        order_id=about.order_id if about is not None else None,
    )
    if about is None:
        tx.audit(Event("hl7", type_, "C", detail="an acknowledgement that nothing here waits for; not answered"))
        return reply
    tx.link_answer(id, about.id)
    tx.audit(Event("hl7", type_, "C", detail=f"{code} to message {about.id}, which went to {about.peer}"))
    _settle(tx, about, code, message, raw)
    return reply


def _readable(raw: bytes) -> Message | None:
    try:
        return parse(raw)
    except InteropError:
        return None


def _same(earlier: MessageRow, message: Message) -> bool:
    return earlier.body_hash == hash_of(message.raw) and parse(earlier.raw).control_id == message.control_id


def _about(tx: Tx, message: Message, peer: str) -> MessageRow | None:
    """The message of ours that MSA-2 names, if this comes from whom it was sent to: by its connection, or its MSH."""
    control_id = message.get("MSA-2").strip()
    if not control_id:
        return None
    for row in tx.find_messages(control_id=control_id, direction="out", limit=1):
        to = parse(row.raw).receiver
        if row.peer == peer or all(ours in ("", theirs) for ours, theirs in zip(to, message.sender, strict=True)):
            return row
    return None


def _accepted(tx: Tx, site: Site, message: Message, code: str) -> bytes:
    """CA, where an application acknowledgement asks for it."""
    if code in _ACCEPT or not message.header.field(15) or not message.control_id:
        return b""
    rules = site.tables.site(*message.sender) or site.tables
    asked = asked_of(message, rules.manner.mode)
    if not (asked.enhanced and due(asked.accept, True)):
        return b""
    return acknowledge(message, "CA", control_id=token_hex(10), now=tx.now, facility=site.facility)


def _settle(tx: Tx, row: MessageRow, code: str, message: Message | None, raw: bytes) -> None:
    """What the message is now; an accept acknowledgement says nothing of one that has its application's already."""
    state = _STATES.get(code)
    said = (row.ack_code or "")[:1]
    if state is None or row.state == "dropped" or (code in _ACCEPT and (row.state != "queued" or said == "A")):
        return
    reasons = " ".join(one.value(3).text(1) for one in message.all("ERR")) if message is not None else ""
    why = "" if state == "sent" else f"{row.peer} answered {code} {reasons}".strip()
    kept = None if row.ack is not None and code not in _ACCEPT and (row.ack_code or "") in _ACCEPT else raw
    first = int(row.state == "queued")  # else what took it, or refused it, has been counted
    refused = int(state == "dead" and row.state != "dead")
    note = PeerNote("out", row.peer, messages=first, refused=refused, last_at=tx.now)
    tx.note_peers([replace(note, last_error=why, last_error_at=tx.now) if why else note])
    outbox.settle(tx, row, state, code, kept, why)  # the accept acknowledgement stays; the application's is linked
