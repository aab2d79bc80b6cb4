"""Orders with several scheduled procedure steps: each step lives by the lifecycle's table, the order is their summary.

A step has a status and a step of its own, one State as an order with a single step has. What is told of a step by its
id moves that one; what is told of the order moves every step that the table lets. The order has begun as soon as one of
its steps has, and ends when all have ended. Orders with one step never come here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interop.errors import NotFoundError
from interop.fhir.orders import order_facts
from interop.fhir.scheduled_steps import ScheduledStep, as_order, steps_of, with_steps
from interop.store import StepRow
from interop.workflow.lifecycle import (
    ACTIVE,
    ARRIVED,
    CANCELLED,
    COMPLETED,
    IMAGES_AVAILABLE,
    IN_ERROR,
    IN_PROGRESS,
    ON_HOLD,
    REPORTED,
    REVOKED,
    SCHEDULED,
    TABLE,
    UNSCHEDULED,
    State,
    advance,
    on_worklist,
)
from interop.workflow.scheduling import Plan, planned
from interop.workflow.site import Site

Resource = dict[str, Any]

_ENDED = (REVOKED, IN_ERROR)
_BEGUN = (IN_PROGRESS, IMAGES_AVAILABLE, REPORTED)
# Events that say how far the work has come: told of the order, they do not say of which step.
_OF_ONE = frozenset({"start", "images-arrived", "images-available"})


@dataclass(frozen=True, slots=True)
class Laid:
    """An order with its steps planned: what is stored of it."""

    resource: Resource
    state: State
    plan: Plan  # of the order as a whole
    rows: tuple[StepRow, ...]

    @property
    def scheduled(self) -> bool:
        """Whether any step is on the worklist."""
        return any(row.scheduled for row in self.rows)


def lay(site: Site, resource: Resource, state: State, patient: Resource, named: frozenset[str], now: datetime) -> Laid:
    """Plan every step, and say what the order is by them; ``state`` is what its own event made of it."""
    laid: list[tuple[ScheduledStep, Plan]] = []
    for step in steps_of(resource):
        view = as_order(resource, step)
        found, at = planned(site, view, state_of(step), order_facts(view, site.zone), patient, named, now)
        laid.append((replace(step, status=at.status, step=at.step), found))
    steps = [step for step, _ in laid]
    rows = tuple(_row(step, found) for step, found in laid)
    return Laid(with_steps(resource, steps), combined(state, steps), _whole(rows), rows)


def state_of(step: ScheduledStep) -> State:
    """Where a step stands."""
    return State(step.status, step.step)


def combined(state: State, steps: Sequence[ScheduledStep]) -> State:
    """The order's state: ended if it was ended itself, else the summary; what has begun is not taken back."""
    if state.status in _ENDED:
        return state
    found = summary([state_of(step) for step in steps])
    if state.step in _BEGUN and found.status not in _ENDED and found.step not in _BEGUN:
        return replace(found, step=IN_PROGRESS)
    return found


def summary(states: Sequence[State]) -> State:
    """What an order is whose steps are these."""
    live = [state for state in states if state.status not in _ENDED]
    if not live:
        return State(REVOKED if any(state.status == REVOKED for state in states) else IN_ERROR, CANCELLED)
    statuses = {state.status for state in live}
    status = next(one for one in (ACTIVE, ON_HOLD, COMPLETED) if one in statuses)
    reached = {state.step for state in live}
    if status != COMPLETED:  # a step that is done without images is done all the same
        reached = {IMAGES_AVAILABLE if state.status == COMPLETED else state.step for state in live}
    if len(reached) == 1:
        return State(status, reached.pop())
    if reached <= {IMAGES_AVAILABLE, REPORTED}:
        return State(status, IMAGES_AVAILABLE)
    if reached & set(_BEGUN):
        return State(status, IN_PROGRESS)
    return State(status, ARRIVED if ARRIVED in reached else SCHEDULED)


def moved(steps: Sequence[ScheduledStep], event: str, door: str) -> list[ScheduledStep]:
    """The steps after something was told of the whole order; those for which the table has no place stay."""
    if event in _OF_ONE:
        live = [step for step in steps if step.status not in _ENDED]
        if len(live) != 1:
            return list(steps)
    return [_moved(step, TABLE.get((door, state_of(step), event))) for step in steps]


def stepped(step: ScheduledStep, event: str, door: str) -> ScheduledStep:
    """The step after something was told of it alone; IllegalTransitionError where the table has no such thing."""
    return _moved(step, advance(state_of(step), event, door))


def named(steps: Sequence[ScheduledStep], number: str, index: int = 1) -> ScheduledStep:
    """The step with this id; NotFoundError."""
    for step in steps:
        if step.number == number:
            return step
    known = ", ".join(step.number for step in steps)
    segment = "OBR" if index == 1 else f"OBR[{index}]"
    raise NotFoundError(
        f"the order has no step {number}; its steps are {known}, a further one is told as NW", location=f"{segment}-20"
    )


def replaced(steps: Iterable[ScheduledStep], fresh: ScheduledStep) -> list[ScheduledStep]:
    """The steps with this one in the place of the one with its id."""
    return [fresh if step.number == fresh.number else step for step in steps]


def _moved(step: ScheduledStep, target: State | None) -> ScheduledStep:
    return step if target is None else replace(step, status=target.status, step=target.step)


def _row(step: ScheduledStep, found: Plan) -> StepRow:
    at = state_of(step)
    open_ = at.status in (ACTIVE, ON_HOLD) and at.step in (UNSCHEDULED, SCHEDULED, ARRIVED)
    missing = found.missing if open_ else ""
    scheduled = on_worklist(at) and not missing
    return StepRow(step.number, at.status, at.step, scheduled, missing, found.modality, found.start, found.stations)


def _whole(rows: Sequence[StepRow]) -> Plan:
    live = [row for row in rows if row.status not in _ENDED] or list(rows)
    starts = [row.start for row in live if row.start is not None]
    stations = tuple(dict.fromkeys(aet for row in live for aet in row.stations))
    missing = "; ".join(f"step {row.step_id}: {row.missing}" for row in live if row.missing)
    return Plan(rows[0].modality, min(starts, default=None), stations, missing)
