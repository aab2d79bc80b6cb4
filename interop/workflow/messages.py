"""HL7 messages: what came in is kept and answered once; a repeat gets the answer that was given.

A repeat is told by MSH-3, MSH-4 and MSH-10 and a hash of what follows the MSH, whose own time may differ between two
sendings. An AE is no final answer: the same message is tried again, since our tables or orders may have changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, NamedTuple

from interop.audit.event import Event
from interop.errors import DuplicateError, InteropError, InvalidContentError, Issue, NotFoundError
from interop.hl7.message import LONGEST, Message, header_of
from interop.mapping.messages import Mapped, MappedOrder, MappedReport, map_message, read_message
from interop.store import MessageRow, NewMessage, OrderRow, Stored, Tx
from interop.workflow import admissions, answers, appointments, numbers, orders, patients, replacing, reports, studies
from interop.workflow.answers import Answer
from interop.workflow.lifecycle import HL7
from interop.workflow.numbers import Numbers
from interop.workflow.orders import Outcome
from interop.workflow.patients import Resolved
from interop.workflow.site import Site

Resource = dict[str, Any]


class Reply(NamedTuple):
    """The answer to a message, as it was stored."""

    code: str  # AA AE AR, CA CE CR
    ack: bytes  # empty where its sender wants none
    issues: tuple[Issue, ...] = ()
    orders: tuple[str, ...] = ()  # ServiceRequest ids
    repeated: bool = False
    further: bytes = b""  # the application acknowledgement, where it goes over the same connection
    owed: int | None = None  # its number


class _Kept(NamedTuple):
    """What a message is kept under: read once, asked for often."""

    application: str
    facility: str
    control_id: str
    type: str
    raw: bytes
    body_hash: str
    peer: str
    arrived: int | None = None

    @classmethod
    def of(cls, message: Message, peer: str, arrived: int | None = None) -> _Kept:
        return cls(*message.sender, message.control_id, message.type, message.raw, hash_of(message.raw), peer, arrived)


class _Work(NamedTuple):
    """What a message did."""

    issues: tuple[Issue, ...] = ()
    patient: str | None = None
    orders: tuple[str, ...] = ()
    entity: str | None = None
    touched: str = ""  # references, a space between
    outcomes: tuple[Outcome, ...] = ()  # of its ORCs; one that tells of several steps has the last one's


def read(site: Site, raw: bytes) -> Message:
    """The message in these bytes; InvalidContentError if it cannot be answered to anybody."""
    message = read_message(raw, site.tables)
    message.check_header()
    return message


def receive(tx: Tx, site: Site, message: Message, peer: str, arrived: int | None = None) -> Reply:
    """Carry the message out and store it with its answer; an InteropError refuses it (see ``refuse``).

    ``arrived``: when its last byte came, in microseconds; the row says how long it took.
    """
    kept = _Kept.of(message, peer, arrived)
    tx.lock(f"message:{kept.application}|{kept.facility}|{kept.control_id}")
    earlier = tx.find_message("in", kept.application, kept.facility, kept.control_id)
    if earlier is not None:
        answered = _answered(tx, site, message, earlier, kept)
        if answered is not None:
            return answered
    return _take(tx, site, message, kept, earlier)


def receive_again(tx: Tx, site: Site, message: Message, row: MessageRow) -> Reply:
    """Carry a refused message out once more, since tables or orders may have changed; its row keeps its place.

    One that was carried out is answered as before: doing it twice is never right.
    """
    kept = _Kept.of(message, row.peer)
    tx.lock(f"message:{kept.application}|{kept.facility}|{kept.control_id}")
    present = tx.message(row.id) or row
    if present.state == "received" and present.ack is not None:
        return Reply(present.ack_code or "AA", present.ack, repeated=True)
    first = tx.find_message("in", kept.application, kept.facility, kept.control_id)
    if first is not None and first.body_hash != kept.body_hash:
        raise _reused(kept)
    return _take(tx, site, message, kept, present, connected=False)


def refuse_again(tx: Tx, site: Site, message: Message, row: MessageRow, error: InteropError) -> Reply:
    """Keep that a message was refused once more, and why this time."""
    issues = (*error.issues, *message.issues)
    answer = answers.refusal(tx, site, message, error, issues)
    _keep(tx, _Kept.of(message, row.peer), "refused", answer, issues, _Work(), row)
    return Reply(answer.code, answer.ack, issues)


def _take(
    tx: Tx, site: Site, message: Message, kept: _Kept, earlier: MessageRow | None, *, connected: bool = True
) -> Reply:
    mapped = map_message(message, site.tables, zone=site.zone, facility=site.facility)
    done = _carry_out(tx, site, mapped)
    issues = (*message.issues, *mapped.issues, *done.issues)
    answer = answers.answer(tx, site, message, issues, done.outcomes)
    id = _keep(tx, kept, "received", answer, issues, done, earlier)
    tx.audit(Event("hl7", kept.type, "C", patient=done.patient, entity=done.entity))
    if not answer.application or id is None:
        return Reply(answer.code, answer.ack, issues, done.orders)
    owed = answers.owe(tx, site, message, id, answer, connected=connected)
    return Reply(answer.code, answer.ack, issues, done.orders, further=answer.application if owed else b"", owed=owed)


def refuse(tx: Tx, site: Site, message: Message, peer: str, error: InteropError, arrived: int | None = None) -> Reply:
    """Keep the message with its refusal; nothing of what it asked for has happened."""
    kept = _Kept.of(message, peer, arrived)
    issues = (*error.issues, *message.issues)
    answer = answers.refusal(tx, site, message, error, issues)
    earlier = tx.find_message("in", kept.application, kept.facility, kept.control_id)
    id = _keep(tx, kept, "refused", answer, issues, _Work(), earlier)
    detail = "; ".join(f"{issue.location or ''} {issue.code}".strip() for issue in error.issues)
    tx.audit(Event("hl7", kept.type, "C", outcome="4", detail=detail))
    if earlier is not None and isinstance(error, DuplicateError) and error.issues[0].location == "MSH-10":
        tx.audit(Event("alert", "control-id-reused", "E", outcome="4", detail=f"MSH-10 of message {earlier.id}"))
    owed = None if id is None else answers.owe(tx, site, message, id, answer)
    return Reply(answer.code, answer.ack, issues, further=answer.application if owed else b"", owed=owed)


def refuse_bytes(tx: Tx, site: Site, raw: bytes, peer: str, error: InteropError, kind: str = "") -> Reply:
    """Keep bytes that are no message, and answer them as far as an answer can be addressed.

    ``kind`` stands where the message's type would: ``fault unframed``. They are listed under the sender and the control
    id that an MSH among them names, and are no message of that control id: see ``Tx.find_message``.
    """
    issues = error.issues
    header = header_of(raw)
    answer = answers.refusal_of_bytes(tx, site, header, error)
    named = ("", "", "") if header is None else (*header.sender, header.control_id)
    application, facility, control_id = (text[:LONGEST] for text in named)
    tx.add_message(
        direction="in",
        peer=peer,
        application=application,
        facility=facility,
        control_id=control_id,
        type=kind,
        raw=raw,
        body_hash=hashlib.sha256(raw).hexdigest(),
        state="refused",
        ack_code=answer.code,
        ack=answer.ack,
        issues=[issue.row() for issue in issues],
    )
    tx.audit(Event("hl7", "unreadable", "C", outcome="4", detail=issues[0].code))
    return Reply(answer.code, answer.ack, issues)


def keep_fault(tx: Tx, kind: str, peer: str, text: str, raw: bytes = b"") -> None:
    """A connection that came to nothing (``fault tls``, ``fault peer``), in the list beside the messages.

    It has no answer; ``raw`` is what came, if anything was read at all.
    """
    tx.add_message(
        direction="in",
        peer=peer,
        application="",
        facility="",
        control_id="",
        type=kind,
        raw=raw,
        body_hash="",
        state="fault",
        issues=[Issue("security", text).row()],
    )


def hash_of(raw: bytes) -> str:
    """A hash of everything after the first segment."""
    raw = raw.strip(b"\r\n\x00 ")
    end = raw.find(b"\r")
    header = (raw if end < 0 else raw[:end]).partition(b"\n")[0]
    rest = raw[len(header) :] or raw  # a segment alone is all there is
    return hashlib.sha256(rest.lstrip(b"\r\n")).hexdigest()


def _answered(tx: Tx, site: Site, message: Message, earlier: MessageRow, kept: _Kept) -> Reply | None:
    """The stored answer to a repeat; None if the message is to be carried out (again)."""
    if earlier.ack is None or earlier.ack_code in ("AE", "CE"):
        return None
    if earlier.body_hash != kept.body_hash:
        raise _reused(kept)
    tx.audit(Event("hl7", kept.type, "C", detail=f"repeat of message {earlier.id}, answered as before"))
    code = earlier.ack_code or "AA"
    further, owed = answers.again(tx, site, message, earlier) if code == "CA" else (b"", None)
    return Reply(code, earlier.ack, repeated=True, further=further, owed=owed)


def _reused(kept: _Kept) -> DuplicateError:
    return DuplicateError(f"MSH-10 {kept.control_id} was used for another message", location="MSH-10", hl7_code="205")


def _carry_out(tx: Tx, site: Site, mapped: Mapped) -> _Work:
    if mapped.type.startswith("ADT^"):
        admitted = admissions.admit(tx, site, mapped)
        return _Work(admitted.issues, patient=admitted.patient, entity=admitted.patient, touched=admitted.patient)
    if mapped.patient is not None:
        tx.lock(*patients.lock_keys(mapped.patient))  # before its orders: whoever speaks of them waits here
    known: Resolved | None = None
    if mapped.patient is not None:
        known = patients.resolve(tx, mapped.patient)
    subject, issues = (known.stored, known.issues) if known is not None else (None, ())
    if mapped.appointment is not None:
        if subject is None:
            raise InvalidContentError("an appointment needs its patient", location="PID", hl7_code="101")
        booked = appointments.book(tx, site, mapped.appointment, subject.reference, mapped.type)
        ids = (booked.row.id,) if booked.row else ()
        entity = booked.stored.reference
        return _Work((*issues, *booked.issues), subject.reference, ids, entity, f"{subject.reference} {entity}")
    cleared = mapped.cleared_of("ServiceRequest") if len(mapped.orders) == 1 else ()  # else nobody knows whose
    outcomes = _carry_out_orders(tx, site, mapped.orders, known, cleared)
    filed = [_file_report(tx, site, report, subject) for report in mapped.reports]
    done: list[Outcome | reports.Filed] = [*outcomes, *filed]
    rows = [one.row for one in done if one.row is not None]
    patient = subject.reference if subject else next((f"Patient/{row.patient_id}" for row in rows), None)
    return _Work(
        (*issues, *(issue for one in done for issue in one.issues)),
        patient,
        tuple(dict.fromkeys(row.id for row in rows)),
        done[0].stored.reference if done else patient,
        " ".join(dict.fromkeys((*((patient,) if patient else ()), *(one.stored.reference for one in done)))),
        tuple({order.index: one for order, one in zip(mapped.orders, outcomes, strict=True)}.values()),
    )


def _carry_out_orders(
    tx: Tx, site: Site, told: tuple[MappedOrder, ...], known: Resolved | None, cleared: tuple[str, ...]
) -> list[Outcome]:
    replacing.check(told)
    outcomes: list[Outcome] = []
    ended: list[str] = []
    for order in told:
        outcome = _carry_out_order(tx, site, order, known, cleared, replacing.links(order, ended))
        outcomes.append(outcome)
        if order.control in replacing.ENDING:
            ended.append(outcome.stored.reference)
    for outcome in outcomes:  # now that all steps are there
        if outcome.numbered and outcome.row is not None:
            studies.adopt(tx, site, outcome.row if len(outcomes) == 1 else tx.order(outcome.row.id) or outcome.row)
    return outcomes


def _carry_out_order(
    tx: Tx,
    site: Site,
    order: MappedOrder,
    known: Resolved | None,
    cleared: tuple[str, ...],
    links: dict[str, Any],
) -> Outcome:
    content = order.service_request | links
    if order.event == "new":
        if known is None:
            raise InvalidContentError("a new order needs its patient", location="PID", hl7_code="101")
        content |= {"status": "active", "subject": {"reference": known.stored.reference}}
        return orders.place(tx, site, content, HL7, index=order.index, patient=known.resource)
    row = _named(tx, site, order)
    if known is not None:
        orders.refuse_other_patient(row, known.stored.id)
    return orders.advance_order(tx, site, row, order.event, HL7, content, cleared=cleared, index=order.index)


def _named(tx: Tx, site: Site, order: MappedOrder) -> OrderRow:
    row = numbers.find_named(tx, Numbers.of(order.service_request, site))
    if row is None:
        place = "ORC-2" if order.index == 1 else f"ORC[{order.index}]-2"
        raise NotFoundError("no order has this placer or filler order number", location=place)
    return row


def _file_report(tx: Tx, site: Site, report: MappedReport, subject: Stored | None) -> reports.Filed:
    if subject is None:
        raise InvalidContentError("a report needs its patient", location="PID", hl7_code="101")
    given = reports.ReportNumbers(report.placer, report.filler, report.accession, report.study_uid, report.index)
    given = replace(given, document=report.document, replaces=report.replaces)
    return reports.file(tx, site, report.report, report.observations, given, subject.reference, HL7)


def _keep(
    tx: Tx,
    kept: _Kept,
    state: str,
    answer: Answer,
    issues: tuple[Issue, ...],
    done: _Work,
    earlier: MessageRow | None,
) -> int | None:
    """The message with its answer; its number, where an application acknowledgement is to name it.

    A message that is tried again keeps its place.
    """
    found = [issue.row() for issue in issues]
    order_id = done.orders[0] if done.orders else None
    if earlier is not None and earlier.body_hash == kept.body_hash:
        tx.update_message(
            earlier.id,
            state=state,
            ack_code=answer.code,
            ack=None if earlier.ack_code == answer.code == "CA" else answer.ack,  # it was accepted, and stays so
            issues=found,
            order_id=order_id,
            touched=done.touched,
            attempts=1,
        )
        return earlier.id
    fresh = NewMessage(
        direction="in",
        peer=kept.peer,
        application=kept.application,
        facility=kept.facility,
        control_id=kept.control_id,
        type=kept.type,
        raw=kept.raw,
        body_hash=kept.body_hash,
        state=state,
        ack_code=answer.code,
        ack=answer.ack,
        issues=found,
        order_id=order_id,
        arrived=kept.arrived,
        touched=done.touched,
    )
    if answer.application:
        return tx.add_message(**fresh)
    tx.keep_message(**fresh)
    return None
