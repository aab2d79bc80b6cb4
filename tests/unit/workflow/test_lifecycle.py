"""Every cell of the lifecycle table, through the doors that have it; and what the table as a whole promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interop.access.agent import Agent
from interop.errors import IllegalTransitionError, InteropError
from interop.store import OrderRow, open_store
from interop.workflow.lifecycle import (
    ABSENT,
    ARCHIVE,
    DOORS,
    EVENTS,
    FHIR,
    HL7,
    SERVER,
    STATES,
    TABLE,
    State,
    advance,
    event_of,
    on_worklist,
)
from interop.workflow.lifecycle_page import as_markdown
from interop.workflow.scheduling import Plan, schedule, write_step
from tests.hl7_messages import PATIENT, orm, oru
from tests.hospital import Hospital, a_report, an_order, images_of
from tests.sites import tables

PRESENT = [state for state in STATES if state != ABSENT]
_TESTS = Agent("tests", "system")

# How HL7 says an event: ORC-1, ORC-5.
CONTROLS = {
    "new": ("NW", ""),
    "change": ("XO", ""),
    "hold": ("HD", ""),
    "release": ("RL", ""),
    "cancel": ("CA", ""),
    "discontinue": ("DC", ""),
    "complete": ("SC", "CM"),
    "arrived": ("SC", "AR"),
    "start": ("SC", "IP"),
    "entered-in-error": ("SC", "ER"),
}
REPORTS = {"preliminary-report": ("P", "preliminary"), "final-report": ("F", "final")}
# How FHIR says it: the status of a PUT, or the step.
STATUSES = {
    "hold": "on-hold",
    "release": "active",
    "cancel": "revoked",
    "complete": "completed",
    "entered-in-error": "entered-in-error",
}
STEPS = {"arrived": "arrived", "start": "in-progress"}


@pytest.fixture
async def hospital(sqlite_template: Path, tmp_path: Path) -> Any:
    """The rules are the same on both engines; what the store promises is tested with the store."""
    path = tmp_path / "interop.db"
    path.write_bytes(sqlite_template.read_bytes())
    store = await open_store(f"sqlite:///{path}")
    yield Hospital(store)
    await store.close()


async def _order_in(hospital: Hospital, state: State, placer: str) -> OrderRow:
    """An order that stands in this state, however it came there."""
    reply = await hospital.send(orm(placer=placer))
    row = replace(await hospital.row(reply.orders[0]), status=state.status, step=state.step)
    order = await hospital.get("ServiceRequest", row.id)
    order["status"] = state.status
    write_step(order, state.step)
    if not state.step:  # nobody knows its modality, so that no change schedules it
        order = {name: value for name, value in order.items() if name != "orderDetail"}

    def write(tx: Any) -> None:
        tx.update(order)
        tx.put_order(row)

    await hospital.store.unit(_TESTS, write)
    return row


async def _state(hospital: Hospital, row: OrderRow) -> State:
    """Where the order stands: row and resource have to agree."""
    found = await hospital.row(row.id)
    order = await hospital.get("ServiceRequest", row.id)
    steps = [item["valueCode"] for item in order.get("extension", []) if item["url"].endswith("order-step")]
    assert (order["status"], steps) == (found.status, [found.step] if found.step else [])
    return State(found.status, found.step)


@pytest.mark.parametrize("event", sorted(CONTROLS))
async def test_every_cell_by_hl7(hospital: Hospital, event: str) -> None:
    control, status = CONTROLS[event]
    modality = "CT"
    for number, state in enumerate(PRESENT):
        row = await _order_in(hospital, state, f"P{number}")
        modality = "" if not state.step else "CT"
        start = "20261121093000" if event == "new" else "20261121083000"
        reply = await hospital.send(orm(control, f"P{number}", status=status, modality=modality, start=start))
        expected = TABLE[HL7, state, event]
        if expected is None:
            assert reply.code == ("AR" if event == "new" else "AE"), (state, event)
            assert reply.issues[0].hl7_code == ("205" if event == "new" else "207")
            assert await _state(hospital, row) == state
        else:
            assert reply.code == "AA", (state, event, reply.issues)
            assert await _state(hospital, row) == expected, (state, event)


@pytest.mark.parametrize("event", sorted(REPORTS))
@pytest.mark.parametrize("door", [FHIR, HL7])
async def test_every_cell_by_reports(hospital: Hospital, event: str, door: str) -> None:
    code, status = REPORTS[event]
    for number, state in enumerate(PRESENT):
        row = await _order_in(hospital, state, f"P{number}")
        if door == HL7:
            await hospital.send(oru(code, f"P{number}"))
        else:
            await hospital.post(a_report(f"Patient/{row.patient_id}", f"ServiceRequest/{row.id}", status))
        assert await _state(hospital, row) == TABLE[door, state, event], (state, event)


@pytest.mark.parametrize("event", ["images-arrived", "images-available"])
async def test_every_cell_by_images(hospital: Hospital, event: str) -> None:
    for number, state in enumerate(PRESENT):
        row = await _order_in(hospital, state, f"P{number}")
        await hospital.register(images_of(row, 1, quiet=event == "images-available"))
        assert await _state(hospital, row) == TABLE[ARCHIVE, state, event], (state, event)


@pytest.mark.parametrize("event", ["change", *STATUSES, *STEPS])
async def test_every_cell_by_fhir(hospital: Hospital, event: str) -> None:
    for number, state in enumerate(PRESENT):
        row = await _order_in(hospital, state, f"P{number}")
        order = await hospital.get("ServiceRequest", row.id)
        order["status"] = STATUSES.get(event, state.status)
        write_step(order, STEPS.get(event, state.step))
        order["note"] = [{"text": "see the last one"}]
        same = (order["status"], STEPS.get(event, state.step)) == (state.status, state.step)
        meant = "change" if same else event  # a PUT that changes neither status nor step is a change
        expected = TABLE[FHIR, state, meant]
        if expected is None:
            with pytest.raises(IllegalTransitionError) as refused:
                await hospital.put(order)
            assert refused.value.status == 422
            assert await _state(hospital, row) == state
        else:
            await hospital.put(order)
            assert await _state(hospital, row) == expected, (state, event)


async def test_every_cell_of_a_deletion(hospital: Hospital) -> None:
    for number, state in enumerate(PRESENT):
        row = await _order_in(hospital, state, f"P{number}")
        stored = await hospital.delete("ServiceRequest", row.id)
        assert stored.deleted
        last = await hospital.store.view(lambda tx, row=row: tx.history("ServiceRequest", row.id).rows[1].resource())
        assert last["status"] == TABLE[FHIR, state, "entered-in-error"].status  # type: ignore[union-attr]


@pytest.mark.parametrize("state", STATES, ids=str)
def test_every_cell_of_the_server(state: State) -> None:
    complete, lacking = Plan("CT", None, ("CT1",), ""), Plan(None, None, (), "no modality")
    for event, found in (("schedule", complete), ("unschedule", lacking)):
        expected = TABLE[SERVER, state, event]
        assert schedule(state, found) == (expected or state)  # closed and imaged orders are not scheduled anew


async def test_a_new_order_begins_by_either_door(hospital: Hospital) -> None:
    await hospital.send(orm(patient=PATIENT, modality="", code="NOBODY^knows^L"))
    patient = await hospital.patient("2")
    stored = await hospital.post(an_order(patient, "P2", code={"text": "nobody knows"}))
    row = await hospital.row(stored.id)
    assert State(row.status, row.step) == TABLE[FHIR, ABSENT, "new"] == TABLE[HL7, ABSENT, "new"]


@pytest.mark.parametrize(("door", "state", "event"), [key for key, target in TABLE.items() if target is None])
def test_an_empty_cell_is_refused(door: str, state: State, event: str) -> None:
    with pytest.raises(IllegalTransitionError):
        advance(state, event, door)


def test_the_table_has_a_cell_for_everything() -> None:
    assert TABLE.keys() == {(door, state, event) for door in DOORS for state in STATES for event in EVENTS}
    assert {target for target in TABLE.values() if target is not None} <= set(STATES)


def test_what_is_over_never_asks_modalities_again() -> None:
    over = {"completed", "revoked", "entered-in-error"}
    for (_, state, _), target in TABLE.items():
        if target is not None and state.status in over:
            assert target.status in over
            assert not on_worklist(target)


def test_cancelled_and_held_orders_and_orders_with_images_are_on_no_worklist() -> None:
    shown = {state for state in STATES if on_worklist(state)}
    assert shown == {State("active", "scheduled"), State("active", "arrived")}


def test_nothing_brings_a_cancelled_order_back() -> None:
    cancelled = State("revoked", "cancelled")
    targets = {TABLE[door, cancelled, event] for door in DOORS for event in EVENTS}
    assert targets == {None, cancelled, State("entered-in-error", "cancelled")}


def test_a_preliminary_report_never_completes() -> None:
    for door in (FHIR, HL7):
        for state in PRESENT:
            assert TABLE[door, state, "preliminary-report"] == state


@pytest.mark.parametrize("status", ["draft", "unknown"])
def test_an_order_does_not_become_what_the_table_does_not_know(status: str) -> None:
    with pytest.raises(InteropError, match="cannot become"):
        event_of(State("active", "scheduled"), status, "scheduled")


def test_steps_of_the_server_are_not_the_clients() -> None:
    with pytest.raises(IllegalTransitionError, match="this server's"):
        event_of(State("active", "scheduled"), "active", "reported")


def test_the_published_table_is_this_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "lifecycle.md"
    assert page.read_text("utf-8") == as_markdown(tables())
