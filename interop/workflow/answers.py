"""What goes back for a message: at once on its connection, and as an application acknowledgement of its own.

In enhanced mode (v2.5.1 2.9.3) the accept acknowledgement says that the message is kept, or why not:

    CA  it is kept, with what became of it; the application acknowledgement tells that, where MSH-16 asks for it
    CR  it is refused as such and a repeat changes nothing: unreadable, not supported, its sender unknown, MSH-10 reused
    CE  this server could not keep it or deal with it: worth a repeat

The application acknowledgement is a message of ours, kept and owed by the commit that made it true. Where it goes back
over the connection the job waits: it runs only if the connection was gone before it was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import NamedTuple

from interop.audit.event import Event
from interop.errors import ForbiddenError, InteropError, InvalidContentError, Issue, MalformedError, RefusedError
from interop.hl7.acknowledgement import acknowledge
from interop.hl7.acknowledgement_mode import ALWAYS, NEVER, ORIGINAL, Asked, asked_of, due
from interop.hl7.message import Message, parse
from interop.mapping.peers import Receiver
from interop.mapping.tables import Rules
from interop.store import MessageRow, Tx
from interop.workflow import order_answers, outbox
from interop.workflow.orders import Outcome
from interop.workflow.site import Site

GRACE = timedelta(seconds=30)  # from which on an answer that was not written to its connection goes to a receiver
_REPORTED = ("warning", "error", "fatal")  # severities that an acknowledgement tells; the rest is kept beside it


class Answer(NamedTuple):
    """``ack`` goes back at once; empty, nothing does. ``application`` is the acknowledgement that is owed besides."""

    code: str  # of ``ack``, or what it would have been
    ack: bytes
    application: bytes = b""


def answer(
    tx: Tx, site: Site, message: Message, issues: tuple[Issue, ...], outcomes: Sequence[Outcome] | None = None
) -> Answer:
    """AA, or CA with AA to follow; ``outcomes`` are those of the message's orders."""
    return _answer(tx, site, message, "AA", "CA", issues, outcomes)


def refusal(tx: Tx, site: Site, message: Message, error: InteropError, issues: tuple[Issue, ...]) -> Answer:
    """The error's own answer, or in enhanced mode CA with that to follow; CE or CR where it is not accepted."""
    return _answer(tx, site, message, error.ack_code, _accept_code(error), issues)


def refusal_of_bytes(tx: Tx, site: Site, header: Message | None, error: InteropError) -> Answer:
    """The answer to bytes that are no message, as far as their MSH can be read."""
    code = error.ack_code
    if header is not None:
        asked = asked_of(header, _rules(site, header).manner.mode)
        if asked.enhanced:
            code = "CE" if type(error) is InteropError else "CR"
        if not due(asked.accept if asked.enhanced else asked.application, False):
            return Answer(code, b"")
    id = token_hex(10)
    ack = acknowledge(header, code, issues=error.issues, control_id=id, now=tx.now, facility=site.facility)
    return Answer(code, ack)


def refusal_unkept(
    site: Site, message: Message | None, error: InteropError, *, control_id: str, now: datetime
) -> bytes:
    """A refusal that no commit stands behind; empty where the sender wants none."""
    issues = (Issue(error.issue_code, error.text, location=error.issues[0].location, hl7_code=error.hl7_code),)
    code = error.ack_code if message is None or isinstance(error, ForbiddenError) else "AE"
    if message is not None:
        asked = asked_of(message, _rules(site, message).manner.mode)
        if not due(asked.accept if asked.enhanced else asked.application, False):
            return b""
        code = f"C{code[1]}" if asked.enhanced else code
    return acknowledge(message, code, issues=issues, control_id=control_id, now=now, facility=site.facility)


def _rules(site: Site, message: Message) -> Rules:
    return site.tables.site(*message.sender) or site.tables


def _accept_code(error: InteropError) -> str:
    if type(error) is InteropError:
        return "CE"  # our own fault
    place = error.issues[0].location or ""
    refused = isinstance(error, MalformedError | ForbiddenError)
    of_header = isinstance(error, RefusedError | InvalidContentError) and place.startswith("MSH")
    return "CR" if refused or of_header else "CA"


def _answer(
    tx: Tx,
    site: Site,
    message: Message,
    code: str,
    accept_code: str,
    issues: tuple[Issue, ...],
    outcomes: Sequence[Outcome] | None = None,
) -> Answer:
    rules = _rules(site, message)
    asked = asked_of(message, rules.manner.mode)
    told = [issue for issue in issues if issue.severity in _REPORTED]
    typed = rules.manner.answer == "order" and message.type in order_answers.TYPES
    if asked is ORIGINAL and not typed:
        return Answer(code, _general(tx, site, message, code, told))
    good = code == "AA"
    if not asked.enhanced:
        if not due(asked.application, good):
            return Answer(code, b"")
        return Answer(code, _application(tx, site, message, code, told, outcomes, typed=typed))
    accepted = accept_code == "CA"
    ack = b""
    if due(asked.accept, accepted):
        ack = _general(tx, site, message, accept_code, [] if accepted else told)
    application = b""
    if accepted and due(asked.application, good):
        application = _application(tx, site, message, code, told, outcomes, typed=typed, asked=asked)
    return Answer(accept_code, ack, application)


def _general(tx: Tx, site: Site, message: Message, code: str, told: Sequence[Issue]) -> bytes:
    id = token_hex(10)  # MSH-10 of an answer: at most 20 characters (v2.5.1 2.15.9.10)
    return acknowledge(message, code, issues=told, control_id=id, now=tx.now, facility=site.facility)


def _application(
    tx: Tx,
    site: Site,
    message: Message,
    code: str,
    told: Sequence[Issue],
    outcomes: Sequence[Outcome] | None,
    *,
    typed: bool,
    asked: Asked | None = None,
) -> bytes:
    """AA, AE or AR; as a message of its own it asks for an accept acknowledgement and for nothing else."""
    receiver = _receiver(site, message) if asked else None
    segments: list[str] = []
    if typed:
        resources = None if outcomes is None else [outcome.stored.resource() for outcome in outcomes]
        segments = order_answers.order_segments(message, resources, site, _rules(site, message))
    return acknowledge(
        message,
        code,
        issues=told,
        control_id=outbox.control_id(tx, site) if asked else token_hex(10),
        now=tx.now,
        facility=(receiver and receiver.sending_facility) or site.facility,
        application=receiver.sending_application if receiver else "INTEROP",
        type_=order_answers.TYPES[message.type] if typed else None,
        asks=(ALWAYS, NEVER) if asked else ("", ""),
        segments=segments,
    )


def _receiver(site: Site, message: Message) -> Receiver | None:
    """The receiver that is the sender of this message."""
    application, facility = message.sender
    fitting = [one for one in site.receivers if one.application == application and one.facility in ("", facility)]
    return max(fitting, key=lambda one: len(one.facility), default=None)


def owe(tx: Tx, site: Site, message: Message, id: int, answer: Answer, *, connected: bool = True) -> int | None:
    """Owe the application acknowledgement of message ``id``; its number where it goes over the connection.

    Where no receiver is the sender, the job finds nobody and becomes a dead letter that says so.
    """
    if not answer.application:
        return None
    over_connection = connected and _rules(site, message).manner.application == "connection"
    receiver = _receiver(site, message)
    own = parse(answer.application)
    application, facility = own.sender
    number = tx.add_message(
        direction="out",
        peer=receiver.name if receiver else "|".join(message.sender),
        application=application,
        facility=facility,
        control_id=own.control_id,
        type=own.type,
        raw=answer.application,
        body_hash=hashlib.sha256(answer.application).hexdigest(),
        state="queued",
    )
    tx.link_answer(number, id)
    row = tx.message(number)
    assert row is not None
    outbox.owe_row(tx, row, run_at=tx.now + GRACE if over_connection else None)
    return number if over_connection else None


def again(tx: Tx, site: Site, message: Message, earlier: MessageRow) -> tuple[bytes, int | None]:
    """The application acknowledgement that a repeat is given over its connection once more, with its number."""
    manner = _rules(site, message).manner
    if earlier.ack_code != "CA" or manner.application != "connection":
        return b"", None
    ours = [row for row in tx.answers_to(earlier.id) if row.direction == "out"]
    return (ours[-1].raw, ours[-1].id) if ours else (b"", None)


def written(tx: Tx, ids: Sequence[int]) -> None:
    """These went out over the connections that asked for them: nobody owes them any more."""
    for id in ids:
        tx.lock(f"answer:{id}")
        row = tx.message(id)
        if row is None or row.state != "queued":
            continue
        outbox.settle(tx, row, "sent")
        tx.audit(Event("hl7", row.type, "R", detail=f"message {row.id} over the connection of {row.peer}"))
