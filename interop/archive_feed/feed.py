"""The loop: poll the archive's changes, collect bursts, register studies, and compare everything now and then."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from interop.archive_feed.bursts import Arrived, Burst, Bursts
from interop.archive_feed.lease import AGENT, Lease, LeaseLostError
from interop.archive_feed.reading import Archive, Reader
from interop.archive_feed.reconciling import Compared, Reconciliation, identity_row, known_holdings
from interop.dicom.study import StudyFacts
from interop.errors import InteropError, UnavailableError
from interop.store import Store, Tx
from interop.workflow.site import Site

logger = logging.getLogger(__name__)

Register = Callable[[Tx, Site, StudyFacts], object]

PAGE = 1000  # changes in one request


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds; the defaults make a study complete within a second of its last image."""

    growing: float = 0.1  # between polls while something grows
    idle: float = 0.2
    standby: float = 1.0  # between looks at a lease that another process holds
    renewal: float = 5.0
    longest_backoff: float = 5.0
    counting: float = 5.0  # between looks at the archive's counts: fewer of anything means a deletion
    comparing: float = 600.0  # between comparisons of everything


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """How the feed is, for readiness, metrics and the start page."""

    role: str = "starting"  # consumer | standby | starting
    reachable: bool = False  # the archive answered the last poll
    cursor: int = 0  # the last change that was read
    growing: int = 0  # studies of which images are coming in
    error: str | None = None  # what went wrong last, None since it went right
    compared: Compared | None = None


class ArchiveFeed:
    """One of these runs in every worker; the lease lets one of them consume."""

    def __init__(
        self,
        store: Store,
        site: Site,
        archive: Archive,
        register: Register,
        *,
        pace: Pace | None = None,
        owner: str | None = None,
    ) -> None:
        self._store = store
        self._site = site
        self._archive = archive
        self._register = register
        self._pace = pace or Pace()
        self._lease = Lease(store, owner)
        self._reader = Reader(archive, site.zone)
        self._bursts = Bursts()
        self._registering = asyncio.Lock()  # a comparison never overtakes what is being registered
        self._read = 0
        self._consuming = False
        self._renewed = self._counted = self._compared = 0.0
        self._counts: dict[str, int] = {}
        self._compared_at: tuple[int, dict[str, int]] | None = None
        self._comparison: asyncio.Task[None] | None = None
        self._comparison_wanted = False
        self.health = FeedHealth()

    async def run(self) -> None:
        """Run until cancelled; nothing that the archive or the database does ends it."""
        backoff = 0.25
        try:
            while True:
                try:
                    pause = await self._turn() if await self._holding() else self._pace.standby
                    self._note(error=None)
                    backoff = 0.25
                except LeaseLostError:
                    self._stand_by()
                    pause = self._pace.standby
                except Exception as error:  # the loop outlives whatever one turn meets
                    self._failed(error)
                    pause = backoff = min(backoff * 2, self._pace.longest_backoff)
                await asyncio.sleep(pause)
        finally:
            await self._close()

    async def compare(self) -> Compared:
        """Compare the archive with the database now, and mend what differs."""
        reconciliation = Reconciliation(self._store, self._archive, growing=self._bursts.__contains__, mend=self._mend)
        compared = await reconciliation.run()
        if compared.mended:
            logger.info("%s of %s studies differed from the archive", len(compared.mended), compared.studies)
        self._note(compared=compared)
        return compared

    # being the one consumer

    async def _holding(self) -> bool:
        now = time.monotonic()
        if self._consuming:
            if now - self._renewed > self._pace.renewal:
                await self._lease.renew()
                self._renewed = now
            return True
        taken = await self._lease.take()
        if taken is None:
            self._note(role="standby")
            return False
        await self._begin(taken.cursor)
        self._consuming, self._renewed = True, now
        self._note(role="consumer")
        return True

    async def _begin(self, cursor: int | None) -> None:
        """Where to read on. What was there before our first start is found by comparison, study by study."""
        last = await self._archive.last_change()
        if cursor is None or cursor > last:
            if cursor is not None:
                logger.warning("the archive's changes end at %s, before our cursor %s: another archive?", last, cursor)
            cursor = last
            await self._store.unit(AGENT, lambda tx: self._lease.reset(tx, last))
        self._read = cursor
        self._comparison_wanted = True

    def _stand_by(self) -> None:
        logger.warning("the archive's changes are consumed by another process now")
        self._consuming = False
        self._bursts.clear()
        self._end_comparison()
        self._note(role="standby", growing=0)

    async def _close(self) -> None:
        comparison = self._end_comparison()
        if comparison is not None:
            await asyncio.gather(comparison, return_exceptions=True)
        if self._consuming:
            self._consuming = False
            try:
                await self._lease.release()
            except InteropError as error:
                logger.warning("the lease of the archive feed could not be given back: %s", error.text)

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

        def work(tx: Tx) -> None:
            self._store_facts(tx, facts)
            self._lease.move(tx, cursor)

        try:
            await self._store.unit(AGENT, work)
        except UnavailableError:
            self._bursts.failed(burst, time.monotonic(), 1.0)
            raise
        except Exception:
            # Refused for good: a comparison tries again, and other studies are not kept waiting.
            self._bursts.drop(burst)
            self._comparison_wanted = True
            raise
        self._bursts.registered(burst, facts, time.monotonic())
        self._renewed = time.monotonic()

    def _store_facts(self, tx: Tx, facts: StudyFacts) -> None:
        self._lease.held(tx)
        self._register(tx, self._site, facts)
        row, patient = identity_row(facts.study_uid), facts.patient_id or ""
        if tx.get_state(row) != patient:
            tx.set_state(row, patient)

    # what the changes do not tell

    async def _look_after_deletions(self) -> None:
        now = time.monotonic()
        if now - self._counted > self._pace.counting:
            self._counted = now
            statistics = await self._archive.statistics()
            counts = {name: int(value) for name, value in statistics.items() if name.startswith("Count")}
            if any(counts.get(name, 0) < before for name, before in self._counts.items()):
                self._comparison_wanted = True
            self._counts = counts
        if self._comparison is None and (self._comparison_wanted or self._comparison_due(now)):
            self._comparison_wanted, self._compared, self._compared_at = False, now, (self._read, self._counts)
            self._comparison = asyncio.create_task(self._compare())

    def _comparison_due(self, now: float) -> bool:
        """Not where nothing happened since the last one, and never more than a twentieth of the time."""
        took = self.health.compared.seconds if self.health.compared else 0.0
        late = now - self._compared > max(self._pace.comparing, 20 * took)
        return late and self._compared_at != (self._read, self._counts)

    async def _compare(self) -> None:
        try:
            await self.compare()
        except Exception as error:  # tried again with the next one that is due
            self._failed(error)
            self._compared_at = None
            self._compared = time.monotonic() - self._pace.comparing + self._pace.longest_backoff
        finally:
            self._comparison = None

    def _end_comparison(self) -> asyncio.Task[None] | None:
        comparison = self._comparison
        if comparison is not None:
            comparison.cancel()
        return comparison

    async def _mend(self, uid: str) -> bool:
        """Make our study what the archive has of it now; True if that changed anything."""
        async with self._registering:
            if uid in self._bursts:
                return False
            facts = await self._reader.whole(uid)

            def work(tx: Tx) -> bool:
                before = known_holdings(tx, uid)
                if facts is None and before is None:
                    return False
                stated = facts or StudyFacts(uid, whole=True)
                self._store_facts(tx, replace(stated, quiet=True))
                return known_holdings(tx, uid) != before

            return await self._store.unit(AGENT, work)

    # how it goes

    def _failed(self, error: Exception) -> None:
        said = error.text if isinstance(error, UnavailableError) else type(error).__name__
        if said != self.health.error:
            logger.warning("archive feed: %s", said)
            if not isinstance(error, InteropError):
                logger.error("archive feed, at %s", " ".join(traceback.format_tb(error.__traceback__)[-1].split()))
        self._note(error=said)

    def _note(self, **changes: Any) -> None:
        self.health = replace(self.health, **changes)
