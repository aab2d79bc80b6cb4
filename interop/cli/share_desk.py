"""Where ``interop share`` asks: the server that runs, else the database and the archives themselves. Loaded by need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx

from interop.access import Agent
from interop.archives import OpenArchives
from interop.auth import Keys
from interop.cli.desk import connected, local_user
from interop.errors import ConflictError, ForbiddenError, InvalidContentError, NotFoundError, UnavailableError
from interop.http_app import sharing
from interop.imaging_api import Sharing
from interop.settings import Settings
from interop.store import Store

Shown = dict[str, Any]

_SCOPES = ("system/ImagingStudy.crus",)
_PLACE = "/api/v1/share"
_REFUSALS = {
    400: InvalidContentError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidContentError,
    503: UnavailableError,
}


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
        made: Shown = (await self._asked("POST", _PLACE, json=asked)).json()
        return made

    async def list(self, *, before: str | None, limit: int) -> Shown:
        words = {"limit": str(limit)} | ({"before": before} if before else {})
        page: Shown = (await self._asked("GET", _PLACE, params=words)).json()
        return page

    async def revoke(self, id: str) -> None:
        await self._asked("DELETE", f"{_PLACE}/{id}")

    async def _asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise UnavailableError(f"the server went away: {type(error).__name__}") from error
        if answer.is_success:
            return answer
        refusal = _REFUSALS.get(answer.status_code)
        if refusal is not None:
            raise refusal(_stated(answer))
        raise UnavailableError(
            f"{self._client.base_url} answers with {answer.status_code}: is INTEROP_DATA_DIR that of its server?"
        )


def _stated(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])  # RFC 9457
    except (ValueError, LookupError, TypeError):
        return f"answered with {answer.status_code}"
