"""A receiver that accepts a message and never says what became of it does not look like one that has done it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interop.access.agent import Agent
from interop.errors import ConflictError
from interop.fhir.query import Query
from interop.hl7.message import parse
from interop.hl7_api import Steering, row_of, shown_row, status_of
from interop.jobs import SendJobs
from interop.jobs.overdue import OVERDUE, OverdueJobs
from interop.mapping.peers import load_receivers
from interop.mapping.rows import TableError
from interop.store import Job, MessageRow, Store
from interop.workflow import stray_answers
from tests.hospital import Hospital, an_order
from tests.sites import RIS, a_site
from tests.unit.jobs.test_send import Wire, answered, run

ASKED = replace(RIS, enhanced=True, application_hours=1e-9)
SOMEBODY = Agent("somebody", "user", scopes=frozenset({"system/MessageHeader.cruds"}))


async def accepted(store: Store, receiver: object = ASKED) -> MessageRow:
    """An order's message that the RIS has answered CA."""
    assert isinstance(receiver, type(RIS))
    hospital = Hospital(store, a_site(receiver))
    await hospital.post(an_order(await hospital.patient()))
    (job,) = await store.claim(["send"], 10, 60)
    await run(store, SendJobs(store, Wire([answered("CA")]), (receiver,)), job)
    await store.finish(job)
    return await stands(store, int(job.payload["message"]))


async def stands(store: Store, id: int) -> MessageRow:
    row = await store.view(lambda tx: tx.message(id))
    assert row is not None
    return row


async def due(store: Store) -> list[Job]:
    return await store.claim([OVERDUE], 10, 60)


async def carried_out(store: Store, *jobs: Job) -> None:
    for job in jobs:
        outcome = await OverdueJobs()(job)
        await store.unit(outcome.agent, outcome.keep)
        await store.finish(job)


async def told(store: Store, row: MessageRow, code: str) -> None:
    """The application's acknowledgement comes in."""
    raw = f"MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20260101||ACK|A1|P|2.5.1\rMSA|{code}|{row.control_id}\r".encode()
    await store.unit(Agent("RIS|HOSP", "peer"), lambda tx: stray_answers.keep(tx, a_site(ASKED), raw, "127.0.0.1"))


async def test_it_shows_as_unanswered_when_the_time_is_over(store: Store) -> None:
    row = await accepted(store)
    assert (row.state, row.ack_code) == ("sent", "CA")
    await carried_out(store, *await due(store))
    after = await stands(store, row.id)
    assert (after.state, after.ack_code) == ("unanswered", "CA")
    assert "RIS accepted it (CA), and its application has not acknowledged it within" in after.issues[0]["text"]
    status = next(one for one in (await store.view(lambda tx: status_of(tx, ["RIS"]))).peers if one.direction == "out")
    assert (status.queued, status.dead, status.unanswered) == (0, 0, 1)
    assert status.last_error == after.issues[0]["text"]
    events = await store.view(lambda tx: tx.search(Query("AuditEvent", count=1000)).rows)
    assert any(b"has not acknowledged it within" in event.body for event in events)


async def test_both_acknowledgements_of_a_message_are_told_with_it(store: Store) -> None:
    row = await accepted(store)
    await told(store, row, "AA")
    steering = Steering(store, a_site(ASKED))
    found = await steering.read(SOMEBODY, row.id)
    (link,) = found.links
    assert (link.relation, link.direction, link.type, link.state, link.code) == (
        "answered-by",
        "in",
        "ACK",
        "received",
        "AA",
    )
    assert found.ack_code == "AA"
    assert parse(found.ack or b"").get("MSA-1") == "CA"  # the application's own bytes are those of the link
    (back,) = (answer := await steering.read(SOMEBODY, link.id)).links
    assert (back.relation, back.id, back.control_id, back.code) == ("answers", row.id, row.control_id, "AA")
    assert row_of(shown_row(answer)).links == answer.links


@pytest.mark.parametrize(("code", "state"), [("AA", "sent"), ("AE", "dead")])
async def test_a_late_one_settles_it(store: Store, code: str, state: str) -> None:
    row = await accepted(store)
    await carried_out(store, *await due(store))
    await told(store, row, code)
    after = await stands(store, row.id)
    assert (after.state, after.ack_code) == (state, code)
    assert (after.issues == []) == (code == "AA")


async def test_one_in_time_leaves_nothing_to_say(store: Store) -> None:
    row = await accepted(store)
    await told(store, row, "AA")
    await carried_out(store, *await due(store))
    after = await stands(store, row.id)
    assert (after.state, after.ack_code, after.issues) == ("sent", "AA", [])


@pytest.mark.parametrize("other", [{"enhanced": False}, {"application_hours": 0.0}, {"msh": {16: "ER"}}])
async def test_where_none_was_promised_none_is_missed(store: Store, other: dict[str, object]) -> None:
    await accepted(store, replace(ASKED, **other))  # type: ignore[arg-type]
    assert await due(store) == []


async def test_it_is_not_missed_before_its_time(store: Store) -> None:
    await accepted(store, replace(ASKED, application_hours=24.0))
    assert await due(store) == []


async def test_what_is_sent_anew_is_waited_for_anew(store: Store) -> None:
    row = await accepted(store)
    steering = Steering(store, a_site(ASKED))
    await steering.act("resend", SOMEBODY, row.id)
    (job,) = await store.claim(["send"], 10, 60)
    await run(store, SendJobs(store, Wire([answered("CA")]), (replace(ASKED, application_hours=24.0),)), job)
    await carried_out(store, *await due(store))  # of the first time
    assert (await stands(store, row.id)).state == "sent"


async def test_an_unanswered_one_is_sent_again_or_given_up_by_somebody(store: Store) -> None:
    row = await accepted(store)
    await carried_out(store, *await due(store))
    steering = Steering(store, a_site(ASKED))
    assert (await steering.act("drop", SOMEBODY, row.id)).state == "dropped"
    with pytest.raises(ConflictError):
        await steering.act("drop", SOMEBODY, row.id)
    assert (await steering.act("resend", SOMEBODY, row.id)).state == "queued"


@pytest.mark.parametrize("value", ["true", '"24"', "-1", "9000"])
def test_the_time_is_a_number_of_hours(value: str) -> None:
    table = '[[receiver]]\nname="R"\nhost="h"\nport=1\napplication="R"\ntypes=["ORM^O01"]\n'
    assert load_receivers(table)[0].application_hours == 24.0
    with pytest.raises(TableError, match="application_hours"):
        load_receivers(f"{table}application_hours = {value}\n")
