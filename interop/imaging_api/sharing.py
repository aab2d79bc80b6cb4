"""Links to studies that may be passed on: made, listed and taken back, each act with its trace in the same commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from interop.access import Agent, decide
from interop.audit import Event
from interop.errors import ForbiddenError, NotFoundError
from interop.imaging_api.launcher import Launcher, patient_of
from interop.store import ShareRow, Store, Tx

Shown = dict[str, Any]
DEFAULT_MINUTES = 24 * 60


class ShareLinks(Protocol):
    """Makes the links, and takes them back."""

    most_minutes: int

    def check(self, studies: Sequence[str], minutes: int) -> None: ...
    def write(
        self, tx: Tx, studies: Sequence[str], *, annotate: bool, minutes: int, label: str | None
    ) -> tuple[ShareRow, str]: ...
    def revoke(self, tx: Tx, share: ShareRow) -> None: ...
    async def settle(self) -> None: ...


class Sharing:
    """What the routes and the command line do; all answers are ready for JSON."""

    def __init__(self, store: Store, launcher: Launcher, links: ShareLinks) -> None:
        self._store = store
        self._launcher = launcher
        self._links = links

    async def create(
        self,
        agent: Agent,
        *,
        studies: Sequence[str] | None = None,
        accession: str | None = None,
        annotate: bool = False,
        minutes: int | None = None,
        label: str | None = None,
    ) -> Shown:
        """A new share with its address, which is shown this once.

        The agent has to be allowed what the link allows: see Launcher.entitled, whose errors are raised here.
        """
        uids = list(dict.fromkeys(studies or await self._launcher.studies_of(agent, accession or "")))
        minutes = min(DEFAULT_MINUTES, self._links.most_minutes) if minutes is None else minutes
        self._links.check(uids, minutes)
        patients = await self._launcher.entitled(agent, uids, annotate=annotate)

        def work(tx: Tx) -> Shown:
            row, url = self._links.write(tx, uids, annotate=annotate, minutes=minutes, label=label)
            for uid, patient in patients.items():
                tx.audit(Event("share", "create", "C", "0", patient, f"urn:oid:{uid}", detail=f"share {row.id}"))
            return {"id": row.id, "url": url, **_shown(row, tx.now)}

        made: Shown = await self._store.unit(agent, work)
        return made

    async def list(self, agent: Agent, *, before: str | None = None, limit: int = 50) -> Shown:
        """One page of the agent's own shares, newest first; of all, where the agent has u on ImagingStudy."""
        who = None if _governs(agent) else agent.who

        def work(tx: Tx) -> Shown:
            tx.audit(Event("share", "list", "E", query=f"before={before or ''}&limit={limit}"))
            rows = tx.shares(who, before=before, limit=limit + 1)
            shown = [_shown(row, tx.now) for row in rows[:limit]]
            return {"shares": shown, "next": shown[-1]["id"] if len(rows) > limit else None}

        found: Shown = await self._store.unit(agent, work)
        return found

    async def revoke(self, agent: Agent, id: str) -> Shown:
        """The share opens nothing any more and what it opened has ended, when this returns.

        NotFoundError where there is none of this id that the agent may take back; one that is over stays so.
        """
        governs = _governs(agent)

        def work(tx: Tx) -> Shown:
            share = tx.share(id)
            if share is None or not (governs or share.who == agent.who):
                raise NotFoundError("there is no share of this id")
            if share.revoked is None:
                self._links.revoke(tx, share)
                _trace(tx, share, "revoke", lambda uid: patient_of(tx, uid))
            return _shown(tx.share(id) or share, tx.now)

        done: Shown = await self._store.unit(agent, work)
        await self._links.settle()
        return done


def _trace(tx: Tx, share: ShareRow, verb: str, patient: Callable[[str], str | None]) -> None:
    for uid in share.studies:
        tx.audit(Event("share", verb, "U", "0", patient(uid), f"urn:oid:{uid}", detail=f"share {share.id}"))


def _governs(agent: Agent) -> bool:
    try:
        decide(agent, "u", "ImagingStudy")
    except ForbiddenError:
        return False
    return True


def _shown(row: ShareRow, now: datetime) -> Shown:
    state = "revoked" if row.revoked else "expired" if row.expires <= now else "open"
    return {
        "id": row.id,
        "by": row.who,
        "studies": list(row.studies),
        "annotate": row.annotate,
        "label": row.label,
        "state": state,
        "created": _time(row.created),
        "expires": _time(row.expires),
        "revoked": _time(row.revoked),
        "openings": row.openings,
        "opened": _time(row.opened),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
