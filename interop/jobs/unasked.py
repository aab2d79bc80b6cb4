"""What receivers say over our connections beside their replies: application acknowledgements of enhanced mode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from logging import getLogger

from interop.access.agent import Agent
from interop.errors import UnavailableError
from interop.hl7.acknowledgement import is_answer
from interop.store import Store
from interop.workflow import stray_answers
from interop.workflow.site import Site

logger = getLogger(__name__)


class UnaskedAnswers:
    """Takes them as the listener takes those that come in there (v2.5.1 2.9.3)."""

    def __init__(self, store: Store, site: Site) -> None:
        self._store = store
        self._site = site
        self._taking: set[asyncio.Task[None]] = set()

    def __call__(self, receiver: str, raw: bytes, say: Callable[[bytes], None]) -> None:
        """Keep what a receiver said and do what it says; ``say`` writes to the same connection."""
        task = asyncio.ensure_future(self._take(receiver, raw, say))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def close(self) -> None:
        """Until all that came is taken."""
        await asyncio.gather(*self._taking)

    async def _take(self, receiver: str, raw: bytes, say: Callable[[bytes], None]) -> None:
        if not is_answer(raw):
            logger.warning("%s sent a message over our connection to it: it has to be sent to the listener", receiver)
            return
        agent = Agent(who=receiver, kind="peer", client="mllp")
        try:
            reply = await self._store.unit(agent, lambda tx: stray_answers.keep(tx, self._site, raw, receiver))
        except UnavailableError as error:
            logger.error("an acknowledgement from %s could not be kept: %s", receiver, error.text)
            return
        if reply:
            say(reply)
