"""The archive's holdings compared with ours: what its changes did not tell.

Deletions leave no change behind, an archive may be replaced, and with a database of its own several writers may show
changes out of order. So all studies are compared from time to time, page by page, and each that differs is read anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from interop.archive_feed.reading import Archive
from interop.fhir.query import Clause, Query, TokenValue
from interop.store import Store, Tx

logger = logging.getLogger(__name__)

STUDY_UID_SYSTEM = "urn:dicom:uid"
_PAGE = 100  # studies of the archive in one request
_SLICE = 20  # studies of ours in one view, so that the loop is not held up
_GONE = ("cancelled", "entered-in-error")


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found."""

    studies: int
    mended: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Holdings:
    """How much of a study there is, and whose it is."""

    instances: int
    series: int
    patient: str | None  # PatientID; None where it cannot be said

    def differs(self, known: Holdings | None) -> bool:
        """Whether what we know of the study is not this."""
        if known is None or (known.instances, known.series) != (self.instances, self.series):
            return True
        return self.patient is not None and known.patient != self.patient


class Reconciliation:
    """One comparison; ``mend`` is called for every StudyInstanceUID that differs."""

    def __init__(
        self,
        store: Store,
        archive: Archive,
        *,
        growing: Collection[str] | Callable[[str], bool],
        mend: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._store = store
        self._archive = archive
        self._growing = growing if callable(growing) else growing.__contains__
        self._mend = mend

    async def run(self) -> Compared:
        """Compare all studies; those that grow just now are left alone."""
        began = time.monotonic()
        there: dict[str, Holdings] = {}
        async for uid, holdings in self._archived():
            # One UID under several patients is several studies there, and one here.
            before = there.get(uid)
            there[uid] = holdings if before is None else _together(before, holdings)
        mended: list[str] = []
        for uid, holdings in there.items():
            known = await self._store.view(lambda tx, uid=uid: known_holdings(tx, uid))  # type: ignore[misc]
            if holdings.differs(known) and not self._growing(uid) and await self._mend(uid):
                mended.append(uid)
            await asyncio.sleep(0)
        async for uid in self._ours():
            if uid not in there and not self._growing(uid) and await self._mend(uid):
                mended.append(uid)
        return Compared(len(there), tuple(mended), time.monotonic() - began)

    async def _archived(self) -> AsyncIterator[tuple[str, Holdings]]:
        since = 0
        while page := await self._archive.list_resources("studies", since, _PAGE):
            since += len(page)
            counts: dict[str, tuple[int, int]] = {}
            for series in await self._archive.resources([study["ID"] for study in page], "Series"):
                instances, number = counts.get(series["ParentStudy"], (0, 0))
                counts[series["ParentStudy"]] = (instances + len(series["Instances"]), number + 1)
            for study in page:
                uid = study["MainDicomTags"].get("StudyInstanceUID", "").strip()
                patient = study["PatientMainDicomTags"].get("PatientID", "").strip()
                if study["ID"] in counts:  # a study without series is being deleted
                    yield uid, Holdings(*counts[study["ID"]], patient)

    async def _ours(self) -> AsyncIterator[str]:
        after: str | None = None
        while True:
            query = Query("ImagingStudy", _SHOWN, count=_SLICE, after=after)
            page = await self._store.view(lambda tx, query=query: tx.search(query))  # type: ignore[misc]
            for stored in page.rows:
                uid = study_uid(stored.resource())
                if uid is not None:
                    yield uid
            after = page.next
            if after is None:
                return
            await asyncio.sleep(0)


_SHOWN = (Clause("status", "token", tuple(TokenValue(None, code) for code in ("available", "registered", "unknown"))),)


def _together(one: Holdings, other: Holdings) -> Holdings:
    return Holdings(one.instances + other.instances, one.series + other.series, None)


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


def study_uid(resource: dict[str, Any]) -> str | None:
    """The StudyInstanceUID of an ImagingStudy."""
    for identifier in resource.get("identifier", ()):
        if identifier.get("system") == STUDY_UID_SYSTEM:
            return str(identifier.get("value", "")).removeprefix("urn:oid:") or None
    return None
