"""Comparisons that somebody has asked for: begun, told about, and gone on with after a restart or a failure."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date

from interop.archive_feed.lease import AGENT
from interop.archive_feed.reconciling import Compared, Reconciliation, Told, Wanted
from interop.errors import UnavailableError
from interop.store import Store, Tx
from interop.workflow.archives import ENDED, SHOWN, Sync, end_sync, read_sync, write_sync

logger = logging.getLogger(__name__)

_TELLING = 0.5  # seconds between what is kept of how far it is
_AGAIN = 5.0  # seconds until one that the archive did not let through is gone on with


class Syncs:
    """Those of one archive. They are found in their row, so that whoever consumes goes on with them."""

    def __init__(
        self, store: Store, archive: str, comparison: Callable[[Told], Reconciliation], comparing: asyncio.Lock
    ) -> None:
        self._store, self._archive = store, archive
        self._comparison, self._comparing = comparison, comparing
        self._not_before = 0.0
        self.task: asyncio.Task[None] | None = None

    async def begin_asked(self) -> None:
        """Begin the one that waits, or that was left unfinished."""
        if self.task is not None or time.monotonic() < self._not_before:
            return
        if await self._waiting() is not None:
            self.task = asyncio.create_task(self._attempt())

    async def carry_out(self) -> None:
        """The same, and wait for its end; UnavailableError where the archive does not answer."""
        sync = await self._waiting()
        if sync is None:
            return
        try:
            await self._compare(sync)
        except UnavailableError as error:
            await self._keep(sync, error=error.text)
            raise

    async def _waiting(self) -> Sync | None:
        sync = await self._store.view(lambda tx: read_sync(tx, self._archive))
        return None if sync is None or sync.state in ENDED else sync

    async def _attempt(self) -> None:
        try:
            await self.carry_out()
        except UnavailableError as error:
            logger.warning("comparison of %s: %s; it goes on when that is over", self._archive, error.text)
            self._not_before = time.monotonic() + _AGAIN
        except Exception as error:
            logger.exception("comparison of %s", self._archive)
            text = type(error).__name__
            await self._store.unit(AGENT, lambda tx: end_sync(tx, self._archive, error=text))
        finally:
            self.task = None

    async def _compare(self, sync: Sync) -> None:
        told_at = 0.0

        async def told(found: Compared) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > _TELLING:
                told_at = time.monotonic()
                await self._keep(_further(sync, found))

        wanted = Wanted(date.fromisoformat(sync.since) if sync.since else None, sync.after, sync.dry_run)
        async with self._comparing:
            found = await self._comparison(told).run(wanted)

        def end(tx: Tx) -> None:
            write_sync(tx, self._archive, _further(sync, found))
            end_sync(tx, self._archive)

        await self._store.unit(AGENT, end)

    async def _keep(self, sync: Sync, *, error: str | None = None) -> None:
        def work(tx: Tx) -> None:
            held = read_sync(tx, self._archive) if error is not None else None
            write_sync(tx, self._archive, replace(held or sync, error=error))

        await self._store.unit(AGENT, work)


def _further(sync: Sync, found: Compared) -> Sync:
    """What was kept, and what this attempt has found since."""
    return replace(
        sync,
        state="running",
        after=found.after or sync.after,
        done=found.done,
        total=found.total,
        differing=sync.differing + found.differing,
        mended=sync.mended + len(found.mended),
        gone=sync.gone + found.gone,
        elsewhere=sync.elsewhere + found.elsewhere,
        named=(*sync.named, *found.named)[:SHOWN],
        error=None,
    )
