"""One-time URLs that open a viewer session for exactly some studies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from interop.access import Agent
from interop.audit import Event
from interop.auth import codes
from interop.auth.refusals import Refusals
from interop.auth.sessions import MAX_STUDIES, Sessions
from interop.errors import GoneError, UnauthenticatedError
from interop.store import Store, Tx

_PURPOSE = "viewer"


class ViewerLinks:
    """Makes the links for the launcher and redeems them for the viewer's door."""

    seconds = codes.SECONDS
    most = MAX_STUDIES

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        refusals: Refusals,
        *,
        public_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._refusals = refusals
        self._public_url = public_url
        self._clock = clock

    def check(self, studies: Sequence[str]) -> None:
        """InvalidContentError if the studies do not fit one session."""
        self._sessions.check_studies(studies)

    def write(self, tx: Tx, studies: Sequence[str], *, annotate: bool = False) -> str:
        """The URL for the unit's agent and these studies; good once the unit is committed, for sixty seconds."""
        since = tx.now.timestamp()
        opens = {"sub": tx.agent.who, "studies": sorted(set(studies)), "annotate": annotate, "since": since}
        return f"{self._public_url}/viewer/open/{codes.make(tx, _PURPOSE, opens, now=self._clock())}"

    async def redeem(
        self, code: str, caller: Agent, cookies: str, *, in_frame: bool = False
    ) -> tuple[list[str], list[str]]:
        """The studies that the code opens and the Set-Cookie values that open them; GoneError if it is spent."""

        def work(tx: Tx) -> dict[str, Any]:
            tx.audit(Event("login", "login", "E", entity=f"urn:oid:{opens['studies'][0]}"))
            return codes.redeem(tx, _PURPOSE, code, now=self._clock())

        try:
            opens = await self._store.view(lambda tx: codes.peek(tx, _PURPOSE, code, now=self._clock()))
            viewer = replace(caller, who=opens["sub"], kind="viewer", client="viewer")
            opens = await self._store.unit(viewer, work)
        except UnauthenticatedError as error:
            await self._refusals.record(caller, f"viewer link: {error.text}")
            raise GoneError(error.text, issue_code="expired") from error
        return opens["studies"], self._sessions.viewer_cookies(opens, cookies, in_frame=in_frame)
