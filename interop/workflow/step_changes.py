"""What is told of an order with several steps, laid over it: by messages that name a step, and by FHIR updates."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from interop.errors import InvalidContentError, Issue
from interop.fhir import names
from interop.fhir.orders import with_identifier
from interop.fhir.query import Identity
from interop.fhir.scheduled_steps import ScheduledStep, own_step, steps_of, with_steps
from interop.store import OrderRow, Tx
from interop.workflow import linking, numbers
from interop.workflow.lifecycle import ACTIVE, FHIR, ON_HOLD, State, advance, event_of
from interop.workflow.site import Site
from interop.workflow.steps import combined, moved, named, replaced, state_of, stepped, summary

Resource = dict[str, Any]

MOST = 64  # steps of one order
_OF_THE_STEP = (
    *("code", "orderDetail", "performer", "locationCode"),
    *("occurrenceDateTime", "occurrencePeriod", "occurrenceTiming"),
)
_TO_COMPARE = ("orderDetail", "occurrenceDateTime")


@dataclass(frozen=True, slots=True)
class Changed:
    """The order with what was told of it, the state that its own event made of it, and what to tell others."""

    resource: Resource
    state: State
    event: str


@dataclass(frozen=True, slots=True)
class Told:
    """One event at a door; ``content`` is the ServiceRequest that came with it, ``step`` the step's id if it is known
    otherwise, ``index`` which ORC it was. Not ``begun``: nothing was done for the order but what its steps say.
    """

    event: str
    door: str
    content: Resource | None = None
    cleared: Collection[str] = ()
    step: str | None = None
    index: int = 1
    begun: bool = True


def apply(site: Site, row: OrderRow, before: Resource, told: Told) -> Changed:
    """One event of an order with several steps: of the step that is named, else of all.

    NotFoundError for a step that it does not have, IllegalTransitionError where the table has no such event.
    """
    steps = steps_of(before)
    number = told.step or _number_in(told.content)
    state = State(row.status, row.step)
    if number is None:
        state = advance(state, told.event, told.door)
        after = before
        if told.content is not None:
            after = _of_the_order(site, before, told)
        return Changed(with_steps(after, moved(steps, told.event, told.door)), state, told.event)
    step = stepped(named(steps, number, told.index), told.event, told.door)
    after = before
    if told.content is not None:
        first = step.number == steps[0].number
        rest = _without_step(before, told.content, first=first)
        numbers.check(told.content, told.index)
        numbers.keep(site, before, {**rest}, told.index)
        after = {**before, "identifier": linking.joined_identifiers(before, rest)}
        if told.event == "change":
            after = linking.changed(before, rest, told.cleared if first else ())
            step = _laid_over(step, told.content)
    fresh = replaced(steps, step)
    if not told.begun:
        state = summary([state_of(one) for one in fresh])
    whole = combined(state, fresh)
    return Changed(with_steps(after, fresh), state, told.event if whole.status != row.status else "change")


def first_of(row: OrderRow, before: Resource) -> ScheduledStep:
    """The one step of an order that is to have several."""
    return own_step(before, row.status, row.step)


def told_step(content: Resource, status: str = "") -> ScheduledStep:
    """The step that a message tells of; without protocol codes of its own it is carried out as its procedure says."""
    step = own_step(content, status, "")
    if not step.protocols and content.get("code"):
        step = replace(step, protocols=(content["code"],))
    filler = next((i for i in content.get("identifier", ()) if numbers.kind_of(i) == numbers.FILLER), None)
    return replace(step, filler=filler)


def added(site: Site, row: OrderRow, before: Resource, content: Resource, index: int) -> tuple[Resource, list[Issue]]:
    """The order with one step more, and what its message says otherwise of the order, which changes nothing.

    IllegalTransitionError for an order that is closed, InvalidContentError for another accession number, procedure or
    study: that is another order.
    """
    advance(State(row.status, row.step), "change", "hl7")
    rest = _without_step(before, content, first=False)
    numbers.keep(site, before, {**rest}, index)
    steps = list(steps_of(before)) or [first_of(row, before)]
    step = told_step(content, row.status)
    if step.filler is not None and step.filler in before.get("identifier", ()):
        step = replace(step, filler=None)
    after, issues = linking.filled(before, rest)
    return with_steps(_without_other_places(after, content), _counted([*steps, step])), issues


def _without_other_places(order: Resource, content: Resource) -> Resource:
    """The order without the room and the station's name (IPC-7, IPC-8) that were of its first step alone."""
    after = dict(order)
    if after.get("locationCode") != content.get("locationCode"):
        after.pop("locationCode", None)
    if _named_stations(order) != _named_stations(content):
        kept = [one for one in order.get("performer", ()) if one not in _named_stations(order)]
        after = {name: value for name, value in after.items() if name != "performer"}
        after |= {"performer": kept} if kept else {}
    return after


def _named_stations(order: Resource) -> list[Resource]:
    performers = order.get("performer", ())
    return [one for one in performers if one.get("type") == "Device" and "reference" not in one]


def checked(resource: Resource) -> Resource:
    """A client's order with its steps as they can be kept; the first step's id is the order's, too (SPSID)."""
    steps = _told_by_client(resource)
    if not steps:
        return resource
    known = {step.number for step in steps}
    first, own = steps[0], own_step(resource, "", "").id
    if own is None:
        return resource if first.id is None else with_identifier(resource, "SPSID", first.id)
    if first.id is None and own.value not in known:
        return with_steps(resource, [replace(first, id=own), *steps[1:]])
    return resource


def _told_by_client(resource: Resource) -> list[ScheduledStep]:
    steps = _counted(steps_of(resource))
    known: set[str] = set()
    for step in steps:
        fault = numbers.fault_of_step(step.number) if step.id is not None else None
        if step.id is not None and step.number in known:
            fault = "is that of another step"
        if fault:
            raise InvalidContentError(f"the scheduled procedure step id {fault}", expression="ServiceRequest.extension")
        known.add(step.number)
    return steps


def begun(tx: Tx, site: Site, resource: Resource, state: State) -> Resource:
    """A new order's steps with their numbers and first state; the order's own step id is the first one's."""
    steps: list[ScheduledStep] = []
    own = own_step(resource, "", "").id
    taken = {step.number for step in steps_of(resource)}
    for step in steps_of(resource):
        id = step.id
        if id is None:
            id = own if own is not None and not steps and own.value not in taken else _fresh_id(tx, site)
        steps.append(replace(step, id=_with_system(site, id), status=state.status, step=""))
    return with_steps(resource, steps)


def put_over(tx: Tx, site: Site, row: OrderRow, before: Resource, after: Resource) -> Resource:
    """The steps of a PUT over those on record: each moves by its event, those that it leaves out come back."""
    told, known = _told_by_client(after), list(steps_of(before))
    if not told:
        return with_steps(after, known) if known else after
    if not known:
        known = [first_of(row, before)]
    ids = {step.number for step in known}
    given = {step.number: step for step in told if step.id is not None}
    if known[0].number not in given and len(ids) == 1 and told[0].id is None:
        given[known[0].number], told = replace(told[0], id=known[0].id), told[1:]
    result = [_put(step, given[step.number]) if step.number in given else step for step in known]
    for step in told:
        if step.id is None or step.number not in ids:
            if row.status not in (ACTIVE, ON_HOLD):
                text = f"the order is {State(row.status, row.step)}: it gets no further step"
                raise InvalidContentError(text, expression="ServiceRequest.extension")
            id = _with_system(site, step.id or _fresh_id(tx, site))
            result.append(replace(step, id=id, status=row.status, step=""))
    return with_steps(after, _counted(result))


def _put(known: ScheduledStep, told: ScheduledStep) -> ScheduledStep:
    event = event_of(state_of(known), told.status or known.status, told.step or known.step)
    same = replace(told, id=known.id, status=known.status, step=known.step, filler=known.filler)
    if event == "change" and same == known:
        return known
    return stepped(same, event, FHIR)


def _of_the_order(site: Site, before: Resource, told: Told) -> Resource:
    assert told.content is not None
    content = told.content
    numbers.check(content, told.index)
    numbers.keep(site, before, {**content}, told.index)
    after: Resource = {**before, "identifier": linking.joined_identifiers(before, content)}
    if told.event != "change":
        return after
    if any(name in content and content[name] != before.get(name) for name in _TO_COMPARE):
        raise InvalidContentError(
            "the order has several steps: the step id says which of them is changed",
            expression="ServiceRequest.extension",
            location="OBR-20" if told.index == 1 else f"OBR[{told.index}]-20",
            hl7_code="101",
        )
    return linking.changed(before, content, told.cleared)


def _number_in(content: Resource | None) -> str | None:
    id = own_step(content, "", "").id if content is not None else None
    return id.value if id is not None else None


def _without_step(before: Resource, content: Resource, *, first: bool) -> Resource:
    """What a message says of the order, without what it says of the step."""
    kinds = {numbers.STEP}
    if any(numbers.kind_of(item) == numbers.FILLER for item in before.get("identifier", ())):
        kinds.add(numbers.FILLER)  # a filler may number each step (IHE RAD-4)
    rest = dict(content)
    rest["identifier"] = [item for item in content.get("identifier", ()) if numbers.kind_of(item) not in kinds]
    if first:
        return rest
    rest = {name: value for name, value in rest.items() if name not in _OF_THE_STEP}
    extensions = [item for item in rest.pop("extension", ()) if item.get("url") != names.EXT_STATION]
    return rest | ({"extension": extensions} if extensions else {})


def _laid_over(step: ScheduledStep, content: Resource) -> ScheduledStep:
    """What the change does not speak of stays."""
    told = told_step(content)
    return replace(
        step,
        modality=told.modality or step.modality,
        start=told.start or step.start,
        stations=told.stations or step.stations,
        protocols=told.protocols or step.protocols,
    )


def _fresh_id(tx: Tx, site: Site) -> Identity:
    return numbers.next_step_id(tx, site)


def _with_system(site: Site, id: Identity) -> Identity:
    return id if id.system else Identity(names.step_system(site.facility), id.value)


def _counted(steps: Iterable[ScheduledStep]) -> list[ScheduledStep]:
    found = list(steps)
    if len(found) > MOST:
        raise InvalidContentError(f"an order has at most {MOST} steps", expression="ServiceRequest.extension")
    return found
