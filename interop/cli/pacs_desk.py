"""Where ``interop pacs`` asks: the server that runs, else the database and the archives themselves. Loaded by need."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import httpx

from interop.access import Agent
from interop.archives import OpenArchives
from interop.cli.asking import Shown, ask
from interop.cli.desk import connected, local_user
from interop.errors import UnavailableError
from interop.imaging_api.pacs_routes import Pacs, SyncRequest
from interop.parts import site
from interop.settings import Settings
from interop.store import Store

log = logging.getLogger(__name__)

_SCOPES = ("system/ImagingStudy.us",)


class PacsDesk(Protocol):
    """Where the archives are asked about."""

    async def status(self) -> Shown:
        """As /api/v1/pacs answers."""
        ...

    async def ask(self, name: str, asked: Shown) -> None:
        """Have an archive compared; ConflictError where that is under way."""
        ...

    async def work(self, name: str) -> None:
        """Carry it out, where nobody else does."""
        ...


@asynccontextmanager
async def open_pacs_desk(settings: Settings) -> AsyncIterator[PacsDesk]:
    """The server that runs, else the database itself; UnavailableError where there is neither."""
    async with connected(settings, _SCOPES) as there:
        if not isinstance(there, Store):
            yield _ServersDesk(there)
            return
        archives = OpenArchives(settings)
        try:
            yield _OwnDesk(there, archives, settings)
        finally:
            await archives.close()


class _OwnDesk:
    def __init__(self, store: Store, archives: OpenArchives, settings: Settings) -> None:
        self._store, self._archives, self._settings = store, archives, settings
        self._pacs = Pacs(store, archives.described())
        self._agent = Agent(who=local_user(), kind="user", client="cli", scopes=frozenset(_SCOPES))

    async def status(self) -> Shown:
        return await self._pacs.status(self._agent)

    async def ask(self, name: str, asked: Shown) -> None:
        await self._pacs.sync(self._agent, name, SyncRequest.model_validate(asked))

    async def work(self, name: str) -> None:
        [feed] = [each for each in self._archives.feeds(self._store, site(self._settings)) if each.kept.name == name]
        while True:
            try:
                if await feed.sync_once():
                    return
            except UnavailableError as error:
                log.info("%s", error.text)  # it stands in the row too, where it is shown; tried again
            await asyncio.sleep(1.0)


class _ServersDesk:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def status(self) -> Shown:
        found: Shown = (await ask(self._client, "GET", "/api/v1/pacs")).json()
        return found

    async def ask(self, name: str, asked: Shown) -> None:
        await ask(self._client, "POST", f"/api/v1/pacs/{name}/sync", json=asked)

    async def work(self, name: str) -> None:
        """The server does it."""
