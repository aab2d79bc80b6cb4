"""/api/v1/pacs: how each archive is kept in step, and having one compared. s on ImagingStudy to see, u to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from interop.access import Agent, decide
from interop.errors import InvalidContentError, NotFoundError, TooLargeError
from interop.store import Store, Tx
from interop.workflow.archives import ask_sync, read_status, read_sync

_MAX_BODY = 4 * 1024


class SyncRequest(BaseModel):
    """Which studies are to be compared, and whether differences are mended."""

    model_config = ConfigDict(extra="forbid")

    since: date | None = None
    dry_run: bool = False


class Pacs:
    """The archives by name and driver, the default one first."""

    def __init__(self, store: Store, archives: Sequence[tuple[str, str]]) -> None:
        self._store, self._archives = store, archives

    async def status(self, agent: Agent) -> dict[str, Any]:
        """All archives, and studies of archives that are set no more."""
        decide(agent, "s", "ImagingStudy")
        return await self._store.view(lambda tx: shown_status(tx, self._archives))

    async def sync(self, agent: Agent, name: str, asked: SyncRequest) -> dict[str, Any]:
        """The comparison as it was asked for; the archive's feed carries it out."""
        decide(agent, "u", "ImagingStudy")
        if name not in dict(self._archives):
            raise NotFoundError(f"there is no archive {name}: {', '.join(dict(self._archives))}")
        found = await self._store.unit(agent, lambda tx: ask_sync(tx, name, since=asked.since, dry_run=asked.dry_run))
        return found.shown()


def shown_status(tx: Tx, archives: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Each archive: counts on each side, how far its feed is, its last error, the last comparison asked for."""
    counts = tx.placed_counts()
    shown = []
    for position, (name, driver) in enumerate(archives):
        status, sync = read_status(tx, name), read_sync(tx, name)
        shown.append(
            {
                "name": name,
                "driver": driver,
                "default": position == 0,
                "registered": counts.pop(name, 0),
                "status": asdict(status) if status is not None else None,
                "sync": sync.shown() if sync is not None else None,
            }
        )
    strays = [{"name": name, "registered": count} for name, count in sorted(counts.items())]
    return {"at": tx.now.isoformat(timespec="seconds"), "archives": shown, "unknown": strays}


def pacs_routes(store: Store, archives: Sequence[tuple[str, str]]) -> list[BaseRoute]:
    """The routes."""
    pacs = Pacs(store, archives)

    async def status(request: Request) -> Response:
        return JSONResponse(await pacs.status(request.state.agent))

    async def sync(request: Request) -> Response:
        decide(request.state.agent, "u", "ImagingStudy")
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MAX_BODY:
                raise TooLargeError("the request is longer than this could be")
        try:
            asked = SyncRequest.model_validate_json(body or b"{}")
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(str(part) for part in fault["loc"])
            raise InvalidContentError(f"{place}: {fault['msg']}" if place else fault["msg"], status=400) from None
        return JSONResponse(await pacs.sync(request.state.agent, request.path_params["name"], asked), 202)

    return [
        Route("/api/v1/pacs", status, methods=["GET"]),
        Route("/api/v1/pacs/{name}/sync", sync, methods=["POST"]),
    ]
