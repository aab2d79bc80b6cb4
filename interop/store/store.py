"""The storage room: units of work in, results out once they are on the disk."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from typing import ClassVar, TypeVar

from interop.access.agent import Agent, system_agent
from interop.errors import InteropError
from interop.store.rows import EVERY_KEY, Job, KeyRange, Stats
from interop.store.tx import Tx
from interop.store.unit import Surroundings

T = TypeVar("T")
Refused = Callable[[Tx, InteropError], T]

STATS_KEPT = 2.0  # seconds; counting costs in proportion to what there is,
STATS_SHARE = 20  # so it is kept this many times as long as it took: 0.3 s for a million resources
_JOBS = system_agent("jobs")
_PING = "SELECT 1"


class Store(ABC):
    """One database, on either engine."""

    backend: ClassVar[str]
    units_in_order: ClassVar[bool]  # whether units are carried out in the order in which they were handed over

    def __init__(self, surroundings: Surroundings) -> None:
        self.zone: tzinfo = surroundings.zone
        self.jobs_ready = asyncio.Event()  # set after a commit that enqueued
        self._ready: set[str] = set()
        self._surroundings = surroundings
        self._stats: tuple[float, Stats] | None = None  # until when they are good
        self._counting = asyncio.Lock()

    @abstractmethod
    async def unit(self, agent: Agent, work: Callable[[Tx], T], *, refused: Refused[T] | None = None) -> T:
        """Do the work in a transaction and return what it returned, once the commit has been fsynced.

        An InteropError undoes the work. ``refused``, if given, then runs in the same commit and its value is returned;
        without it the error is raised. Where the engine fails nothing is kept, and UnavailableError is raised.
        """

    async def reading(
        self,
        agent: Agent,
        work: Callable[[Tx], T],
        wanted: Sequence[tuple[str, str]] = (),
        *,
        refused: Refused[T] | None = None,
    ) -> T:
        """A unit that reads, and leaves nothing but events; ``wanted`` are resources, by type and id, that it will.

        Said beforehand it costs less on an engine at a distance: several share their questions and their commit. Should
        it want to write something it is carried out as a unit.
        """
        return await self.unit(agent, work, refused=refused)

    @abstractmethod
    async def view(self, work: Callable[[Tx], T]) -> T:
        """Read: the work sees one state of the database and may not write."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let the database go."""

    async def claim(
        self, kinds: Sequence[str] | None, limit: int, lease: float, keys: KeyRange = EVERY_KEY
    ) -> list[Job]:
        """Take up to this many due jobs for ``lease`` seconds, oldest first, never two of one kind and key."""
        return await self.unit(_JOBS, lambda tx: tx.claim_jobs(kinds, limit, lease, keys))

    def take_ready(self) -> set[str]:
        """The kinds of which jobs have come since this was asked last, perhaps EVERY_KIND; clears ``jobs_ready``."""
        self.jobs_ready.clear()
        ready, self._ready = self._ready, set()
        return ready

    def _tell_ready(self, kinds: set[str]) -> None:
        if kinds:
            self._ready |= kinds
            self.jobs_ready.set()

    async def finish(self, job: Job) -> bool:
        """The effect has happened; False where the claim was lost meanwhile."""
        return await self._report(lambda tx: tx.finish_job(job))

    async def retry(self, job: Job, error: str, delay: float) -> bool:
        """Put it back, due in ``delay`` seconds; False where the claim was lost meanwhile."""
        return await self._report(lambda tx: tx.retry_job(job, error, delay))

    async def bury(self, job: Job, error: str) -> bool:
        """Give up: a dead letter. False where the claim was lost meanwhile."""
        return await self._report(lambda tx: tx.bury_job(job, error))

    async def extend(self, job: Job, lease: float) -> bool:
        """Keep it for ``lease`` seconds from now; False where the claim was lost meanwhile."""
        return await self._report(lambda tx: tx.extend_job(job, lease))

    async def replay(self, job_id: int) -> bool:
        """Owe a dead letter again; False where there is none of this number."""
        return await self._report(lambda tx: tx.replay_job(job_id))

    async def stats(self) -> Stats:
        """How much there is: not older than two seconds, or, where counting is long, than twenty times that long."""
        async with self._counting:  # whoever asks meanwhile gets the same
            begun = time.monotonic()
            if self._stats is None or begun > self._stats[0]:
                found = await self._count()
                ended = time.monotonic()
                self._stats = (ended + max(STATS_KEPT, STATS_SHARE * (ended - begun)), found)
            return self._stats[1]

    async def _count(self) -> Stats:
        return await self.view(lambda tx: tx.stats())

    async def look_for_watchers(self, types: Callable[[Tx], Iterable[str]]) -> None:
        """Ask the database which types are watched, for the writes of this process; to be done again and again."""
        asked = time.monotonic()
        self._surroundings.watched.tell(await self.view(types), asked)

    async def ping(self) -> None:
        """Ask the database something; UnavailableError where it does not answer."""
        await self.view(lambda tx: tx.session.row(_PING))

    async def _report(self, work: Callable[[Tx], bool]) -> bool:
        return await self.unit(_JOBS, work)
