"""Claims jobs and runs them: a lane per kind, and one per receiver, so that a silent one holds up nothing else.

A job is done when its handler returns; what the handler wants kept of it is written in the commit that ends the job.
UndeliverableError buries it: whoever it was for has refused it, trying again would change nothing, and the next of its
key goes on. Everything else is tried again, later each time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger

from interop.access.agent import Agent, system_agent
from interop.errors import RefusedError, UnavailableError
from interop.store import EVERY_KEY, EVERY_KIND, Job, KeyRange, Store, Tx

logger = getLogger(__name__)

BUSY = 0.005  # seconds that the event loop is late, from which on jobs step back


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to keep of a job, and in whose name."""

    agent: Agent
    keep: Callable[[Tx], None]


Handler = Callable[[Job], Awaitable[Outcome | None]]
BatchHandler = Callable[[Sequence[Job]], Awaitable[Sequence[Outcome | Exception | None]]]
_EXPECTED = (UnavailableError, TimeoutError)  # the world's failures; others are bugs, whose trace is wanted
_NOTHING = Outcome(system_agent("jobs"), lambda tx: None)


class UndeliverableError(RefusedError):
    """Trying again would change nothing."""

    outcome: Outcome = _NOTHING

    def keeping(self, outcome: Outcome) -> UndeliverableError:
        """The same, with what to keep of the job."""
        self.outcome = outcome
        return self


class LaterError(UnavailableError):
    """Not done yet, and to be tried again."""

    outcome: Outcome = _NOTHING
    most: float | None = None  # seconds to which the pause between attempts may grow, where not the lane's

    def keeping(self, outcome: Outcome, most: float | None = None) -> LaterError:
        """The same, with what to keep of the attempt."""
        self.outcome, self.most = outcome, most
        return self


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after the nth failure."""

    first: float = 0.5
    most: float = 60.0
    factor: float = 2.0
    attempts: int | None = None  # after which a job is buried; None: never

    def delay(self, attempt: int, most: float | None = None) -> float:
        """Seconds, a little scattered so that what failed together does not come back together."""
        longest = self.most if most is None else min(self.most, most)
        exact = min(longest, self.first * self.factor ** min(attempt - 1, 32))
        return float(exact * random.uniform(0.8, 1.0))  # noqa: S311 - scatter, not secrecy


@dataclass(frozen=True, slots=True)
class Lane:
    """How one kind is run, or those jobs of it whose keys the lane is for."""

    handler: Handler
    at_once: int = 8
    lease: float = 60.0
    backoff: Backoff = Backoff()
    kind: str = ""  # the lane's own name unless said
    keys: KeyRange = EVERY_KEY


@dataclass(frozen=True, slots=True)
class BatchLane:
    """How one kind is run whose jobs share their work: a claim is one call of the handler and ends in one commit.

    The handler says of each job what became of it; a failed one is tried again or buried and takes no other along.
    Jobs that come close together gather: the first is claimed at once, the next ones ``gather`` seconds after it, so
    that a claim and its end, a commit each, are shared by many.
    """

    handler: BatchHandler
    agent: Agent  # in whose name the outcomes are kept
    at_once: int = 256
    gather: float = 0.0
    lease: float = 60.0
    backoff: Backoff = Backoff()


class JobRunner:
    """Runs the jobs of a store until it is cancelled; what it had begun then is tried again when its lease runs out."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler | Lane | BatchLane], *, poll: float = 0.25) -> None:
        self._store = store
        self._lanes: dict[str, Lane | BatchLane] = {
            kind: handler if isinstance(handler, Lane | BatchLane) else Lane(handler)
            for kind, handler in handlers.items()
        }
        self._poll = poll
        self._wake = {kind: asyncio.Event() for kind in self._lanes}
        self.counts: Counter[str] = Counter()  # done, failed, buried, lost

    async def run(self) -> None:
        """Claim and run, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            for kind, lane in self._lanes.items():
                if isinstance(lane, BatchLane):
                    group.create_task(self._run_batches(kind, lane))
                else:
                    group.create_task(self._run_lane(kind, lane))

    async def _listen(self) -> None:
        """The store's one event wakes the lanes whose kinds have come: a claim walks past every job that waits."""
        while True:
            await self._store.jobs_ready.wait()
            ready = self._store.take_ready()
            for name, event in self._wake.items():
                if EVERY_KIND in ready or self._kind_of(name) in ready:
                    event.set()

    def _kind_of(self, name: str) -> str:
        lane = self._lanes[name]
        return lane.kind or name if isinstance(lane, Lane) else name

    async def _run_lane(self, kind: str, lane: Lane) -> None:
        running: set[asyncio.Task[None]] = set()
        wake = self._wake[kind]
        try:
            while True:
                wake.clear()
                free = lane.at_once - len(running)
                claimed: list[Job] = []
                if free * 2 >= lane.at_once:  # several at once share a claim
                    await self._step_back()
                    claimed = await self._claim(self._kind_of(kind), free, lane.lease, lane.keys)
                for job in claimed:
                    task = asyncio.create_task(self._run_job(job, lane))
                    running.add(task)
                    task.add_done_callback(running.discard)
                    task.add_done_callback(lambda _: wake.set())
                if not claimed:
                    await self._pause(wake)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)  # before whoever stops us closes what they use

    async def _run_batches(self, kind: str, lane: BatchLane) -> None:
        """What has gathered while one batch was under way is the next: the fuller, the more there is to do."""
        wake, loop = self._wake[kind], asyncio.get_running_loop()
        while True:
            wake.clear()
            begun = loop.time()
            claimed = await self._claim(kind, lane.at_once, lane.lease)
            if claimed:
                await self._run_batch(claimed, lane)
            else:
                await self._pause(wake)
            if 0 < len(claimed) < lane.at_once:  # one that was full has left some behind
                await asyncio.sleep(lane.gather - (loop.time() - begun))

    async def _run_batch(self, jobs: Sequence[Job], lane: BatchLane) -> None:
        outcomes: Sequence[Outcome | Exception | None]
        try:
            async with asyncio.timeout(lane.lease * 0.9):
                outcomes = await lane.handler(jobs)
        except Exception as error:
            if len(jobs) > 1 and not isinstance(error, _EXPECTED):  # a bug that one of them met
                logger.exception("%d jobs (%s) failed together and are run one by one", len(jobs), jobs[0].kind)
                for job in jobs:
                    await self._run_batch([job], lane)
                return
            outcomes = [error] * len(jobs)
        await self._end_batch(jobs, outcomes, lane)

    async def _end_batch(
        self, jobs: Sequence[Job], outcomes: Sequence[Outcome | Exception | None], lane: BatchLane
    ) -> None:
        """End them in one commit; what cannot be kept of one undoes nothing of the others, and is tried again."""
        ends = [self._end_of(job, lane, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]
        try:
            ended = await self._store.unit(lane.agent, lambda tx: [end(tx) for _, end in ends])
        except UnavailableError as error:  # the leases run out, and the jobs are claimed again
            logger.warning("outcomes of %d jobs (%s) not kept: %s", len(jobs), jobs[0].kind, error.text)
            self.counts["lost"] += len(jobs)
            return
        except Exception as error:
            if len(jobs) == 1 and isinstance(outcomes[0], Exception):
                raise
            for job, outcome in zip(jobs, outcomes, strict=True):
                await self._end_batch([job], [error if len(jobs) == 1 else outcome], lane)
            return
        for (word, _), held in zip(ends, ended, strict=True):
            self.counts[word if held else "lost"] += 1

    def _end_of(
        self, job: Job, lane: BatchLane, outcome: Outcome | Exception | None
    ) -> tuple[str, Callable[[Tx], bool]]:
        """What a job is counted as, and how it is ended."""
        keep = _NOTHING.keep
        if isinstance(outcome, UndeliverableError):
            why, keep = outcome.text, outcome.outcome.keep
        elif isinstance(outcome, Exception):
            delay = lane.backoff.delay(job.attempt)
            why = _why(outcome)
            if lane.backoff.attempts is None or job.attempt < lane.backoff.attempts:
                _log_failure(job, outcome, why)
                return "failed", lambda tx: tx.retry_job(job, why, delay)
            why = f"{job.attempt} attempts, the last: {why}"
        else:
            keep = (outcome or _NOTHING).keep

            def finish(tx: Tx) -> bool:
                keep(tx)
                return tx.finish_job(job)

            return "done", finish

        def bury(tx: Tx) -> bool:
            keep(tx)
            return tx.bury_job(job, why)

        logger.error("job %d (%s) is a dead letter: %s", job.id, job.kind, why)
        return "buried", bury

    async def _pause(self, wake: asyncio.Event) -> None:
        """Until something was enqueued or finished; jobs whose time comes are found by the poll."""
        try:
            async with asyncio.timeout(self._poll):
                await wake.wait()
        except TimeoutError:
            return

    async def _step_back(self) -> None:
        """Leave the loop to those who wait for an answer while it is behind: jobs take about a sixth of it then."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        await asyncio.sleep(0)
        late = loop.time() - asked
        if late > BUSY:
            await asyncio.sleep(min(2 * late, self._poll))

    async def _claim(self, kind: str, limit: int, lease: float, keys: KeyRange = EVERY_KEY) -> list[Job]:
        try:
            return await self._store.claim([kind], limit, lease, keys)
        except UnavailableError as error:
            logger.warning("no jobs claimed: %s", error.text)
            await asyncio.sleep(1.0)
            return []

    async def _run_job(self, job: Job, lane: Lane) -> None:
        try:
            try:
                async with asyncio.timeout(lane.lease * 0.9):  # past its lease the job may be another's
                    outcome = await lane.handler(job)
            except UndeliverableError as error:
                await self._bury(job, error.text, error.outcome)
            except Exception as error:
                await self._retry(job, lane, error)
            else:
                done = await self._end(job, outcome or _NOTHING, lambda tx: tx.finish_job(job))
                self.counts["done" if done else "lost"] += 1
        except UnavailableError as error:  # the store: the lease runs out, and the job is claimed again
            logger.warning("job %d (%s): outcome not kept: %s", job.id, job.kind, error.text)
            self.counts["lost"] += 1

    async def _end(self, job: Job, outcome: Outcome, end: Callable[[Tx], bool]) -> bool:
        """End the job and keep what is to be kept of it, in one commit; also where the claim was lost meanwhile."""

        def work(tx: Tx) -> bool:
            outcome.keep(tx)
            return end(tx)

        return await self._store.unit(outcome.agent, work)

    async def _bury(self, job: Job, why: str, outcome: Outcome = _NOTHING) -> None:
        logger.error("job %d (%s) is a dead letter: %s", job.id, job.kind, why)
        self.counts["buried"] += 1
        await self._end(job, outcome, lambda tx: tx.bury_job(job, why))

    async def _retry(self, job: Job, lane: Lane, error: Exception) -> None:
        why = _why(error)
        if lane.backoff.attempts is not None and job.attempt >= lane.backoff.attempts:
            await self._bury(job, f"{job.attempt} attempts, the last: {why}")
            return
        later = error if isinstance(error, LaterError) else LaterError()
        delay = lane.backoff.delay(job.attempt, later.most)
        _log_failure(job, error, why)
        self.counts["failed"] += 1
        await self._end(job, later.outcome, lambda tx: tx.retry_job(job, why, delay))


def _why(error: Exception) -> str:
    return getattr(error, "text", "") or f"{type(error).__name__}: {error}"


def _log_failure(job: Job, error: Exception, why: str) -> None:
    known = isinstance(error, _EXPECTED)
    logger.log(30 if known else 40, "job %d (%s) failed: %s", job.id, job.kind, why, exc_info=None if known else error)
