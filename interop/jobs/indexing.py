"""Bringing the search index up to what this version looks for, in bites that hold nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from logging import getLogger

from interop.access.agent import system_agent
from interop.errors import UnavailableError
from interop.store import Progress, Store

logger = getLogger(__name__)

_AGENT = system_agent("search-index")
BITE = 100  # resources in one commit
_AGAIN = 30.0  # seconds, where the database does not answer


async def reindex(
    store: Store, *, anew: bool = False, told: Callable[[Progress], None] | None = None, pause: float = 0.0
) -> int:
    """Index what was stored before the index was to hold what it holds now; how many resources were gone through.

    ``anew``: all of them, whatever is known. ``told`` hears of each bite; ``pause`` seconds are left between them.
    """
    progress = await store.unit(_AGENT, lambda tx: tx.begin_index(anew=anew))
    seen = 0
    while not progress.complete:
        before = progress.done
        progress = await store.unit(_AGENT, lambda tx: tx.index_bite(BITE))
        seen += progress.done - before
        if told is not None:
            told(progress)
        await asyncio.sleep(pause)
    return seen


async def keep_indexed(store: Store) -> None:
    """Do so once, at the start, and then rest for ever."""
    while True:
        try:
            if await reindex(store, pause=0.01):
                logger.info("the search index holds all that this version looks for")
            break
        except UnavailableError as error:
            logger.warning("the search index is not complete yet: %s", error.text)
        await asyncio.sleep(_AGAIN)
    await asyncio.Event().wait()
