"""The feed of an Orthanc: poll its changes, collect bursts, register studies, and compare everything now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any

from interop.archive_feed.bursts import Arrived, Burst, Bursts
from interop.archive_feed.consuming import Feed, FeedHealth, Kept, Pace, Register
from interop.archive_feed.image_types import Heads
from interop.archive_feed.lease import AGENT
from interop.archive_feed.orthanc_stock import OrthancStock
from interop.archive_feed.reading import Archive, Reader
from interop.dicom.study import StudyFacts
from interop.errors import UnavailableError
from interop.store import Store, Tx
from interop.workflow.site import Site

__all__ = ["ArchiveFeed", "FeedHealth", "Kept", "Pace", "Register"]

logger = logging.getLogger(__name__)

PAGE = 1000  # changes in one request


class ArchiveFeed(Feed):
    """Consumes the changes of one Orthanc."""

    def __init__(
        self,
        store: Store,
        site: Site,
        archive: Archive,
        register: Register,
        *,
        kept: Kept | None = None,
        pace: Pace | None = None,
        owner: str | None = None,
        heads: Heads | None = None,
    ) -> None:
        self._archive = archive
        self._reader = Reader(archive, site.zone, self._patient_of, heads=heads)
        stock = OrthancStock(archive, self._reader)
        super().__init__(store, site, register, stock, kept=kept, pace=pace, owner=owner)
        self._bursts = Bursts()
        self._read = 0
        self._counted = self._compared = 0.0
        self._counts: dict[str, int] = {}
        self._counted_to = self._since = 0  # the last change there was then; images that are newer
        self._suspected = False  # that something was deleted
        self._compared_at: tuple[int, dict[str, int]] | None = None

    async def _begin(self, cursor: int | None) -> None:
        """Where to read on. What was there before our first start is found by comparison, study by study."""
        last = await self._archive.last_change()
        if cursor is None or cursor > last:
            if cursor is not None:
                logger.warning(
                    "%s: its changes end at %s, before our cursor %s, as after deletions or where it began anew; "
                    "all its studies are compared",
                    *(self.kept.name, last, cursor),
                )
            cursor = last
            await self._store.unit(AGENT, lambda tx: self._lease.reset(tx, last))
        self._read = cursor
        self._comparison_wanted = True

    def _grows(self, study_uid: str) -> bool:
        return study_uid in self._bursts

    def _forget(self) -> None:
        self._bursts.clear()
        self._counts = {}  # what came since is read by somebody else

    async def _described(self) -> dict[str, Any]:
        last = await self._archive.last_change()
        behind = max(0, last - self._read)
        return {"cursor": self._read, "behind": behind, "studies": self._counts.get("CountStudies")}

    # one turn

    async def _turn(self) -> float:
        try:
            done = await self._poll()
        except UnavailableError:
            self._note(reachable=False)
            await self._register_due()  # what was read before is not held back
            raise
        self._note(reachable=True, cursor=self._read, growing=len(self._bursts))
        await self._register_due()
        await self._look_after_deletions()
        if not done:
            return 0.0
        return self._bursts.pause(time.monotonic(), self._pace.growing if len(self._bursts) else self._pace.idle)

    async def _poll(self) -> bool:
        page = await self._archive.changes(self._read, PAGE)
        changes = page["Changes"]
        sequences = {change["ID"]: int(change["Seq"]) for change in changes if change["ChangeType"] == "NewInstance"}
        arrived: dict[int, Arrived] = {}
        if sequences:
            images = await self._reader.images(list(sequences))
            arrived = {sequences[id]: image for id, image in images.items()}
        self._bursts.add(arrived, time.monotonic())
        self._since += sum(sequence > self._counted_to for sequence in sequences.values())
        if changes:
            self._read = max(self._read, int(changes[-1]["Seq"]))
        return bool(page["Done"])

    async def _register_due(self) -> None:
        due = self._bursts.take_due(time.monotonic())
        if not due:
            return
        async with self._registering:
            results = await asyncio.gather(
                *(self._register_one(burst, facts) for burst, facts in due), return_exceptions=True
            )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _register_one(self, burst: Burst, facts: StudyFacts) -> None:
        cursor = self._bursts.cursor(self._read, [burst] if facts.quiet else [])

        def work(tx: Tx, stated: StudyFacts) -> bool:
            again = self._store_facts(tx, stated)
            self._lease.move(tx, cursor)
            return again

        try:
            stated = await self._anew(facts) if burst.again and facts.quiet else facts
            again = await self._store.unit(AGENT, lambda tx: work(tx, stated))
        except UnavailableError:
            self._bursts.failed(burst, time.monotonic(), 1.0)
            raise
        except Exception:
            # Refused for good: a comparison tries again, and other studies are not kept waiting.
            self._bursts.drop(burst)
            self._comparison_wanted = True
            raise
        burst.again = (burst.again or again) and not stated.whole
        self._bursts.registered(burst, replace(facts, quiet=facts.quiet and not burst.again), time.monotonic())
        self._renewed = time.monotonic()

    async def _anew(self, facts: StudyFacts) -> StudyFacts:
        """The whole study as the archive has it now: tags of images that were here may be others, the patient too."""
        found = await self._stock.whole(facts.study_uid) or StudyFacts(facts.study_uid, whole=True)
        return replace(found, quiet=True)

    # what the changes do not tell

    async def _look_after_deletions(self) -> None:
        now = time.monotonic()
        if now - self._counted > self._pace.counting:
            self._counted = now
            statistics = await self._archive.statistics()
            counts = {name: int(value) for name, value in statistics.items() if name.startswith("Count")}
            if any(counts.get(name, 0) < before for name, before in self._counts.items()):
                self._comparison_wanted = True
            # A deletion may hide behind what came meanwhile; so does an image that took the place of one.
            self._suspected |= counts.get("CountInstances", 0) < self._counts.get("CountInstances", 0) + self._since
            # What is stored from this change on cannot be in those counts.
            self._counts, self._counted_to, self._since = counts, await self._archive.last_change(), 0
            if self._counted_to < self._read:
                await self._rewind(self._counted_to)
        if self._comparison is None and (self._comparison_wanted or self._comparison_due(now)):
            self._comparison_wanted = self._suspected = False
            self._compared, self._compared_at = now, (self._read, self._counts)
            self._compare_soon()

    async def _rewind(self, last: int) -> None:
        """The changes end before what we have read: newest ones were deleted, or the archive has begun anew."""
        self._read, self._comparison_wanted = last, True
        await self._store.unit(AGENT, lambda tx: self._lease.reset(tx, last))

    def _comparison_due(self, now: float) -> bool:
        """Not where nothing happened since the last one, and never more than a twentieth of the time."""
        took = self.health.compared.seconds if self.health.compared else 0.0
        since = now - self._compared
        if self._suspected:
            return since > 20 * took
        late = since > max(self._pace.comparing, 20 * took)
        return late and self._compared_at != (self._read, self._counts)

    def _comparison_failed(self) -> None:
        self._compared_at = None
        self._compared = time.monotonic() - self._pace.comparing + self._pace.longest_backoff
