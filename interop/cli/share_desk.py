"""Where ``interop share`` asks: the server that runs, else the database and the archives themselves. Loaded by need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import httpx

from interop.access import Agent
from interop.archives import OpenArchives
from interop.auth import Keys
from interop.cli.asking import Shown, ask
from interop.cli.desk import connected, local_user
from interop.http_app import sharing
from interop.imaging_api import Sharing
from interop.settings import Settings
from interop.store import Store

_SCOPES = ("system/ImagingStudy.crus",)
_PLACE = "/api/v1/share"


class ShareDesk(Protocol):
    """Where links are made, listed and taken back."""

    async def create(self, asked: Shown) -> Shown:
        """As POST /api/v1/share answers."""
        ...

    async def list(self, *, before: str | None, limit: int) -> Shown:
        """One page of all of them."""
        ...

    async def revoke(self, id: str) -> None:
        """Take it back; NotFoundError where there is none of this id."""
        ...


@asynccontextmanager
async def open_share_desk(settings: Settings) -> AsyncIterator[ShareDesk]:
    """The server that runs, else the database itself; UnavailableError where there is neither."""
    async with connected(settings, _SCOPES) as there:
        if not isinstance(there, Store):
            yield _ServersDesk(there)
            return
        archives = OpenArchives(settings)
        keys = Keys.load(settings.data_dir)
        try:
            yield _OwnDesk(sharing(there, archives.links(), keys, urls=settings, minutes=settings.share_max_minutes))
        finally:
            await archives.close()


class _OwnDesk:
    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._agent = Agent(who=local_user(), kind="user", client="cli", scopes=frozenset(_SCOPES))

    async def create(self, asked: Shown) -> Shown:
        return await self._sharing.create(self._agent, **asked)

    async def list(self, *, before: str | None, limit: int) -> Shown:
        return await self._sharing.list(self._agent, before=before, limit=limit)

    async def revoke(self, id: str) -> None:
        await self._sharing.revoke(self._agent, id)


class _ServersDesk:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def create(self, asked: Shown) -> Shown:
        made: Shown = (await ask(self._client, "POST", _PLACE, json=asked)).json()
        return made

    async def list(self, *, before: str | None, limit: int) -> Shown:
        words = {"limit": str(limit)} | ({"before": before} if before else {})
        page: Shown = (await ask(self._client, "GET", _PLACE, params=words)).json()
        return page

    async def revoke(self, id: str) -> None:
        await ask(self._client, "DELETE", f"{_PLACE}/{id}")
