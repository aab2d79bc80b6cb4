"""Sessions that were ended before their time, as this process knows them.

A cookie's content is signed and good until its end, whoever holds it; what calls it back is a row in the database. A
process asks for new rows when a cookie comes and the last answer is a second old, so an idle one asks for nothing, and
after a commit of its own at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from interop.auth.codes import SECONDS
from interop.auth.sessions import CONSOLE_SECONDS, VIEWER_SECONDS
from interop.errors import UnavailableError
from interop.store import SessionEnd, Store, Tx

FRESH_SECONDS = 1.0  # how old an answer may be while the database gives others
_BLIND_SECONDS = 10.0  # … and while it does not; then no cookie is taken any more
# A session of a launch link that was made in time, and redeemed at its last moment.
_LONGEST = timedelta(seconds=max(VIEWER_SECONDS, CONSOLE_SECONDS) + SECONDS)


class EndedSessions:
    """Tells whether a session was ended; ends sessions."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._asked = float("-inf")  # when what is known here was asked for
        self._tried = float("-inf")
        self._seen = 0
        self._ended: dict[str, tuple[float, float]] = {}  # by name: begun until then; to be kept until then
        self._asking = asyncio.Lock()

    def covers(self, claims: Mapping[str, Any]) -> bool:
        """Whether the session with these claims was ended, as far as is known here."""
        if not self._ended:
            return False
        begun = float(claims.get("since") or claims["iat"])
        for name in (_of(str(claims["sub"])), _one(str(claims["jti"]))):
            found = self._ended.get(name)
            if found is not None and begun <= found[0]:
                return True
        return False

    async def look(self) -> None:
        """Returns when what is known is a second old at most; UnavailableError if nothing is known for too long."""
        if self._monotonic() - self._asked < FRESH_SECONDS:
            return
        async with self._asking:  # of many that come at once one asks
            if self._monotonic() - self._tried < FRESH_SECONDS:
                self._not_blind()
                return
            try:
                await self._ask()
            except UnavailableError:
                self._not_blind()

    def _not_blind(self) -> None:
        if self._monotonic() - self._asked > _BLIND_SECONDS:
            raise UnavailableError("whether the session was ended cannot be told at the moment", retry_after=10)

    async def refresh(self) -> None:
        """Ask now, after a commit that ended sessions."""
        async with self._asking:
            await self._ask()

    async def _ask(self) -> None:
        seen = self._seen
        self._tried = asked = self._monotonic()
        found: list[SessionEnd] = await self._store.view(lambda tx: tx.session_ends(seen))
        self._asked = asked
        if not found:
            return
        now = self._clock()
        self._seen = found[-1].seq
        self._ended = {name: kept for name, kept in self._ended.items() if kept[1] > now}
        for one in found:
            before, until = self._ended.get(one.name, (0.0, 0.0))
            if one.until.timestamp() > now:
                self._ended[one.name] = max(before, one.before.timestamp()), max(until, one.until.timestamp())

    # what a unit of work ends; to be followed by refresh()

    @staticmethod
    def end_all(tx: Tx, who: str, *, before: datetime | None = None) -> None:
        """Every session of this person that began until now, or until ``before``, and what pending links would open."""
        begun = before or tx.now
        tx.end_sessions(_of(who), before=begun, until=begun + _LONGEST)

    @staticmethod
    def end_one(tx: Tx, session_id: str) -> None:
        """The session of this id (``jti``)."""
        longest = tx.now + _LONGEST
        tx.end_sessions(_one(session_id), before=longest, until=longest)


def _of(who: str) -> str:
    return f"who:{who}"


def _one(session_id: str) -> str:
    return f"session:{session_id}"
