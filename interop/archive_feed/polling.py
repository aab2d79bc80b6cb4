"""The feed of an archive without a list of changes: its newest studies are looked at again and again.

What is new or has grown shows in the rows of a search: a study that is not known here, or with other counts. Studies
older than that are looked at by a comparison of everything, which takes longer and comes less often.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from interop.archive_feed.consuming import Feed, Kept, Pace, Register
from interop.archive_feed.qido_stock import PlainArchive, QidoStock
from interop.archive_feed.reconciling import known_holdings
from interop.errors import UnavailableError
from interop.store import Store
from interop.workflow.site import Site

_STEP = 1.0  # seconds between looks at the lease and at what was asked for


class QidoFeed(Feed):
    """Looks at the studies of the last days every so many seconds."""

    def __init__(
        self,
        store: Store,
        site: Site,
        archive: PlainArchive,
        register: Register,
        *,
        kept: Kept,
        poll_key: str = "StudyDate",
        poll_days: int = 2,
        poll_seconds: float = 30.0,
        compare_seconds: float = 86400.0,
        page: int = 100,
        named: bool = True,
        pace: Pace | None = None,
        owner: str | None = None,
    ) -> None:
        self._newest = QidoStock(archive, site.zone, page=page, named=named, held=self._patient_of)
        super().__init__(store, site, register, self._newest, kept=kept, pace=pace, owner=owner)
        self._key, self._days = poll_key, poll_days
        self._poll_seconds, self._compare_seconds = poll_seconds, compare_seconds
        self._polled = self._compared = float("-inf")

    async def _begin(self, cursor: int | None) -> None:
        self._compared = float("-inf")  # what was there before is found by comparison

    def _forget(self) -> None:
        self._polled = float("-inf")  # what the other process saw is looked at again

    async def _turn(self) -> float:
        now = time.monotonic()
        if now - self._polled >= self._poll_seconds:
            try:
                await self._poll()
            except UnavailableError:
                self._note(reachable=False)
                raise
            self._polled = now
            self._note(reachable=True)
        if now - self._compared >= self._compare_seconds and self._compare_soon():
            self._compared = now
        return min(_STEP, self._poll_seconds)

    async def _poll(self) -> None:
        async for uid, there in self._newest.matching([(self._key, f"{self._since()}-")]):
            known, holder = await self._store.view(
                lambda tx, uid=uid: (known_holdings(tx, uid), tx.archive_of_study(uid))  # type: ignore[misc]
            )
            if not self.kept.foreign(holder) and (holder is None or there.differs(known)):
                await self._mend(uid)

    def _since(self) -> str:
        """From when on: a day, or an instant for a key that is one."""
        day = datetime.now(UTC).astimezone(self._site.zone) - timedelta(days=self._days)
        return f"{day:%Y%m%d}000000" if self._key.endswith("DateTime") else f"{day:%Y%m%d}"

    def _comparison_failed(self) -> None:
        self._compared = time.monotonic() - self._compare_seconds + 60.0

    async def _described(self) -> dict[str, Any]:
        return {"cursor": self._since(), "studies": self._status.compared_studies}
