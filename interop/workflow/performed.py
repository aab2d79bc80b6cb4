"""Images of an order with several steps: each series moves the step that it was made for, if that can be told.

By the step id in the images (Request Attributes Sequence, PS3.3 10.6), else by the modality where one step alone has
it. Images that tell neither move the order: somebody has begun, and every step stays to be done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from interop.dicom.study import SeriesFacts, StudyFacts
from interop.store import OrderRow, StepRow, Tx
from interop.workflow import orders
from interop.workflow.lifecycle import ARCHIVE, IMAGES_AVAILABLE, IN_ERROR, REPORTED, REVOKED, TABLE, State
from interop.workflow.site import Site


def move_on(tx: Tx, site: Site, row: OrderRow, steps: Sequence[StepRow], facts: StudyFacts) -> OrderRow:
    """The order after these images."""
    key = state_of(facts.study_uid)
    before = set(json.loads(tx.get_state(key) or "[]"))
    fresh, untold = _told(steps, facts.series)
    if not fresh <= before:
        tx.set_state(key, json.dumps(sorted(before | fresh)))
    event = "images-available" if facts.quiet else "images-arrived"
    for step in steps:
        if step.step_id in (before | fresh if facts.quiet else fresh) and _moves(State(step.status, step.step), event):
            row = orders.advance_order(tx, site, row, event, ARCHIVE, step=step.step_id).row or row
    if untold or not (before | fresh):
        event = "images-available" if facts.quiet and _all_done(tx.order_steps(row.id)) else "images-arrived"
        if _moves(State(row.status, row.step), event):
            row = orders.advance_order(tx, site, row, event, ARCHIVE).row or row
    return row


def state_of(study_uid: str) -> str:
    """Where the steps that a study's images were made for are kept."""
    return f"performed:{study_uid}"


def _told(steps: Sequence[StepRow], series: Iterable[SeriesFacts]) -> tuple[set[str], bool]:
    """The ids of the steps that these series are of, and whether any is of none that can be told."""
    told: set[str] = set()
    untold = False
    for one in series:
        found = {step.step_id for step in steps if step.step_id in one.step_ids}
        if not found:
            alike = [step for step in steps if step.modality == one.modality and not _ended(step)]
            found = {alike[0].step_id} if len(alike) == 1 else set()
        told |= found
        untold |= not found
    return told, untold


def _ended(step: StepRow) -> bool:
    return step.status in (REVOKED, IN_ERROR)


def _moves(state: State, event: str) -> bool:
    target = TABLE.get((ARCHIVE, state, event))
    return target is not None and target != state


def _all_done(steps: Sequence[StepRow]) -> bool:
    return all(step.step in (IMAGES_AVAILABLE, REPORTED) for step in steps if not _ended(step))
