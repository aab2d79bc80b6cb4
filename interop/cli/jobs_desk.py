"""Where ``interop jobs`` asks: the server that runs, else the database itself. Loaded by need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import httpx

from interop.access import Agent
from interop.cli.asking import Shown, ask
from interop.cli.desk import connected, local_user
from interop.jobs_api import DeadJobs
from interop.settings import Settings
from interop.store import Store

_SCOPES = ("system/*.uds",)
_PLACE = "/api/v1/jobs"


class JobsDesk(Protocol):
    """Where dead letters are listed, and something is done about them."""

    async def list(self, words: Mapping[str, str]) -> Shown:
        """As /api/v1/jobs answers; InvalidContentError for words that ask nothing."""
        ...

    async def act(self, verb: str, id: int) -> Shown:
        """The job after retry or drop; an InteropError where it is not to be."""
        ...


@asynccontextmanager
async def open_jobs_desk(settings: Settings) -> AsyncIterator[JobsDesk]:
    """The server that runs, else the database itself; UnavailableError where there is neither."""
    async with connected(settings, _SCOPES) as there:
        yield _OwnDesk(there) if isinstance(there, Store) else _ServersDesk(there)


class _OwnDesk:
    def __init__(self, store: Store) -> None:
        self._dead = DeadJobs(store)
        self._agent = Agent(who=local_user(), kind="user", client="cli", scopes=frozenset(_SCOPES))

    async def list(self, words: Mapping[str, str]) -> Shown:
        return await self._dead.list(self._agent, words)

    async def act(self, verb: str, id: int) -> Shown:
        return await self._dead.act(verb, self._agent, id)


class _ServersDesk:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def list(self, words: Mapping[str, str]) -> Shown:
        found: Shown = (await ask(self._client, "GET", _PLACE, params=words)).json()
        return found

    async def act(self, verb: str, id: int) -> Shown:
        found: Shown = (await ask(self._client, "POST", f"{_PLACE}/{id}/{verb}")).json()
        return found
