"""Links that may be passed on: they open some studies until their end, or until they are taken back.

The secret stands behind the ``#`` of the address, which no browser sends: it is in no log, no Referer and no history
(the page that takes it removes it). The store keeps a hash of it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from interop.access import Agent
from interop.audit import Event
from interop.auth.codes import CODE
from interop.auth.ended import EndedSessions
from interop.auth.refusals import Refusals
from interop.auth.sessions import VIEWER_SECONDS, Sessions
from interop.errors import ForbiddenError, GoneError, InvalidContentError, NotFoundError
from interop.store import ShareRow, Store, Tx

PAGE = "/viewer/share"
_KEPT = timedelta(days=90)  # that the list goes on showing what has expired


class ShareLinks:
    """Makes the links for the API and opens them for the viewer's door."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        refusals: Refusals,
        ended: EndedSessions,
        *,
        public_url: str,
        most_minutes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._refusals = refusals
        self._ended = ended
        self._public_url = public_url
        self.most_minutes = most_minutes
        self._clock = clock

    def check(self, studies: Sequence[str], minutes: int) -> None:
        """InvalidContentError if the studies do not fit one session, or the link would live for too long.

        ForbiddenError where nothing may be shared.
        """
        if self.most_minutes == 0:
            raise ForbiddenError("sharing is switched off here (INTEROP_SHARE_MAX_MINUTES)")
        self._sessions.check_studies(studies)
        if not 1 <= minutes <= self.most_minutes:
            raise InvalidContentError(
                f"a link is shared for 1 to {self.most_minutes} minutes (INTEROP_SHARE_MAX_MINUTES)"
            )

    def write(
        self, tx: Tx, studies: Sequence[str], *, annotate: bool, minutes: int, label: str | None
    ) -> tuple[ShareRow, str]:
        """A new share of the unit's agent, and its address, which is told this once."""
        secret = secrets.token_urlsafe(32)
        tx.forget_shares(tx.now - _KEPT)
        row = ShareRow(
            id=tx.new_id(),
            who=tx.agent.who,
            studies=tuple(sorted(set(studies))),
            annotate=annotate,
            label=label,
            created=tx.now,
            expires=tx.now + timedelta(minutes=minutes),
        )
        tx.put_share(row, _digest(secret))
        return row, f"{self._public_url}{PAGE}#{secret}"

    def revoke(self, tx: Tx, share: ShareRow) -> None:
        """It opens nothing any more, and every session that it opened has ended; to be followed by ``settle``."""
        tx.revoke_share(share.id)
        self._ended.end_all(tx, whose(share), before=share.expires)

    async def settle(self) -> None:
        """After the commit: this process knows at once, others within a second."""
        await self._ended.refresh()

    async def find(self, secret: str, caller: Agent) -> tuple[ShareRow, Agent]:
        """The share that the secret opens and the viewer who comes by it.

        NotFoundError if there is none, GoneError if it is over; both are written down.
        """
        found = None
        if CODE.fullmatch(secret):
            digest = _digest(secret)
            found = await self._store.view(lambda tx: tx.share_by_digest(digest))
        if found is None:
            await self._refusals.record(caller, "share link: unknown")
            raise NotFoundError("there is no such link; it has to be opened whole, as it was given out")
        viewer = Agent(
            who=whose(found),
            kind="viewer",
            client="viewer",
            address=caller.address,
            studies=frozenset(found.studies),
            request_id=caller.request_id,
        )
        await self._still_good(found, caller)
        return found, viewer

    async def open(self, share: ShareRow, viewer: Agent, cookies: str) -> list[str]:
        """The Set-Cookie values of a session that lasts no longer than the share; GoneError if it is over."""

        def work(tx: Tx) -> tuple[ShareRow | None, float]:
            now = tx.share(share.id)
            if now is not None and now.revoked is None:
                tx.open_share(share.id)
                for uid in share.studies:
                    tx.audit(Event("share", "open", "E", entity=f"urn:oid:{uid}", detail=f"share {share.id}"))
            return now, tx.now.timestamp()

        found, since = await self._store.unit(viewer, work)
        seconds = await self._still_good(found or share, viewer, gone=found is None)
        opens = {"sub": viewer.who, "studies": share.studies, "annotate": share.annotate}
        return self._sessions.viewer_cookies({**opens, "seconds": seconds, "since": since}, cookies)

    async def _still_good(self, share: ShareRow, caller: Agent, *, gone: bool = False) -> int:
        """Seconds that a session of it may last."""
        left = int(share.expires.timestamp() - self._clock())
        over = "was withdrawn" if share.revoked or gone else "has expired" if left < 1 else ""
        if over:
            await self._refusals.record(caller, f"share {share.id} {over}")
            raise GoneError(f"this link {over}; ask whoever sent it for another")
        return min(left, VIEWER_SECONDS)


def whose(share: ShareRow) -> str:
    """As whom its sessions stand in the audit trail."""
    return f"share:{share.id}"


def _digest(secret: str) -> str:
    return hashlib.sha256(f"share:{secret}".encode()).hexdigest()
