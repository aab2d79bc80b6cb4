"""The archive's holdings compared with ours: what its changes did not tell.

Deletions leave no change behind, an archive may be replaced, and with a database of its own several writers may show
changes out of order. So all studies are compared from time to time, page by page, and each that differs is read anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Protocol

from interop.dicom.study import StudyFacts
from interop.store import Store, Tx

_SLICE = 100  # studies of ours in one view, so that the loop is not held up
_GONE = ("cancelled", "entered-in-error")
_NAMED = 50


@dataclass(frozen=True, slots=True)
class Holdings:
    """How much of a study there is, and whose it is. None where the archive does not say."""

    instances: int | None
    series: int | None
    patient: str | None  # PatientID

    def differs(self, known: Holdings | None) -> bool:
        """Whether what we know of the study is not this."""
        if known is None:
            return True
        pairs = ((self.instances, known.instances), (self.series, known.series), (self.patient, known.patient))
        return any(stated is not None and stated != ours for stated, ours in pairs)


class Stock(Protocol):
    """What an archive has."""

    def studies(self, since: date | None = None) -> AsyncIterator[tuple[str, Holdings]]:
        """All its studies, or those of that day and later; one UID may come several times."""
        ...

    async def whole(self, study_uid: str) -> StudyFacts | None:
        """Everything it has of a study; None where it has nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which comparison: of all studies, or those of a day and later; from one UID on; only to look."""

    since: date | None = None
    after: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found, or has found so far."""

    studies: int
    mended: tuple[str, ...]
    seconds: float
    done: int = 0
    total: int = 0
    differing: int = 0
    gone: int = 0
    elsewhere: int = 0
    after: str = ""
    named: tuple[str, ...] = field(default=())


Told = Callable[[Compared], Awaitable[None]]


class Reconciliation:
    """One comparison; ``mend`` is called for every StudyInstanceUID that differs, and says whether that changed it."""

    def __init__(
        self,
        store: Store,
        stock: Stock,
        archive: str,
        *,
        growing: Callable[[str], bool],
        mend: Callable[[str], Awaitable[bool]],
        foreign: Callable[[str | None], bool] = lambda holder: False,
        told: Told | None = None,
    ) -> None:
        """``foreign`` says of a holder's name whether it is another archive; ``told`` hears how far it is."""
        self._store, self._stock, self._archive = store, stock, archive
        self._growing, self._mend, self._foreign, self._told = growing, mend, foreign, told
        self._began = time.monotonic()
        self._found = Compared(0, (), 0.0)

    async def run(self, wanted: Wanted | None = None) -> Compared:
        """Compare; studies that grow just now are left alone."""
        wanted = wanted or Wanted()
        there: dict[str, Holdings] = {}
        async for uid, holdings in self._stock.studies(wanted.since):
            # One UID under several patients is several studies there, and one here.
            before = there.get(uid)
            there[uid] = holdings if before is None else _together(before, holdings)
        ours = await self._placed(wanted.since)
        uids = sorted(uid for uid in there.keys() | ours if uid > wanted.after)
        total = len(there.keys() | ours)
        self._note(studies=len(there), total=total, done=total - len(uids))
        for uid in uids:
            await self._one(uid, there.get(uid), dry_run=wanted.dry_run)
            self._note(done=self._found.done + 1, after=uid)
            if self._told is not None:
                await self._told(self._found)
            await asyncio.sleep(0)
        return self._found

    async def _one(self, uid: str, there: Holdings | None, *, dry_run: bool) -> None:
        known, holder = await self._store.view(lambda tx: (known_holdings(tx, uid), tx.archive_of_study(uid)))
        if self._foreign(holder):
            self._note(elsewhere=self._found.elsewhere + (there is not None))
            return
        differs = holder is not None or known is not None if there is None else there.differs(known) or holder is None
        if not differs or self._growing(uid):
            return
        found = self._found
        self._note(differing=found.differing + 1, gone=found.gone + (there is None), named=(*found.named, uid)[:_NAMED])
        if not dry_run and await self._mend(uid):
            self._note(mended=(*self._found.mended, uid))

    async def _placed(self, since: date | None) -> set[str]:
        """The studies that we think the archive has; of that day and later if one is named."""
        found: set[str] = set()
        after = ""
        while page := await self._store.view(lambda tx, after=after: _page(tx, self._archive, after, since)):  # type: ignore[misc]
            found |= {uid for uid, meant in page if meant}
            after = page[-1][0]
            await asyncio.sleep(0)
        return found

    def _note(self, **changes: Any) -> None:
        self._found = replace(self._found, seconds=time.monotonic() - self._began, **changes)


def _page(tx: Tx, archive: str, after: str, since: date | None) -> list[tuple[str, bool]]:
    uids = tx.placed_studies(archive, after=after, limit=_SLICE)
    return [(uid, since is None or _begun(tx, uid) >= since.isoformat()) for uid in uids]


def _begun(tx: Tx, uid: str) -> str:
    """The day of the study; of one that nobody dated none is late enough."""
    stored = tx.study(uid)
    return str(stored.resource().get("started", ""))[:10] if stored is not None else ""


def _together(one: Holdings, other: Holdings) -> Holdings:
    def added(a: int | None, b: int | None) -> int | None:
        return None if a is None or b is None else a + b

    return Holdings(added(one.instances, other.instances), added(one.series, other.series), None)


def identity_row(study_uid: str) -> str:
    """Where the PatientID that a study was last registered with is kept."""
    return f"archive-feed:{study_uid}"


def known_holdings(tx: Tx, uid: str) -> Holdings | None:
    """What we have of a study; None where we have nothing of it, or no longer."""
    stored = tx.study(uid)
    resource = stored.resource() if stored is not None else {}
    if resource.get("status", _GONE[0]) in _GONE:
        return None
    patient = tx.get_state(identity_row(uid))
    return Holdings(int(resource.get("numberOfInstances", 0)), int(resource.get("numberOfSeries", 0)), patient)
