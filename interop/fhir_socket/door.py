"""The door itself: who may have how many sockets, and one look for all of them at what has happened.

The database is asked, a few times in a second and only while something is bound here, how the subscriptions stand. So
an event that another process noticed reaches a socket of this one, on either engine.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from logging import getLogger
from traceback import format_tb

from starlette.types import Receive, Scope, Send

from interop.access import Agent
from interop.errors import InteropError, UnauthenticatedError, UnavailableError
from interop.fhir_socket.conversation import MISTAKE, Conversation, Limits
from interop.fhir_socket.letters import Bindings, Letters
from interop.store import Store
from interop.workflow import subscriptions

__all__ = ["Limits", "SubscriptionSockets"]

logger = getLogger(__name__)

LOOK_SECONDS = 0.25
LIMITS = Limits()


class SubscriptionSockets:
    """The ASGI application at the websocket's address; the gate before it has said who connects."""

    def __init__(self, store: Store, bindings: Bindings, base_url: str, *, limits: Limits | None = None) -> None:
        self._store = store
        self._letters = Letters(store, bindings, base_url)
        self._limits = limits or LIMITS
        self._of_caller: Counter[tuple[str, str | None]] = Counter()
        self._conversations: set[Conversation] = set()
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One socket; an InteropError for who may have no more."""
        agent = scope.get("state", {}).get("agent")
        if not isinstance(agent, Agent):
            raise UnauthenticatedError()
        caller = agent.who, agent.client
        if len(self._conversations) >= self._limits.sockets:
            raise UnavailableError("there are as many websockets as there may be", retry_after=30)
        if self._of_caller[caller] >= self._limits.sockets_of_caller:
            text = f"a caller has at most {self._limits.sockets_of_caller} websockets"
            raise InteropError(text, status=429, issue_code="throttled")
        conversation = Conversation(self._letters, agent, receive, send, self._limits, began=self._look)
        self._conversations.add(conversation)
        self._of_caller[caller] += 1
        try:
            await conversation.run()
        except Exception as error:  # its text may hold what was sent, so only its kind and place are logged
            logger.error("a websocket failed: %s\n%s", type(error).__name__, "".join(format_tb(error.__traceback__)))
            await send({"type": "websocket.close", "code": MISTAKE, "reason": "this server made a mistake"})
        finally:
            self._conversations.discard(conversation)
            self._of_caller[caller] -= 1
            if not self._of_caller[caller]:
                del self._of_caller[caller]

    def _look(self) -> None:
        """See to it that somebody looks."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking(), name="websockets")

    async def _keep_looking(self) -> None:
        """Until nothing is bound here any more."""
        while any(id for conversation in self._conversations for id in conversation.bound):
            try:
                stands = await self._store.view(subscriptions.stands)
            except UnavailableError as error:
                logger.warning("not known what subscribers are to be told: %s", error.text)
            else:
                for conversation in self._conversations:
                    conversation.look(stands)
            await asyncio.sleep(LOOK_SECONDS)
