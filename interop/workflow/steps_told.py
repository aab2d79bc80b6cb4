"""What is told of each step of an order with several, once something has become of the order: what was not touched is
not told again, so that a receiver is never asked to cancel twice or to change what it does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interop.fhir.orders import with_identifier, with_step
from interop.fhir.query import Identity
from interop.fhir.scheduled_steps import ScheduledStep, as_order, own_step, steps_of, with_steps
from interop.mapping.outbound import OrderStep
from interop.store import StepRow
from interop.workflow.lifecycle import ACTIVE, COMPLETED, IN_ERROR, ON_HOLD, REVOKED

Resource = dict[str, Any]

_ENDED = (REVOKED, IN_ERROR)
_OF_STATUS = {REVOKED: "cancel", IN_ERROR: "entered-in-error", ON_HOLD: "hold", COMPLETED: "complete"}
_SERVERS = ("meta", "status", "text")  # what differs from version to version without anybody having asked for it


def steps_told(before: Resource | None, after: Resource, event: str, rows: Sequence[StepRow]) -> list[OrderStep]:
    """The steps to tell of, each with its own event; () where the order has one step.

    ``before``: the order's former version; None of a new one. ``event``: of the order as a whole.
    """
    by_id = {row.step_id: row for row in rows}
    former = {step.number: step for step in _steps(before)} if before is not None else {}
    shared = before is not None and _shared(before) != _shared(after)
    told: list[tuple[str, ScheduledStep]] = []
    for step in steps_of(after):
        event_of_step = _event(former.get(step.number), step, event, shared=shared)
        if event_of_step is not None:
            told.append((event_of_step, step))
    if not told:  # the order's own state alone: its live steps say so, else all
        every = steps_of(after)
        told = [(event, step) for step in every if step.status not in _ENDED] or [(event, step) for step in every]
    return [_told(after, step, each, by_id.get(step.number)) for each, step in told]


def _steps(before: Resource) -> tuple[ScheduledStep, ...]:
    return steps_of(before) or (own_step(before, str(before.get("status", "")), ""),)


def _event(former: ScheduledStep | None, step: ScheduledStep, event: str, *, shared: bool) -> str | None:
    """What became of the step; None for nothing."""
    if former is None:
        return "new" if step.status not in _ENDED or event == "new" else None
    if former.status in _ENDED and step.status in _ENDED:
        return None  # its end was told
    if former.status != step.status:
        if event in ("discontinue", "entered-in-error") and step.status in _ENDED:
            return event
        return "release" if step.status == ACTIVE else _OF_STATUS.get(step.status, event)
    if former.step and former.step != step.step:
        return event if event != "change" else "start"
    same = (former.start, former.modality, former.stations) == (step.start, step.modality, step.stations)
    if not same or (former.protocols and former.protocols != step.protocols) or shared:
        return "change"
    return None


def _shared(order: Resource) -> Resource:
    """What the order says of all its steps."""
    whole = with_step(with_steps(order, ()), None)
    return {name: value for name, value in whole.items() if name not in _SERVERS}


def _told(order: Resource, step: ScheduledStep, event: str, row: StepRow | None) -> OrderStep:
    view = as_order(order, step)
    if step.filler is not None:  # a filler may number each step (IHE RAD-4)
        view = with_identifier(view, "FILL", Identity(step.filler.get("system", ""), step.filler["value"]))
    stations = row.stations if row is not None else ()
    return OrderStep(
        view,
        event,
        row.modality if row is not None else None,
        stations[0] if len(stations) == 1 else None,
    )
