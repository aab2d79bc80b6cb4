"""What every feed does: be the one consumer of its archive, register studies, compare, and say how it goes."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from interop.archive_feed.lease import AGENT, ROW, Lease, LeaseLostError
from interop.archive_feed.reconciling import Compared, Reconciliation, Stock, Wanted, identity_row, known_holdings
from interop.archive_feed.syncing import Syncs
from interop.dicom.study import StudyFacts
from interop.errors import InteropError, UnavailableError
from interop.store import Store, Tx
from interop.workflow.archives import ArchiveStatus, write_status
from interop.workflow.site import Site

logger = logging.getLogger(__name__)


class Taken(Protocol):
    """What registering facts found."""

    @property
    def again(self) -> bool:
        """Whether an image of these facts was here before: it was stored anew, and its tags may be others now."""


Register = Callable[[Tx, Site, StudyFacts], Taken]

FIRST = "orthanc"  # the name of the archive where only one is set


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
    telling: float = 10.0  # between what is said of how it goes, while nothing is new
    asking: float = 1.0  # between looks for a comparison that somebody has asked for


@dataclass(frozen=True, slots=True)
class Kept:
    """Whose feed it is: the archive's name, and those of the other archives of this server."""

    name: str = FIRST
    others: frozenset[str] = frozenset()

    @property
    def row(self) -> str:
        """The leased row."""
        return ROW if self.name == FIRST else f"{ROW}@{self.name}"

    def foreign(self, holder: str | None) -> bool:
        """Whether the holder of a study is another archive of ours; one that is set no more holds nothing."""
        return holder is not None and holder != self.name and holder in self.others


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """How the feed is, for readiness, metrics and the start page."""

    role: str = "starting"  # consumer | standby | starting
    reachable: bool = False  # the archive answered the last poll
    cursor: int = 0  # the last change that was read
    growing: int = 0  # studies of which images are coming in
    error: str | None = None  # what went wrong last, None since it went right
    compared: Compared | None = None


class Feed(ABC):
    """One of these runs in every worker for each archive; the lease lets one of them consume."""

    def __init__(
        self,
        store: Store,
        site: Site,
        register: Register,
        stock: Stock,
        *,
        kept: Kept | None = None,
        pace: Pace | None = None,
        owner: str | None = None,
    ) -> None:
        self.kept = kept or Kept()
        self._store, self._site, self._register, self._stock = store, site, register, stock
        self._pace = pace or Pace()
        self._lease = Lease(store, owner, row=self.kept.row)
        self._registering = asyncio.Lock()  # a comparison never overtakes what is being registered
        self._comparing = asyncio.Lock()
        self._syncs = Syncs(store, self.kept.name, self._reconciliation, self._comparing)
        self._consuming = False
        self._renewed = self._asked = self._told = 0.0
        self._comparison: asyncio.Task[None] | None = None
        self._comparison_wanted = False
        self._status = ArchiveStatus()
        self.health = FeedHealth()

    async def run(self) -> None:
        """Run until cancelled; nothing that the archive or the database does ends it."""
        backoff = 0.25
        try:
            while True:
                try:
                    pause = await self._turn_if_ours()
                    self._note(error=None)
                    backoff = 0.25
                except LeaseLostError:
                    await self._stand_by()
                    pause = self._pace.standby
                except Exception as error:  # the loop outlives whatever one turn meets
                    self._failed(error)
                    pause = backoff = min(backoff * 2, self._pace.longest_backoff)
                await self._say()
                await asyncio.sleep(pause)
        finally:
            await self._close()

    async def compare(self, wanted: Wanted | None = None) -> Compared:
        """Compare the archive with the database now, and mend what differs."""
        async with self._comparing:
            compared = await self._reconciliation().run(wanted)
        if compared.mended:
            logger.info("%s: %s of %s studies differed", self.kept.name, len(compared.mended), compared.studies)
        self._note(compared=compared)
        self._status = replace(
            self._status,
            compared_at=_now(),
            compared_studies=compared.studies,
            mended=len(compared.mended),
            elsewhere=compared.elsewhere,
        )
        self._told = 0.0
        return compared

    async def sync_once(self) -> bool:
        """Carry out the comparison that was asked for, where no other process is the consumer; whether it could be."""
        if not await self._holding():
            return False
        await self._syncs.carry_out()
        await self._close()
        return True

    # what a feed of one kind does

    @abstractmethod
    async def _begin(self, cursor: int | None) -> None:
        """It has become the consumer; where the one before it was."""

    @abstractmethod
    async def _turn(self) -> float:
        """Look once, register what is due; seconds until the next turn."""

    def _grows(self, study_uid: str) -> bool:
        """Whether images of the study come in just now, so that a comparison leaves it alone."""
        return False

    @abstractmethod
    def _forget(self) -> None:
        """Another process has taken over."""

    async def _described(self) -> dict[str, Any]:
        """What only this kind of feed knows to say: fields of ArchiveStatus."""
        return {}

    # being the one consumer

    async def _turn_if_ours(self) -> float:
        if not await self._holding():
            return self._pace.standby
        now = time.monotonic()
        if now - self._asked > self._pace.asking:
            self._asked = now
            await self._syncs.begin_asked()
        return await self._turn()

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

    async def _stand_by(self) -> None:
        logger.warning("the changes of archive %s are consumed by another process now", self.kept.name)
        self._consuming = False
        self._forget()
        await self._end_comparisons()
        self._note(role="standby", growing=0)

    async def _close(self) -> None:
        await self._end_comparisons()
        if self._consuming:
            self._consuming = False
            try:
                await self._lease.release()
            except InteropError as error:
                logger.warning("the lease of the archive feed could not be given back: %s", error.text)

    # comparing

    def _reconciliation(self, told: Any = None) -> Reconciliation:
        return Reconciliation(
            self._store,
            self._stock,
            self.kept.name,
            growing=self._grows,
            mend=self._mend,
            foreign=self.kept.foreign,
            told=told,
        )

    def _compare_soon(self) -> bool:
        """Begin a comparison, unless one runs; whether one was begun."""
        if self._comparison is not None:
            return False
        self._comparison = asyncio.create_task(self._compare())
        return True

    async def _compare(self) -> None:
        try:
            await self.compare()
        except Exception as error:  # tried again with the next one that is due
            self._failed(error)
            self._comparison_failed()
        finally:
            self._comparison = None

    @abstractmethod
    def _comparison_failed(self) -> None:
        """When it is to be tried again."""

    async def _end_comparisons(self) -> None:
        running = [task for task in (self._comparison, self._syncs.task) if task is not None]
        for task in running:
            task.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)

    async def _mend(self, uid: str) -> bool:
        """Make our study what the archive has of it now; True if that changed anything."""
        async with self._registering:
            if self._grows(uid):
                return False
            facts = await self._stock.whole(uid)

            def work(tx: Tx) -> bool:
                before = known_holdings(tx, uid)
                if facts is None and before is None:
                    if tx.archive_of_study(uid) == self.kept.name:
                        tx.place_study(uid, None)
                    return False
                stated = facts or StudyFacts(uid, whole=True)
                self._store_facts(tx, replace(stated, quiet=True))
                return known_holdings(tx, uid) != before

            return await self._store.unit(AGENT, work)

    def _store_facts(self, tx: Tx, facts: StudyFacts) -> bool:
        """Register them; whether an image of them was here before."""
        self._lease.held(tx)
        if self.kept.foreign(tx.archive_of_study(facts.study_uid)):
            return False  # it is shown from there; a comparison takes it over once it is gone from there
        gone = facts.whole and not facts.series
        tx.place_study(facts.study_uid, None if gone else self.kept.name)
        row, patient = identity_row(facts.study_uid), facts.patient_id or ""
        known = tx.get_state(row)
        # Only the study as a whole tells that it has moved: else the former patient may have it still.
        moved = facts.whole and not gone and known not in (None, patient)
        taken = self._register(tx, self._site, replace(facts, moved=moved))
        if known is None or moved:
            tx.set_state(row, patient)
        return taken.again

    async def _patient_of(self, uid: str) -> str | None:
        """The PatientID that a study was last registered with."""
        return await self._store.view(lambda tx: tx.get_state(identity_row(uid)))

    # how it goes

    def _failed(self, error: Exception) -> None:
        said = error.text if isinstance(error, UnavailableError) else type(error).__name__
        if said != self.health.error:
            logger.warning("archive feed %s: %s", self.kept.name, said)
            if not isinstance(error, InteropError):
                logger.error("archive feed, at %s", " ".join(traceback.format_tb(error.__traceback__)[-1].split()))
        self._note(error=said)

    def _note(self, **changes: Any) -> None:
        before, self.health = self.health, replace(self.health, **changes)
        if (before.error, before.reachable) != (self.health.error, self.health.reachable):
            self._told = 0.0

    async def _say(self) -> None:
        """Keep how it goes where other processes see it; what cannot be kept now is kept later."""
        if not self._consuming or time.monotonic() - self._told < self._pace.telling:
            return
        self._told = time.monotonic()
        try:
            health = self.health
            described = await self._described() if health.reachable else {}
            # A comparison may have ended meanwhile, whose part stays.
            self._status = replace(
                self._status, reachable=health.reachable, growing=health.growing, **self._heard(health), **described
            )
            status = self._status
            await self._store.unit(AGENT, lambda tx: self._keep(tx, status))
        except InteropError as error:
            logger.warning("archive feed %s: its state could not be kept: %s", self.kept.name, error.text)

    def _heard(self, health: FeedHealth) -> dict[str, Any]:
        """When the archive last answered, what went wrong last and when that began."""
        now = _now()
        heard: dict[str, Any] = {"heard_at": now} if health.reachable else {}
        if health.error is not None and health.error != self._status.error:
            heard |= {"error": health.error, "error_at": now}
        return heard

    def _keep(self, tx: Tx, status: ArchiveStatus) -> None:
        self._lease.held(tx)
        write_status(tx, self.kept.name, status)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
