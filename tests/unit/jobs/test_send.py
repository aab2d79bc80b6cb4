"""Sent means that the receiver has said so: of this message, with AA or CA."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from interop.errors import UnavailableError
from interop.fhir.query import Query
from interop.hl7.line import Line, NotTriedError
from interop.hl7.message import parse
from interop.jobs import JobRunner, Lane, LaterError, SendJobs, UndeliverableError
from interop.mapping.peers import Receiver
from interop.store import Job, MessageRow, Store
from tests.hospital import Hospital, an_order
from tests.sites import RIS, a_site

Answer = Callable[[bytes], bytes]


def answered(code: str, *, control_id: str | None = None) -> Answer:
    """An acknowledgement with this code, of this message unless another control id is given."""

    def answer(raw: bytes) -> bytes:
        id = control_id or parse(raw).control_id
        return f"MSH|^~\\&|RIS|HOSP|||20260101||ACK|1|P|2.5.1\rMSA|{code}|{id}\r".encode()

    return answer


@dataclass
class Wire:
    """A receiver that answers by script, then AA."""

    script: list[Answer | Exception] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    strays: int = 0

    async def send(self, receiver: Receiver, raw: bytes, answers: Callable[[bytes], bool]) -> bytes:
        self.sent.append(raw)
        answer = self.script.pop(0) if self.script else answered("AA")
        if isinstance(answer, Exception):
            raise answer
        reply = answer(raw)
        if receiver.line.answers != "none" and not answers(reply):
            self.strays += 1
            raise UnavailableError("the receiver answered another message")
        return reply


async def run(store: Store, jobs: SendJobs, job: Job) -> None:
    """What the runner does: keep the outcome."""
    try:
        outcome = await jobs(job)
    except UndeliverableError as error:
        await store.unit(error.outcome.agent, error.outcome.keep)
        raise
    if outcome is not None:
        await store.unit(outcome.agent, outcome.keep)


@pytest.fixture
async def owed(store: Store) -> Job:
    """A job to send an order to the RIS."""
    hospital = Hospital(store, a_site(RIS))
    await hospital.post(an_order(await hospital.patient()))
    (job,) = await store.claim(["send"], 10, 60)
    return job


async def stands(store: Store, job: Job) -> MessageRow:
    row = await store.view(lambda tx: tx.message(job.payload["message"]))
    assert row is not None
    return row


@pytest.mark.parametrize("code", ["AA", "CA"])
async def test_a_message_is_sent_when_the_receiver_has_it(store: Store, owed: Job, code: str) -> None:
    wire = Wire([answered(code)])
    await run(store, SendJobs(store, wire, (RIS,)), owed)
    row = await stands(store, owed)
    assert (row.state, row.ack_code, wire.sent) == ("sent", code, [row.raw])
    assert row.ack == answered(code)(row.raw)


@pytest.mark.parametrize(
    ("answer", "strays"),
    [
        (answered("AE"), 0),
        (answered("CE"), 0),
        (answered("??"), 0),
        (answered("AA", control_id="SOMETHING"), 1),
        (lambda raw: b"HTTP/1.1 400 Bad Request", 1),
        (UnavailableError("no answer"), 0),
    ],
    ids=["AE", "CE", "unknown", "wrong-msa-2", "garbage", "silence"],
)
async def test_everything_that_is_no_acceptance_is_tried_again(
    store: Store, owed: Job, answer: Answer | Exception, strays: int
) -> None:
    wire = Wire([answer])
    jobs = SendJobs(store, wire, (RIS,), silence=0)
    with pytest.raises(UnavailableError):
        await run(store, jobs, owed)
    assert ((await stands(store, owed)).state, wire.strays) == ("queued", strays)
    await run(store, jobs, owed)
    assert (await stands(store, owed)).state == "sent"
    assert wire.sent[0] == wire.sent[1]  # rendered once


@pytest.mark.parametrize("code", ["AR", "CR"])
async def test_a_refusal_is_final(store: Store, owed: Job, code: str) -> None:
    wire = Wire([answered(code)])
    with pytest.raises(UndeliverableError, match=code):
        await run(store, SendJobs(store, wire, (RIS,)), owed)
    assert (await stands(store, owed)).state == "dead"


async def test_a_receiver_that_is_silent_is_left_alone_for_a_while(store: Store, owed: Job) -> None:
    wire = Wire([UnavailableError("no answer")])
    jobs = SendJobs(store, wire, (RIS,), silence=60)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await run(store, jobs, owed)
    assert len(wire.sent) == 1


async def test_each_attempt_is_counted_with_what_came_of_it(store: Store, owed: Job) -> None:
    wire = Wire([UnavailableError("no answer"), answered("AE")])
    receiver = replace(RIS, retry_seconds=0.05)
    runner = JobRunner(store, {"send": Lane(SendJobs(store, wire, (receiver,), silence=0), lease=5)}, poll=0.02)
    await store.retry(owed, "", 0)
    task = asyncio.create_task(runner.run())
    async with asyncio.timeout(20):
        while (row := await stands(store, owed)).state == "queued":
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (row.state, row.attempts, row.issues) == ("sent", 3, [])
    assert row.took is not None
    assert row.took > 0


async def test_one_that_answers_again_gets_at_once_what_waits_for_it(store: Store, owed: Job) -> None:
    hospital = Hospital(store, a_site(RIS))
    (subject,) = [f"Patient/{each['id']}" for each in await hospital.found("Patient", None, "100234")]
    await hospital.post(an_order(subject, "P2"))
    (waiting,) = await store.claim(["send"], 10, 60)
    await store.retry(waiting, "no answer", 3600)
    jobs = SendJobs(store, Wire([UnavailableError("no answer")]), (RIS,), silence=0)
    with pytest.raises(LaterError):
        await run(store, jobs, owed)
    assert await store.claim(["send"], 10, 60) == []
    await run(store, jobs, owed)
    assert [job.id for job in await store.claim(["send"], 10, 60)] == [waiting.id]


async def test_a_message_that_alone_meets_silence_does_not_hold_up_the_others(store: Store, owed: Job) -> None:
    hospital = Hospital(store, a_site(RIS))
    (subject,) = [f"Patient/{each['id']}" for each in await hospital.found("Patient", None, "100234")]
    for placer in ("P2", "P3", "P4"):
        await hospital.post(an_order(subject, placer))
    second, third, fourth = await store.claim(["send"], 10, 60)
    wire = Wire([UnavailableError("no answer"), answered("AA"), UnavailableError("no answer"), answered("AA")])
    jobs = SendJobs(store, wire, (RIS,), silence=0.05)
    with pytest.raises(LaterError):
        await run(store, jobs, owed)
    with pytest.raises(LaterError):  # for a moment it may be the receiver
        await run(store, jobs, second)
    await asyncio.sleep(0.06)
    await run(store, jobs, second)
    with pytest.raises(LaterError):
        await run(store, jobs, owed)
    await run(store, jobs, third)  # at once: it is the message
    assert [(await stands(store, job)).state for job in (owed, second, third)] == ["queued", "sent", "sent"]
    wire.script = [UnavailableError("no answer")]
    with pytest.raises(LaterError):
        await run(store, jobs, fourth)
    assert len(wire.sent) == 5


async def test_what_was_not_tried_is_no_attempt(store: Store, owed: Job) -> None:
    wire = Wire([NotTriedError("it does not answer")])
    with pytest.raises(LaterError) as caught:
        await run(store, SendJobs(store, wire, (RIS,)), owed)
    await store.unit(caught.value.outcome.agent, caught.value.outcome.keep)
    assert (await stands(store, owed)).attempts == 0


async def test_written_is_sent_where_nobody_answers(store: Store, owed: Job) -> None:
    silent = replace(RIS, line=Line(answers="none"))
    await run(store, SendJobs(store, Wire([lambda raw: b""]), (silent,)), owed)
    row = await stands(store, owed)
    assert (row.state, row.ack_code, row.ack) == ("sent", None, None)


async def test_a_message_for_nobody_is_buried(store: Store, owed: Job) -> None:
    with pytest.raises(UndeliverableError, match="'RIS'"):
        await run(store, SendJobs(store, Wire(), ()), owed)
    assert (await stands(store, owed)).state == "dead"


async def test_a_message_that_was_delivered_is_not_sent_again(store: Store, owed: Job) -> None:
    wire = Wire()
    jobs = SendJobs(store, wire, (RIS,))
    await run(store, jobs, owed)
    await run(store, jobs, owed)  # the outcome of the job was lost, the message's was not
    assert len(wire.sent) == 1


async def test_what_was_sent_to_whom_is_audited(store: Store, owed: Job) -> None:
    await run(store, SendJobs(store, Wire(), (RIS,)), owed)
    events = await store.view(lambda tx: [one.resource() for one in tx.search(Query("AuditEvent")).rows])
    (sent,) = [one for one in events if one["agent"][0].get("who", {}).get("display", "") or one["outcome"] == "0"]
    assert sent["subtype"][0]["display"] == "ORM^O01"
    assert any(str(entity["what"].get("reference", "")).startswith("Patient/") for entity in sent["entity"])
