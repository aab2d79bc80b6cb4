"""Where ``interop pacs`` asks: the server that runs, else the database and the archives themselves. Loaded by need."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx

from interop.access import Agent
from interop.archives import OpenArchives
from interop.cli.desk import connected, local_user
from interop.errors import ConflictError, InvalidContentError, NotFoundError, UnavailableError
from interop.imaging_api.pacs_routes import Pacs, SyncRequest
from interop.parts import site
from interop.settings import Settings
from interop.store import Store

log = logging.getLogger(__name__)

Shown = dict[str, Any]

_SCOPES = ("system/ImagingStudy.us",)
_REFUSALS = {400: InvalidContentError, 404: NotFoundError, 409: ConflictError}


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
        return await self._asked("GET", "/api/v1/pacs")

    async def ask(self, name: str, asked: Shown) -> None:
        await self._asked("POST", f"/api/v1/pacs/{name}/sync", json=asked)

    async def work(self, name: str) -> None:
        """The server does it."""

    async def _asked(self, method: str, path: str, **more: Any) -> Shown:
        try:
            answer = await self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise UnavailableError(f"the server went away: {type(error).__name__}") from error
        if answer.is_success:
            found: Shown = answer.json()
            return found
        refusal = _REFUSALS.get(answer.status_code)
        if refusal is not None:
            raise refusal(str(answer.json().get("detail", "refused")))
        raise UnavailableError(
            f"{self._client.base_url} answers with {answer.status_code}: is INTEROP_DATA_DIR that of its server?"
        )
