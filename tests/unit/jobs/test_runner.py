"""Jobs are run until done, in the order of their key, and what cannot be done is buried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from interop.access.agent import system_agent
from interop.errors import ConflictError, UnavailableError
from interop.jobs import Backoff, Handler, JobRunner, UndeliverableError
from interop.jobs.runner import BatchLane, Lane, Outcome
from interop.store import Job, Store, Tx

AGENT = system_agent("tests")
QUICK = Backoff(first=0.01, most=0.05)


@asynccontextmanager
async def running(store: Store, **handlers: Handler | Lane | BatchLane) -> AsyncIterator[JobRunner]:
    runner = JobRunner(store, handlers, poll=0.02)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def enqueue(store: Store, *keys: str, kind: str = "work") -> None:
    def work(tx: object) -> None:
        for number, key in enumerate(keys):
            tx.enqueue(kind, key, {"number": number})  # type: ignore[attr-defined]

    await store.unit(AGENT, work)


async def until(holds: object, within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_a_job_is_run_as_soon_as_it_is_committed(store: Store) -> None:
    done: list[str] = []

    async def handler(job: Job) -> None:
        done.append(job.key)

    slow_poll = JobRunner(store, {"work": handler}, poll=30)
    task = asyncio.create_task(slow_poll.run())
    await asyncio.sleep(0.1)
    await enqueue(store, "a")
    await until(lambda: done == ["a"], 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_jobs_that_were_owed_before_the_start_are_run(store: Store) -> None:
    done: list[str] = []

    async def handler(job: Job) -> None:
        done.append(job.key)

    await enqueue(store, "a", "b")
    async with running(store, work=handler):
        await until(lambda: sorted(done) == ["a", "b"])


async def test_a_failure_is_tried_again_and_holds_up_its_own_key_only(store: Store) -> None:
    done: list[tuple[str, int]] = []
    failed: list[int] = []

    async def handler(job: Job) -> None:
        if job.key == "a" and len(failed) < 3:
            failed.append(job.attempt)
            raise UnavailableError("not now")
        done.append((job.key, job.payload["number"]))

    await enqueue(store, "a", "a", "b")
    async with running(store, work=Lane(handler, backoff=QUICK)):
        await until(lambda: len(done) == 3)
    assert failed == [1, 2, 3]
    assert done == [("b", 2), ("a", 0), ("a", 1)]


async def test_what_cannot_be_delivered_is_buried_and_the_next_goes_on(store: Store) -> None:
    done: list[int] = []

    async def handler(job: Job) -> None:
        if job.payload["number"] == 0:
            raise UndeliverableError("refused for good")
        done.append(job.payload["number"])

    await enqueue(store, "a", "a")
    async with running(store, work=handler) as runner:
        await until(lambda: done == [1])
        assert runner.counts["buried"] == 1
    (dead,) = await store.view(lambda tx: tx.dead_jobs())
    assert dead.last_error == "refused for good"


async def test_a_job_with_a_limit_is_buried_after_its_attempts(store: Store) -> None:
    async def handler(job: Job) -> None:
        raise RuntimeError("a bug")

    await enqueue(store, "a")
    lane = Lane(handler, backoff=Backoff(first=0.01, most=0.02, attempts=3))
    async with running(store, work=lane) as runner:
        await until(lambda: runner.counts["buried"] == 1)
        assert runner.counts["failed"] == 2


async def test_one_kind_that_hangs_holds_up_no_other(store: Store) -> None:
    done: list[str] = []

    async def hang(job: Job) -> None:
        await asyncio.sleep(60)

    async def handler(job: Job) -> None:
        done.append(job.key)

    await enqueue(store, *(f"k{n}" for n in range(20)), kind="stuck")
    async with running(store, stuck=hang, work=handler):
        await asyncio.sleep(0.1)
        await enqueue(store, "a")
        await until(lambda: done == ["a"])


async def test_a_job_that_outlives_its_lease_is_given_up_in_time(store: Store) -> None:
    tries: list[int] = []

    async def handler(job: Job) -> None:
        tries.append(job.attempt)
        if len(tries) == 1:
            await asyncio.sleep(60)

    await enqueue(store, "a")
    async with running(store, work=Lane(handler, lease=0.3, backoff=QUICK)) as runner:
        await until(lambda: runner.counts["done"] == 1)
    assert tries == [1, 2]


async def test_work_under_way_when_the_runner_stops_is_done_by_the_next(store: Store) -> None:
    started = asyncio.Event()
    done: list[str] = []

    async def hang(job: Job) -> None:
        started.set()
        await asyncio.sleep(60)

    async def handler(job: Job) -> None:
        done.append(job.key)

    await enqueue(store, "a")
    async with running(store, work=Lane(hang, lease=0.4)):
        await started.wait()
    async with running(store, work=handler):
        await until(lambda: done == ["a"])


async def test_a_store_that_fails_for_a_while_stops_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    async def handler(job: Job) -> None:
        done.append(job.key)

    claim, calls = store.claim, []

    async def failing(*given: object) -> list[Job]:
        calls.append(given)
        if len(calls) == 1:
            raise UnavailableError("the database is not available")
        return await claim(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "claim", failing)
    await enqueue(store, "a")
    async with running(store, work=handler):
        await until(lambda: done == ["a"])


async def test_a_batch_ends_each_of_its_jobs_in_its_own_way(store: Store) -> None:
    """Done, tried again, and buried: all in one claim, and what failed takes no other along."""
    seen: list[list[tuple[str, int]]] = []

    async def handler(jobs: Sequence[Job]) -> list[Outcome | Exception | None]:
        seen.append([(job.key, job.attempt) for job in jobs])
        return [_outcome_of(job) for job in jobs]

    def _outcome_of(job: Job) -> Outcome | Exception | None:
        if job.key == "never":
            return UndeliverableError("refused for good")
        if job.key == "later" and job.attempt < 3:
            return UnavailableError("not now")
        return Outcome(AGENT, lambda tx: tx.set_state(f"kept {job.key}", "yes"))

    await enqueue(store, "now", "later", "never", "now")
    async with running(store, work=BatchLane(handler, AGENT, backoff=QUICK)) as runner:
        await until(lambda: runner.counts["done"] == 3)
        assert (runner.counts["failed"], runner.counts["buried"]) == (2, 1)
    assert sorted(seen[0]) == [("later", 1), ("never", 1), ("now", 1)]
    assert await store.view(lambda tx: (tx.get_state("kept now"), tx.get_state("kept never"))) == ("yes", None)
    (dead,) = await store.view(lambda tx: tx.dead_jobs())
    assert (dead.key, dead.last_error) == ("never", "refused for good")


async def test_a_batch_whose_handler_fails_is_tried_again_whole(store: Store) -> None:
    tries: list[int] = []

    async def handler(jobs: Sequence[Job]) -> list[Outcome | Exception | None]:
        tries.append(len(jobs))
        if len(tries) == 1:
            raise UnavailableError("the writer has ended")
        return [None] * len(jobs)

    await enqueue(store, "a", "b", "c")
    async with running(store, work=BatchLane(handler, AGENT, backoff=QUICK)) as runner:
        await until(lambda: runner.counts["done"] == 3)
    assert tries[0] == 3


async def test_a_batch_is_buried_after_its_attempts_too(store: Store) -> None:
    async def handler(jobs: Sequence[Job]) -> list[Outcome | Exception | None]:
        raise RuntimeError("a bug")

    await enqueue(store, "a")
    lane = BatchLane(handler, AGENT, backoff=Backoff(first=0.01, most=0.02, attempts=2))
    async with running(store, work=lane) as runner:
        await until(lambda: runner.counts["buried"] == 1)
        assert runner.counts["failed"] == 1


def test_delays_grow_to_their_limit() -> None:
    delays = [Backoff(first=1, most=60).delay(attempt) for attempt in range(1, 40)]
    assert 0.8 <= delays[0] <= 1
    assert 1.6 <= delays[1] <= 2
    assert 48 <= delays[-1] <= 60


async def test_a_bug_that_one_job_of_a_batch_meets_harms_no_other(store: Store) -> None:
    async def handler(jobs: Sequence[Job]) -> list[Outcome | Exception | None]:
        if any(job.key == "b" for job in jobs):
            raise KeyError("a bug")
        return [None] * len(jobs)

    await enqueue(store, "a", "b", "c")
    async with running(store, work=BatchLane(handler, AGENT)) as runner:
        await until(lambda: runner.counts["done"] == 2)
        assert runner.counts["failed"] == 1


async def test_what_cannot_be_kept_of_one_undoes_nothing_of_the_others(store: Store) -> None:
    def refuse(tx: Tx) -> None:
        raise ConflictError("not to be kept")

    async def handler(jobs: Sequence[Job]) -> list[Outcome | Exception | None]:
        return [Outcome(AGENT, refuse) if job.key == "b" else None for job in jobs]

    await enqueue(store, "a", "b", "c")
    async with running(store, work=BatchLane(handler, AGENT)) as runner:
        await until(lambda: runner.counts["done"] == 2)
        await until(lambda: runner.counts["failed"] >= 1)
        await enqueue(store, "d")  # and the lane goes on
        await until(lambda: runner.counts["done"] == 3)


async def test_jobs_of_other_kinds_make_a_lane_claim_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    claimed: list[str] = []
    claim = store.claim

    async def counted(kinds: Sequence[str], *given: object) -> list[Job]:
        claimed.extend(kinds)
        return await claim(kinds, *given)  # type: ignore[arg-type]

    async def handler(job: Job) -> None:
        done.append(job.key)

    monkeypatch.setattr(store, "claim", counted)
    runner = JobRunner(store, {"work": Lane(handler), "named": Lane(handler, kind="told"), "other": handler}, poll=30)
    task = asyncio.create_task(runner.run())
    await until(lambda: len(claimed) == 3)
    await enqueue(store, "a")
    await until(lambda: done == ["a"])
    await enqueue(store, "b", kind="told")
    await until(lambda: done == ["a", "b"])
    assert {"work", "told"} <= set(claimed[3:])
    assert "other" not in claimed[3:]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_jobs_that_come_one_after_another_gather(store: Store) -> None:
    """The first is run at once, what comes meanwhile later and together; a claim that was full by the next at once."""
    seen: list[tuple[float, list[str]]] = []
    loop = asyncio.get_running_loop()

    async def handler(jobs: Sequence[Job]) -> list[Outcome | Exception | None]:
        seen.append((loop.time(), [job.key for job in jobs]))
        return [None for _ in jobs]

    asked = loop.time()
    async with running(store, work=BatchLane(handler, AGENT, at_once=3, gather=0.5)) as runner:
        await enqueue(store, "a")
        await until(lambda: runner.counts["done"] == 1)
        await enqueue(store, *"bcdef")
        await until(lambda: runner.counts["done"] == 6)
    assert [keys for _, keys in seen] == [["a"], ["b", "c", "d"], ["e", "f"]]
    assert seen[1][0] - asked >= 0.5
