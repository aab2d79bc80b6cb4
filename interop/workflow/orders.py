"""Orders: placed, changed, held, released, cancelled, completed, from either door; one order has one life.

The life itself is the table in ``lifecycle``. Here: which order is meant, whether it was told before, what a change may
touch, and what follows from it (worklist, messages).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from interop.errors import ConflictError, DuplicateError, InvalidContentError, Issue
from interop.fhir.orders import OrderFacts, order_facts
from interop.fhir.scheduled_steps import has_steps, steps_of, with_steps
from interop.store import DuplicateIdentityError, OrderRow, StepRow, Stored, Tx
from interop.workflow import linking, numbers, outbox, step_changes, steps
from interop.workflow.lifecycle import (
    ABSENT,
    FHIR,
    HL7,
    IN_ERROR,
    ON_HOLD,
    REVOKED,
    State,
    advance,
    event_of,
    on_worklist,
)
from interop.workflow.named_places import named_places
from interop.workflow.numbers import Numbers
from interop.workflow.scheduling import Plan, is_order, planned, step_of, write_step
from interop.workflow.site import Site

Resource = dict[str, Any]
_ALL = 1_000_000


class Outcome(NamedTuple):
    """What became of an order; ``row`` is None for a ServiceRequest that is only stored."""

    stored: Stored
    row: OrderRow | None = None
    issues: tuple[Issue, ...] = ()
    fresh: bool = False  # the order began with this
    numbered: bool = False  # and it came with numbers that images may have already


def place(
    tx: Tx,
    site: Site,
    resource: Resource,
    door: str,
    *,
    id: str | None = None,
    index: int = 1,
    patient: Resource | None = None,
) -> Outcome:
    """A new order; ``resource`` has its subject. What is no imaging order is stored, and no more.

    ``patient`` is the subject where the caller has read it already.

    The same order again is answered with the one that stands; DuplicateError if it says something else.
    """
    facts = order_facts(resource, site.zone)
    if not is_order(site, resource, facts):
        return Outcome(tx.create(resource, id=id))
    if facts.patient is None:
        raise InvalidContentError("an order needs a Patient", expression="ServiceRequest.subject", location="PID-3")
    numbers.check(resource, index)
    if has_steps(resource):
        resource = step_changes.checked(resource)
    given = Numbers.of(resource, site)
    tx.lock(*given.lock_keys())
    present = numbers.find(tx, given)
    if present is None and door == HL7 and given.placer is None and given.filler is None:
        present = numbers.find_named(tx, given)  # all that it shares with its other steps is the accession number
    if present is not None:
        if door == HL7 and _is_further_step(present, given):
            return _add_step(tx, site, present, resource, str(given.step_id), index)
        return _again(tx, site, present, resource, door, index)
    resource = dict(resource)
    if "authoredOn" not in resource:
        resource["authoredOn"] = _instant(tx)
    return _begin(tx, site, resource, facts, given, door, id=id, patient=patient)


def _begin(
    tx: Tx,
    site: Site,
    resource: Resource,
    facts: OrderFacts,
    given: Numbers,
    door: str,
    *,
    id: str | None = None,
    known: bool = False,
    patient: Resource | None = None,
) -> Outcome:
    """Give the order its numbers and its first state; ``known``: the ServiceRequest was stored before, as no order."""
    held = resource["status"] == ON_HOLD
    assigned = numbers.assign(tx, site, resource, given)
    subject, named = _patient(tx, facts) if patient is None else patient, named_places(tx, resource)
    state = advance(ABSENT, "new", door)
    laid: steps.Laid | None = None
    if has_steps(resource):
        state = advance(state, "hold", door) if held else state
        laid = steps.lay(site, step_changes.begun(tx, site, resource, state), state, subject, named, tx.now)
        resource, state, found = laid.resource, laid.state, laid.plan
    else:
        found, state = planned(site, resource, state, facts, subject, named, tx.now)
        if held:
            state = advance(state, "hold", door)
    resource["status"] = state.status
    write_step(resource, state.step)
    stored = tx.update(resource) if known else tx.create(resource, id=id)
    row = _row(tx, stored.id, facts, assigned, state, found, f"{door}:{tx.agent.who}")
    if laid is not None:
        row = replace(row, scheduled=laid.scheduled)
        tx.put_order_steps(row.id, laid.rows)
    _put(tx, row, free=numbers.ours(given))
    _follow(tx, site, None, row, "new", resource)
    numbered = given.accession is not None or given.study_uid is not None
    return Outcome(stored, row, found.issues, fresh=True, numbered=numbered)


def advance_order(
    tx: Tx,
    site: Site,
    row: OrderRow,
    event: str,
    door: str,
    content: Resource | None = None,
    *,
    cleared: Iterable[str] = (),
    index: int = 1,
    step: str | None = None,
    tell: bool = True,
    begun: bool = True,
) -> Outcome:
    """One event of the lifecycle; a change also lays the content over what is known, and empties what it clears.

    ``step``: the id of the one that it is about, where there are several. Not ``begun``: no more than its steps have.
    """
    stored = tx.get("ServiceRequest", row.id)
    before = stored.resource()
    if has_steps(before):
        told = step_changes.Told(event, door, content, tuple(cleared), step, index, begun)
        changed = step_changes.apply(site, row, before, told)
        return _write(tx, site, row, stored, changed.resource, changed.state, changed.event if tell else None)
    state = advance(State(row.status, row.step), event, door)
    after = dict(before)
    if content is not None:
        numbers.check(content, index)
        numbers.keep(site, before, {**content}, index)
        after["identifier"] = linking.joined_identifiers(before, content)
        if event == "change":
            after = linking.changed(before, content, cleared)
    return _write(tx, site, row, stored, after, state, event if tell else None)


def set_back(tx: Tx, site: Site, row: OrderRow, state: State, version: int) -> Outcome:
    """The order as it stood before images that turned out not to be its own; nobody is told.

    ``version`` is the one that was current then: of an order with several steps each stands as it did there.
    """
    stored = tx.get("ServiceRequest", row.id)
    after, then = stored.resource(), tx.read("ServiceRequest", row.id, version)
    if then is not None and has_steps(after):
        stood = {one.number: one.step for one in steps_of(then.resource())}
        after = with_steps(after, [replace(one, step=stood.get(one.number, one.step)) for one in steps_of(after)])
    return _write(tx, site, row, stored, after, state, None)


def update(tx: Tx, site: Site, present: Stored, resource: Resource) -> Outcome:
    """A ServiceRequest put by FHIR over the present one."""
    row = tx.order(present.id)
    facts = order_facts(resource, site.zone)
    if row is None:
        if not is_order(site, resource, facts):
            return Outcome(tx.update(resource))
        numbers.check(resource)
        resource = step_changes.checked(resource)
        given = Numbers.of(resource, site)
        tx.lock(*given.lock_keys())
        resource.setdefault("authoredOn", _instant(tx))
        return _begin(tx, site, resource, facts, given, FHIR, known=True)
    before = present.resource()
    after = dict(resource)
    _refuse_other_order(before, after)
    numbers.check(after)
    numbers.keep(site, before, after)
    step = step_of(after)
    state = State(row.status, row.step)
    event = event_of(state, str(after["status"]), row.step if step is None else step)
    if has_steps(before) or has_steps(after):
        after = step_changes.put_over(tx, site, row, before, after)
        after = with_steps(after, steps.moved(steps_of(after), event, FHIR)) if event != "change" else after
    return _write(tx, site, row, present, after, advance(state, event, FHIR), event)


def delete(tx: Tx, site: Site, id: str) -> Stored:
    """Cancel the order and mark it as entered in error. It goes from sight too, unless others refer to it."""
    stored = tx.get("ServiceRequest", id)
    row = tx.order(id)
    if row is not None:
        outcome = advance_order(tx, site, row, "entered-in-error", FHIR)
        stored = outcome.stored
        # its numbers are free again: what was entered in error is entered anew, correctly
        tx.put_order(replace(outcome.row or row, placer=None, filler=None, accession=None, study_uid=None))
    return stored if tx.referrers("ServiceRequest", id, limit=1) else tx.delete("ServiceRequest", id)


def reconsider_one(tx: Tx, site: Site, id: str, *, planned: bool = False) -> bool:
    """Plan one waiting order anew, after what it waits for may have come; or one that is ``planned``, too.

    Whether it changed.
    """
    row = tx.order(id)
    if row is None or not (row.missing or (planned and row.scheduled)):
        return False
    stored = tx.get("ServiceRequest", id)
    return _write(tx, site, row, stored, stored.resource(), State(row.status, row.step), None).row is not row


def reconsider(tx: Tx, site: Site) -> int:
    """Plan the orders that are scheduled, or wait for it, anew; how many changed.

    For a start with other tables or another list of modalities than before.
    """
    rows = (*tx.find_orders(scheduled=True, limit=_ALL), *tx.find_orders(waiting=True, limit=_ALL))
    return sum(reconsider_one(tx, site, row.id, planned=True) for row in rows)


def _again(tx: Tx, site: Site, row: OrderRow, resource: Resource, door: str, index: int) -> Outcome:
    """An order whose identity stands: told before by this door, or known from the other one."""
    stored = tx.get("ServiceRequest", row.id)
    if row.status in (REVOKED, IN_ERROR):
        raise _duplicate(row, f"is {row.status}; a new order needs a new number", index)
    told_key = f"told:{door}:{row.id}"
    if row.origin.partition(":")[0] == door:
        first = tx.read("ServiceRequest", row.id, 1)
        same = first is not None and linking.same_content(site, first.resource(), resource)
    else:
        told = tx.get_state(told_key)
        if told is None:
            tx.set_state(told_key, linking.digest(resource))
            return _link(tx, site, row, stored, resource)
        same = told == linking.digest(resource)
    if not same:
        raise _duplicate(row, "says something else; changes are told as such", index)
    return Outcome(stored, row)


def _is_further_step(row: OrderRow, given: Numbers) -> bool:
    """Whether the same order is told with another step id than its first one's, both told by the filler."""
    return given.step_id is not None and given.step_id != row.step_id and not numbers.is_ours(row.step_id)


def _add_step(tx: Tx, site: Site, row: OrderRow, resource: Resource, step_id: str, index: int) -> Outcome:
    """One step more of an order that stands; the same step again is answered as before."""
    stored = tx.get("ServiceRequest", row.id)
    before = stored.resource()
    if row.status in (REVOKED, IN_ERROR):
        raise _duplicate(row, f"is {row.status}; a new order needs a new number", index)
    _refuse_other_patient(before, resource)
    told_key, digest = f"told:{HL7}:{row.id}:{step_id}", linking.digest(resource)
    told = tx.get_state(told_key)
    if told == digest:
        return Outcome(stored, row)
    if told is not None or any(step.number == step_id for step in steps_of(before)):
        raise _duplicate(row, f"says something else of its step {step_id}; changes are told as such", index)
    try:
        after, issues = step_changes.added(site, row, before, resource, index)
    except InvalidContentError as error:
        raise _duplicate(row, f"is another order by its step {step_id}: {error.text}", index) from error
    tx.set_state(told_key, digest)
    outcome = _write(tx, site, row, stored, after, State(row.status, row.step), "change")
    return outcome._replace(issues=(*outcome.issues, *issues))


def _duplicate(row: OrderRow, words: str, index: int) -> DuplicateError:
    segment = "ORC" if index == 1 else f"ORC[{index}]"
    number = "2" if row.placer else "3"
    return DuplicateError(
        f"ServiceRequest/{row.id} has this order number and {words}",
        expression="ServiceRequest.identifier",
        location=f"{segment}-{number}",
    )


def _link(tx: Tx, site: Site, row: OrderRow, stored: Stored, resource: Resource) -> Outcome:
    before = stored.resource()
    _refuse_other_patient(before, resource)
    after, issues = linking.filled(before, resource)
    outcome = _write(tx, site, row, stored, after, State(row.status, row.step), None)
    return outcome._replace(issues=(*outcome.issues, *issues))


def _write(
    tx: Tx, site: Site, row: OrderRow, stored: Stored, after: Resource, state: State, event: str | None
) -> Outcome:
    """The order's new version, its row and what follows; nothing at all where nothing changes."""
    facts = order_facts(after, site.zone)
    rows: tuple[StepRow, ...] = ()
    if has_steps(after):
        laid = steps.lay(site, after, state, _patient(tx, facts), named_places(tx, after), tx.now)
        after, state, found, rows = laid.resource, laid.state, laid.plan, laid.rows
    else:
        found, state = planned(site, after, state, facts, _patient(tx, facts), named_places(tx, after), tx.now)
    after["status"] = state.status
    write_step(after, state.step)
    fresh = tx.update(after)
    new_row = _row(tx, row.id, facts, Numbers.of(after, site), state, found, row.origin)
    if rows:
        new_row = replace(new_row, scheduled=any(one.scheduled for one in rows))
    same = fresh.version == stored.version and replace(new_row, updated=row.updated) == row
    if same and (not rows or rows == tx.order_steps(row.id)):
        return Outcome(stored, row)
    if rows:
        tx.put_order_steps(row.id, rows)
    _put(tx, new_row)
    _follow(tx, site, row, new_row, event, after, stored)
    return Outcome(fresh, new_row, found.issues if event == "change" else ())


def _patient(tx: Tx, facts: OrderFacts) -> Resource:
    stored = tx.read("Patient", (facts.patient or "").removeprefix("Patient/"))
    return {} if stored is None or stored.deleted else stored.resource()


def _follow(
    tx: Tx, site: Site, before: OrderRow | None, row: OrderRow, event: str | None, resource: Resource,
    former: Stored | None = None,
) -> None:  # fmt: skip
    if row.scheduled or (before is not None and before.scheduled):
        tx.enqueue("worklist", row.id, {"order": row.id}, replace=before is not None)
    if event is not None:
        outbox.tell_order(tx, site, {**resource, "id": row.id}, event, row, former)


def _put(tx: Tx, row: OrderRow, free: frozenset[str] = frozenset()) -> None:
    try:
        tx.put_order(row, free=free)
    except DuplicateIdentityError as error:
        place_ = numbers.location_of(error.identity)
        raise DuplicateError(error.text, expression="ServiceRequest.identifier", location=place_) from error


def _row(tx: Tx, id: str, facts: OrderFacts, given: Numbers, state: State, found: Plan, origin: str) -> OrderRow:
    return OrderRow(
        id=id,
        patient_id=(facts.patient or "").removeprefix("Patient/"),
        status=state.status,
        step=state.step,
        origin=origin,
        updated=tx.now,
        placer=given.placer,
        filler=given.filler,
        accession=given.accession,
        study_uid=given.study_uid,
        procedure_id=given.procedure_id,
        step_id=given.step_id,
        scheduled=on_worklist(state) and not found.missing,
        missing=found.missing,
        modality=found.modality,
        start=found.start,
        stations=found.stations,
    )


def _refuse_other_order(before: Resource, after: Resource) -> None:
    _refuse_other_patient(before, after)
    for name in ("intent", "doNotPerform"):
        if (before.get(name) or None) != (after.get(name) or None):
            raise InvalidContentError(
                f"the {name} of an order does not change; cancel it instead", expression=f"ServiceRequest.{name}"
            )


def _refuse_other_patient(before: Resource, after: Resource) -> None:
    if before["subject"].get("reference") != after.get("subject", {}).get("reference"):
        raise ConflictError(
            f"the order is one of {before['subject'].get('reference')}",
            expression="ServiceRequest.subject",
            location="PID-3",
            status=422,
        )


def _instant(tx: Tx) -> str:
    return tx.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def refuse_other_patient(row: OrderRow, patient_id: str) -> None:
    """ConflictError if a message speaks of this order under another patient."""
    if row.patient_id != patient_id:
        raise ConflictError(f"ServiceRequest/{row.id} is an order of another patient", location="PID-3")
