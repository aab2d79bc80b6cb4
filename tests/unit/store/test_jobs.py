"""Jobs: leases, fences, order per key, retries, dead letters."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.errors import RefusedError
from interop.store import EVERY_KIND, Job, KeyRange, Store, Tx

AGENT = system_agent("test")


async def enqueue(store: Store, key: str, kind: str = "send", **options: Any) -> int:
    payload = options.pop("payload", {})

    def work(tx: Tx) -> int:
        tx.enqueue(kind, key, payload, **options)
        found = tx.find_job(kind, key, payload)
        assert found is not None
        return found[0]

    return await store.unit(AGENT, work)


async def test_jobs_are_claimed_once_and_finished_once(store: Store) -> None:
    id = await enqueue(store, "a", payload={"message": 7})
    (job,) = await store.claim(None, 10, 30)
    assert (job.id, job.kind, job.key, job.payload, job.attempt, job.last_error) == (
        id,
        "send",
        "a",
        {"message": 7},
        1,
        None,
    )
    assert await store.claim(None, 10, 30) == []
    assert await store.finish(job)
    assert not await store.finish(job)
    assert (await store.stats()).jobs == {"ready": 0, "running": 0, "waiting": 0, "dead": 0}


async def test_only_the_asked_kinds_are_claimed(store: Store) -> None:
    await enqueue(store, "a", "worklist")
    await enqueue(store, "b", "send")
    assert await store.claim([], 10, 30) == []
    assert [job.kind for job in await store.claim(["send", "other"], 10, 30)] == ["send"]
    assert [job.kind for job in await store.claim(["worklist"], 10, 30)] == ["worklist"]


async def test_one_key_is_served_in_order_and_one_at_a_time(store: Store) -> None:
    first, second = [await enqueue(store, "a") for _ in range(2)]
    other = await enqueue(store, "b")
    sibling = await enqueue(store, "a", "worklist")
    claimed = await store.claim(None, 10, 30)
    assert [job.id for job in claimed] == [first, other, sibling]
    assert await store.claim(None, 10, 30) == []
    await store.retry(claimed[0], "no answer", 60)
    assert await store.claim(None, 10, 30) == []  # the second waits behind the first's next attempt
    await store.retry(replace(claimed[0]), "again", 0)
    assert await store.claim(None, 10, 30) == []  # that claim was handed back before
    assert second


async def test_a_retry_comes_back_when_due_with_its_error(store: Store) -> None:
    await enqueue(store, "a")
    (job,) = await store.claim(None, 1, 30)
    assert await store.retry(job, "no answer", 0)
    (again,) = await store.claim(None, 1, 30)
    assert (again.id, again.attempt, again.last_error) == (job.id, 2, "no answer")
    assert await store.retry(again, "silence", 3600)
    assert await store.claim(None, 1, 30) == []
    due = await store.view(lambda tx: tx.next_due())
    assert due is not None
    assert due - again.created > timedelta(minutes=59)


async def test_those_behind_a_retry_are_not_walked_past_at_every_claim(store: Store) -> None:
    for _ in range(3):
        await enqueue(store, "a")
    (job,) = await store.claim(None, 10, 30)
    await store.retry(job, "no answer", 3600)
    due = await store.view(lambda tx: tx.next_due())
    assert due is not None
    assert due - job.created > timedelta(minutes=59)
    assert (await store.stats()).jobs["waiting"] == 3


async def test_a_lease_that_ran_out_is_fenced_off(store: Store) -> None:
    await enqueue(store, "a")
    (lost,) = await store.claim(None, 1, 0)
    (held,) = await store.claim(None, 1, 30)
    assert (held.id, held.attempt) == (lost.id, 2)
    assert not await store.finish(lost)
    assert not await store.retry(lost, "late", 0)
    assert not await store.bury(lost, "late")
    assert not await store.extend(lost, 30)
    assert await store.extend(held, 60)
    assert await store.finish(held)


async def test_a_dead_letter_lets_the_next_go_on_and_can_be_replayed(store: Store) -> None:
    await enqueue(store, "a")
    following = await enqueue(store, "a")
    (job,) = await store.claim(None, 1, 30)
    assert await store.bury(job, "AR\x00")
    assert [each.id for each in await store.claim(None, 10, 30)] == [following]
    (dead,) = await store.view(lambda tx: tx.dead_jobs())
    assert (dead.id, dead.last_error) == (job.id, "AR")
    assert await store.replay(job.id)
    assert not await store.replay(job.id)
    (again,) = await store.claim(None, 10, 30)
    assert again.id == job.id


async def test_a_level_triggered_job_is_not_doubled_while_it_waits(store: Store) -> None:
    first = await enqueue(store, "o", "worklist", replace=True, payload={"n": 1})
    assert await enqueue(store, "o", "worklist", replace=True, payload={"n": 2}) == first
    (job,) = await store.claim(None, 10, 30)
    assert job.payload == {"n": 2}
    second = await enqueue(store, "o", "worklist", replace=True)  # a claimed one may have read the old state
    assert second != first
    assert await store.claim(None, 10, 30) == []
    assert await store.finish(job)
    assert [each.id for each in await store.claim(None, 10, 30)] == [second]


async def test_a_new_reason_makes_a_waiting_retry_due_at_once(store: Store) -> None:
    """A failed write must not hold back a cancel."""
    id = await enqueue(store, "o", "worklist", replace=True)
    (job,) = await store.claim(None, 10, 30)
    await store.retry(job, "disk", 3600)
    assert await enqueue(store, "o", "worklist", replace=True) == id
    assert [each.id for each in await store.claim(None, 10, 30)] == [id]


async def test_a_job_of_an_expired_lease_is_not_taken_for_a_waiting_one(store: Store) -> None:
    await enqueue(store, "o", "worklist", replace=True)
    (slow,) = await store.claim(None, 10, 0)
    fresh = await enqueue(store, "o", "worklist", replace=True)
    assert await store.finish(slow)
    assert [each.id for each in await store.claim(None, 10, 30)] == [fresh]


async def test_jobs_wait_for_their_time_and_are_counted(store: Store) -> None:
    await store.unit(AGENT, lambda tx: tx.enqueue("send", "later", {}, run_at=tx.now + timedelta(hours=1)))
    for key in "abc":
        await enqueue(store, key)
    claimed = await store.claim(None, 2, 30)
    await store.bury(claimed[0], "x")
    assert (await store.stats()).jobs == {"ready": 1, "running": 1, "waiting": 1, "dead": 1}


async def test_the_event_is_set_by_a_commit_that_enqueued_only(store: Store) -> None:
    def refused(tx: Tx) -> None:
        tx.enqueue("send", "a", {})
        raise RefusedError("no")

    with pytest.raises(RefusedError):
        await store.unit(AGENT, refused)
    await store.unit(AGENT, lambda tx: tx.next_number("x"))
    assert not store.jobs_ready.is_set()
    await enqueue(store, "a")
    assert store.jobs_ready.is_set()


async def test_the_kinds_that_have_come_are_told_once(store: Store) -> None:
    await enqueue(store, "a")
    (job,) = await store.claim(None, 1, 60)
    assert store.take_ready() == {job.kind}
    assert not store.jobs_ready.is_set()
    assert store.take_ready() == set()
    await store.bury(job, "refused")
    assert store.take_ready() == {job.kind}
    await store.replay(job.id)
    assert store.take_ready() == {EVERY_KIND}


async def test_eight_workers_keep_the_order_of_every_key(store: Store) -> None:
    """Failures and lost leases injected; each job's effect is seen in the order of its key."""
    chance = random.Random(1)
    total, keys = 120, 8

    def fill(tx: Tx) -> None:
        for number in range(total):
            tx.enqueue("send", f"k{number % keys}", {"n": number})

    await store.unit(AGENT, fill)
    effects: dict[str, list[int]] = {}
    finished: set[int] = set()

    async def serve(job: Job) -> None:
        await asyncio.sleep(0)
        if chance.random() < 0.2:
            await store.retry(job, "injected", 0)
            return
        effects.setdefault(job.key, []).append(job.payload["n"])
        if await store.finish(job):
            finished.add(job.id)

    async def worker() -> None:
        while len(finished) < total:
            for job in await store.claim(None, 3, 30):
                await serve(job)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(worker() for _ in range(8)))
    assert {key: sorted(numbers) for key, numbers in effects.items()} == effects
    assert sum(map(len, effects.values())) == total


async def test_claims_may_be_for_some_keys_only(store: Store) -> None:
    for key in ("RIS:1", "RIS2:1", "RIS:2", "EMR:1", "Ω:1"):
        await enqueue(store, key)
    emr = await store.claim(["send"], 9, 60, KeyRange("EMR:"))
    nobody = await store.claim(["send"], 9, 60, KeyRange(but=("RIS:", "EMR:")))
    ris = await store.claim(["send"], 9, 60, KeyRange("RIS:"))
    assert [[job.key for job in found] for found in (emr, nobody, ris)] == [
        ["EMR:1"],
        ["RIS2:1", "Ω:1"],
        ["RIS:1", "RIS:2"],
    ]
