"""Replayed, sent again, given up: each in one unit, in the name of whoever asked, and never twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interop.access import Agent
from interop.errors import ConflictError, ForbiddenError, InvalidContentError, NotFoundError
from interop.fhir.query import Query
from interop.hl7_api import Steering
from interop.jobs import Outcome, SendJobs, UndeliverableError
from interop.store import MessageRow, Store
from interop.workflow import messages
from tests.hl7_messages import message, orm
from tests.hospital import Hospital, an_order
from tests.sites import RIS, a_site
from tests.unit.jobs.test_send import Wire, answered

ENGINEER = Agent("engineer", "user", client="cli")


async def one(hospital: Hospital, control_id: str) -> MessageRow:
    """The one message with this control id."""
    (row,) = await hospital.store.view(lambda tx: tx.find_messages(control_id=control_id))
    return row


async def steered(store: Store) -> list[tuple[str, str, str | None]]:
    """Who did what to which message, as the audit trail has it."""
    rows = await store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=500)))
    found = [row for row in rows if row.event.kind == "steering"]
    return [(row.agent.who, row.event.subtype, row.event.detail) for row in found]


async def test_a_refused_message_is_carried_out_once_what_was_missing_is_there(store: Store) -> None:
    hospital = Hospital(store, a_site(RIS))
    assert (await hospital.send(orm("XO", id="LATE", start="20261122090000"))).code == "AE"
    row = await one(hospital, "LATE")
    steering = Steering(store, hospital.site)
    again = await steering.act("replay", ENGINEER, row.id)
    assert (again.good, again.state, again.ack_code) == (False, "refused", "AE")
    assert "ORC-2" in again.text
    await hospital.send(orm(id="FIRST"))
    done = await steering.act("replay", ENGINEER, row.id)
    assert (done.good, done.state, done.ack_code, done.text) == (True, "received", "AA", "carried out")
    after = await one(hospital, "LATE")
    assert (after.id, after.raw, after.state, after.ack_code, after.attempts) == (row.id, row.raw, "received", "AA", 3)
    (order,) = await hospital.found("ServiceRequest", None, "P1")
    assert order["occurrenceDateTime"].startswith("2026-11-22T09:00")
    assert (await hospital.send(row.raw)).ack == after.ack  # the sender's own repeat gets the new answer
    assert await steered(store) == [("engineer", "replay", f"message {row.id}")] * 2


async def test_a_replay_tells_nothing_to_the_peer_that_it_came_from(store: Store) -> None:
    hospital = Hospital(store, a_site(RIS))
    await hospital.send(orm("XO", id="LATE", start="20261122090000"))
    await hospital.send(orm(id="FIRST"))
    await Steering(store, hospital.site).act("replay", ENGINEER, (await one(hospital, "LATE")).id)
    assert await hospital.outgoing() == []


async def test_what_was_carried_out_is_not_carried_out_twice(store: Store) -> None:
    hospital = Hospital(store)
    await hospital.send(orm(id="C1"))
    row = await one(hospital, "C1")
    done = await Steering(store, hospital.site).act("replay", ENGINEER, row.id)
    assert (done.good, done.state) == (True, "received")
    assert "already" in done.text
    assert (await one(hospital, "C1")).ack == row.ack
    assert len(await store.view(lambda tx: tx.find_orders())) == 1


async def test_a_reused_control_id_stays_refused_and_its_row_its_own(store: Store) -> None:
    hospital = Hospital(store)
    await hospital.send(orm(id="C1"))
    assert (await hospital.send(orm(id="C1", placer="P2"))).code == "AR"
    second = (await store.view(lambda tx: tx.find_messages(control_id="C1", state="refused")))[0]
    assert not (await Steering(store, hospital.site).act("replay", ENGINEER, second.id)).good
    assert len(await store.view(lambda tx: tx.find_messages(control_id="C1"))) == 2


async def test_what_cannot_be_replayed_is_said(store: Store) -> None:
    hospital = Hospital(store, a_site(RIS))
    await hospital.post(an_order(await hospital.patient()))
    (out,) = await hospital.outgoing()
    steering = Steering(store, hospital.site)
    with pytest.raises(InvalidContentError, match="went out"):
        await steering.act("replay", ENGINEER, out.id)
    with pytest.raises(NotFoundError, match="999"):
        await steering.act("replay", ENGINEER, 999)
    error = InvalidContentError("no header")
    site = hospital.site
    await store.unit(ENGINEER, lambda tx: messages.refuse_bytes(tx, site, b"GET / HTTP", "10.0.0.9", error, "fault x"))
    (bytes_,) = await store.view(lambda tx: tx.find_messages(state="refused"))
    with pytest.raises(InvalidContentError, match="no whole message"):
        await steering.act("replay", ENGINEER, bytes_.id)
    torn = orm(id="TORN")[:150]
    await store.unit(ENGINEER, lambda tx: messages.refuse_bytes(tx, site, torn, "10.0.0.9", error, "fault torn"))
    with pytest.raises(InvalidContentError, match=r"no whole message \(fault torn\)"):
        await steering.act("replay", ENGINEER, (await one(hospital, "TORN")).id)
    await store.unit(ENGINEER, lambda tx: messages.refuse_bytes(tx, site, b"hello", "10.0.0.9", error))
    (newest, *_) = await store.view(lambda tx: tx.find_messages(state="refused"))
    with pytest.raises(InvalidContentError, match="no header"):
        await steering.act("replay", ENGINEER, newest.id)


async def test_a_sender_that_may_not_send_is_not_let_in_by_a_replay(store: Store) -> None:
    hospital = Hospital(store)
    parsed = messages.read(hospital.site, orm(id="S"))
    error = ForbiddenError("not on the list", location="MSH-3")
    await store.unit(ENGINEER, lambda tx: messages.refuse(tx, hospital.site, parsed, "10.0.0.9", error))
    with pytest.raises(ForbiddenError, match="list of peers"):
        await Steering(store, hospital.site).act("replay", ENGINEER, (await one(hospital, "S")).id)


async def deliver(store: Store, wire: Wire) -> None:
    """Run what is owed, as the runner does."""
    jobs = SendJobs(store, wire, (RIS,), silence=0)
    for job in await store.claim(["send"], 100, 60):
        outcome: Outcome | None
        try:
            outcome = await jobs(job)
        except UndeliverableError as error:
            await store.unit(error.outcome.agent, error.outcome.keep)
            await store.bury(job, error.text)
            continue
        if outcome is not None:
            await store.unit(outcome.agent, outcome.keep)
        await store.finish(job)


async def owed(store: Store) -> tuple[Hospital, MessageRow]:
    """A message to the RIS."""
    hospital = Hospital(store, a_site(RIS))
    await hospital.post(an_order(await hospital.patient()))
    (row,) = await hospital.outgoing()
    return hospital, row


@pytest.mark.parametrize("first", ["AR", "AA"])
async def test_a_dead_or_sent_message_is_sent_again_with_the_same_bytes(store: Store, first: Any) -> None:
    hospital, row = await owed(store)
    wire = Wire([answered(first)])
    await deliver(store, wire)
    (before,) = await hospital.outgoing()
    assert (before.state, before.attempts) == ("dead" if first == "AR" else "sent", 1)
    done = await Steering(store, hospital.site).act("resend", ENGINEER, row.id)
    assert done.state == "queued"
    await deliver(store, wire)
    (after,) = await hospital.outgoing()
    assert (after.state, after.ack_code, after.attempts) == ("sent", "AA", 2)
    assert after.took is not None
    assert wire.sent == [row.raw, row.raw]
    assert (await store.view(lambda tx: tx.dead_jobs())) == []
    assert await steered(store) == [("engineer", "resend", f"message {row.id}")]


async def test_one_that_waits_for_its_time_is_tried_now_and_not_doubled(store: Store) -> None:
    hospital, row = await owed(store)
    (job,) = await store.claim(["send"], 1, 60)
    await store.retry(job, "no answer", 3600)
    wire = Wire()
    await deliver(store, wire)
    assert wire.sent == []
    await Steering(store, hospital.site).act("resend", ENGINEER, row.id)
    await deliver(store, wire)
    await deliver(store, wire)
    assert wire.sent == [row.raw]


@pytest.mark.parametrize("dead", [False, True])
async def test_a_message_that_is_given_up_is_kept_marked_and_not_sent(store: Store, dead: bool) -> None:
    hospital, row = await owed(store)
    wire = Wire([answered("AR")])
    if dead:
        await deliver(store, wire)
    done = await Steering(store, hospital.site).act("drop", ENGINEER, row.id)
    assert done.state == "dropped"
    await deliver(store, wire)
    assert len(wire.sent) == int(dead)
    (after,) = await hospital.outgoing()
    assert (after.state, after.raw) == ("dropped", row.raw)
    assert (await store.stats()).jobs["dead"] == 0
    with pytest.raises(ConflictError, match="dropped"):
        await Steering(store, hospital.site).act("drop", ENGINEER, row.id)
    await Steering(store, hospital.site).act("resend", ENGINEER, row.id)  # a second thought
    await deliver(store, Wire())
    assert (await hospital.outgoing())[0].state == "sent"


async def test_one_that_is_on_its_way_is_not_given_up(store: Store) -> None:
    hospital, row = await owed(store)
    await store.claim(["send"], 1, 60)
    with pytest.raises(ConflictError, match="on its way"):
        await Steering(store, hospital.site).act("drop", ENGINEER, row.id)
    assert (await hospital.outgoing())[0].state == "queued"


@pytest.mark.parametrize("verb", ["resend", "drop"])
async def test_what_came_in_is_not_sent(store: Store, verb: str) -> None:
    hospital = Hospital(store)
    await hospital.send(message(*orm(id="C1").decode().split("\r")[:-1]))
    with pytest.raises(InvalidContentError, match="came in"):
        await Steering(store, hospital.site).act(verb, ENGINEER, (await one(hospital, "C1")).id)


async def test_reading_a_message_is_written_down(store: Store) -> None:
    hospital, row = await owed(store)
    read = await Steering(store, replace(hospital.site)).read(ENGINEER, row.id)
    assert read.raw == row.raw
    assert await steered(store) == [("engineer", "show", f"message {row.id}")]
