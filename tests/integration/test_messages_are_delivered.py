"""Messages out: through the runner and the wire to a receiver that misbehaves, delivered once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from interop.hl7.message import parse
from interop.jobs import Backoff, JobRunner, SendJobs
from interop.jobs.runner import Lane
from interop.mapping.peers import Receiver
from interop.mllp_sender import MllpSender
from interop.store import MessageRow, Store
from interop.testing.listener import HL7Listener
from tests.hospital import Hospital, an_order
from tests.sites import RIS, a_site


@pytest.fixture
def ris() -> Iterator[HL7Listener]:
    with HL7Listener() as listener:
        yield listener


def reached(listener: HL7Listener, name: str = "RIS") -> Receiver:
    """The receiver that is this listener."""
    return replace(RIS, name=name, host=listener.host, port=listener.port)


@asynccontextmanager
async def sending(store: Store, *receivers: Receiver, reply_seconds: float = 0.3) -> AsyncIterator[JobRunner]:
    sender = MllpSender(reply_seconds=reply_seconds, connect_seconds=2)
    jobs = SendJobs(store, sender, receivers, silence=0.0)
    runner = JobRunner(store, {"send": Lane(jobs, backoff=Backoff(first=0.02, most=0.1))}, poll=0.02)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.close()


async def settled(hospital: Hospital, within: float = 20.0) -> list[MessageRow]:
    """The outgoing messages once none is owed any more."""
    async with asyncio.timeout(within):
        while True:
            rows = await hospital.outgoing()
            if rows and all(row.state != "queued" for row in rows):
                return rows
            await asyncio.sleep(0.02)


async def three_changes(hospital: Hospital, placer: str = "P1") -> None:
    """An order placed, changed and cancelled by the EMR: three messages to the RIS."""
    patient = await hospital.found("Patient", None, "100234")
    subject = f"Patient/{patient[0]['id']}" if patient else await hospital.patient()
    order = (await hospital.post(an_order(subject, placer))).resource()
    order = (await hospital.put({**order, "occurrenceDateTime": "2026-11-22T08:00:00+02:00"})).resource()
    await hospital.put({**order, "status": "revoked"})


async def test_refusals_for_now_wrong_answers_and_silence_then_delivered_once_and_in_order(
    store: Store, ris: HL7Listener
) -> None:
    hospital = Hospital(store, a_site(reached(ris)))
    await three_changes(hospital)
    ris.script("AE", "wrong-control-id", "silence", "garbage", "close", "CE", "AA", "AE", "AA", "silence", "AA")
    async with sending(store, reached(ris)):
        rows = await settled(hospital)
    assert [(row.state, row.ack_code) for row in rows] == [("sent", "AA")] * 3
    seen = [parse(raw) for raw in ris.messages]
    assert [one.get("ORC-1") for one in seen] == ["NW"] * 7 + ["XO"] * 2 + ["CA"] * 2
    accepted = [one.control_id for one, answer in zip(seen, ris.answered, strict=True) if answer == "AA"]
    assert accepted == [row.control_id for row in rows]  # each once, in the order of the order's life
    assert len({one.raw for one in seen}) == 3  # a repeat is the same bytes


async def test_what_is_refused_for_good_is_buried_and_the_next_goes_on(store: Store, ris: HL7Listener) -> None:
    hospital = Hospital(store, a_site(reached(ris)))
    await three_changes(hospital)
    ris.script("AA", "AR", "AA")
    async with sending(store, reached(ris)):
        rows = await settled(hospital)
    assert [row.state for row in rows] == ["sent", "dead", "sent"]
    (dead,) = await store.view(lambda tx: tx.dead_jobs())
    assert dead.payload == {"message": rows[1].id}
    assert await store.replay(dead.id)


async def test_one_receiver_that_hangs_holds_up_no_other(store: Store, ris: HL7Listener) -> None:
    with HL7Listener(answer="silence") as hanging:
        receivers = (reached(hanging, "HANGS"), reached(ris))
        hospital = Hospital(store, a_site(*receivers))
        await three_changes(hospital)
        async with sending(store, *receivers):
            await asyncio.to_thread(ris.wait_for, lambda messages: len(messages) == 3)
            states = {(row.peer, row.state) for row in await hospital.outgoing()}
        assert ("HANGS", "sent") not in states


async def test_orders_wait_for_a_receiver_that_is_down_and_none_is_lost(store: Store) -> None:
    listener = HL7Listener()
    receiver = reached(listener)
    listener.close()
    hospital = Hospital(store, a_site(receiver))
    for number in range(5):
        await three_changes(hospital, f"P{number}")
    async with sending(store, receiver):
        await asyncio.sleep(0.3)
        with HL7Listener(port=receiver.port) as back:
            await settled(hospital)
            placed = [parse(raw) for raw in back.messages]
    assert len(placed) == 15
    for number in range(5):
        mine = [one.get("ORC-1") for one in placed if one.get("ORC-2.1") == f"P{number}"]
        assert mine == ["NW", "XO", "CA"]


async def test_a_sender_that_died_before_it_kept_the_answer_sends_the_same_message_again(
    store: Store, ris: HL7Listener
) -> None:
    hospital = Hospital(store, a_site(reached(ris)))
    patient = await hospital.patient()
    await hospital.post(an_order(patient))
    (job,) = await store.claim(["send"], 1, 0.2)  # claimed, sent, and gone
    row = await store.view(lambda tx: tx.message(job.payload["message"]))
    assert row is not None
    sender = MllpSender()
    await sender.send(reached(ris), row.raw)
    await sender.close()
    async with sending(store, reached(ris)):
        await settled(hospital)
    first, second = ris.messages
    assert first == second  # the receiver knows it by MSH-10
    assert not await store.finish(job)  # the one that was gone is not heard any more
