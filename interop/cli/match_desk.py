"""Where ``interop match`` asks: the server that runs, else the database itself. Loaded by need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import httpx

from interop.access import Agent
from interop.cli.asking import Shown, ask
from interop.cli.desk import connected, local_user
from interop.imaging_api import Matching
from interop.parts import site
from interop.settings import Settings
from interop.store import Store

_SCOPES = ("system/ImagingStudy.rus", "system/ServiceRequest.rus", "system/Patient.u")
_POSTED = {"resolve": "match", "undo": "unmatch", "merge": "merge"}


class MatchDesk(Protocol):
    """Where the list is read and decisions are made."""

    async def list(self, *, before: int | None, limit: int) -> Shown:
        """One page of the list."""
        ...

    async def act(self, verb: str, uid: str, order: str | None = None, *, correct: bool = False) -> Shown:
        """What came of show, resolve, undo or merge; an InteropError where it is not to be."""
        ...


@asynccontextmanager
async def open_match_desk(settings: Settings) -> AsyncIterator[MatchDesk]:
    """The server that runs, else the database itself; UnavailableError where there is neither."""
    async with connected(settings, _SCOPES) as there:
        yield _OwnDesk(Matching(there, site(settings))) if isinstance(there, Store) else _ServersDesk(there)


class _OwnDesk:
    def __init__(self, matching: Matching) -> None:
        self._matching = matching
        self._agent = Agent(who=local_user(), kind="user", client="cli", scopes=frozenset(_SCOPES))

    async def list(self, *, before: int | None, limit: int) -> Shown:
        return await self._matching.list(self._agent, before=before, limit=limit)

    async def act(self, verb: str, uid: str, order: str | None = None, *, correct: bool = False) -> Shown:
        if verb == "resolve":
            return await self._matching.resolve(self._agent, uid, order or "", correct=correct)
        acts = {"show": self._matching.show, "undo": self._matching.undo, "merge": self._matching.merge}
        return await acts[verb](self._agent, uid)


class _ServersDesk:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def list(self, *, before: int | None, limit: int) -> Shown:
        words = {"limit": str(limit)} | ({"before": str(before)} if before is not None else {})
        return _body(await ask(self._client, "GET", "/api/v1/imaging/unmatched", params=words))

    async def act(self, verb: str, uid: str, order: str | None = None, *, correct: bool = False) -> Shown:
        path = f"/api/v1/imaging/studies/{uid}/{_POSTED.get(verb, 'match')}"
        if verb == "resolve":
            wanted = {"order": order} | ({"correct": True} if correct else {})
            return _body(await ask(self._client, "POST", path, json=wanted))
        return _body(await ask(self._client, "GET" if verb == "show" else "POST", path))


def _body(answer: httpx.Response) -> Shown:
    found: Shown = answer.json()
    return found
