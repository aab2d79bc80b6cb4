"""/api/v1/share: links that may be passed on. A bearer makes them with the rights of a launch."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from interop.errors import InvalidContentError
from interop.imaging_api.routes import LaunchRequest, body_of, read_as, with_bearer
from interop.imaging_api.sharing import Sharing


class ShareRequest(LaunchRequest):
    """What to share, as for a launch, and for how long."""

    minutes: Annotated[int, Field(ge=1)] | None = None
    label: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None


class ShareDoor:
    """The endpoints."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing

    async def create(self, request: Request) -> Response:
        """POST /api/v1/share"""
        agent = with_bearer(request)
        wanted = read_as(ShareRequest, await body_of(request))
        made = await self._sharing.create(
            agent,
            studies=wanted.studies,
            accession=wanted.accession,
            annotate=wanted.annotate,
            minutes=wanted.minutes,
            label=wanted.label,
        )
        return JSONResponse(made, 201)

    async def list(self, request: Request) -> Response:
        """GET /api/v1/share"""
        agent = with_bearer(request)
        words = dict(parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=10))
        if unknown := words.keys() - {"limit", "before"}:
            raise InvalidContentError(f"there is no parameter {min(unknown)!r}: limit, before", status=400)
        return JSONResponse(
            await self._sharing.list(agent, before=words.get("before") or None, limit=_limit(words.get("limit", "50")))
        )

    async def revoke(self, request: Request) -> Response:
        """DELETE /api/v1/share/{id}"""
        await self._sharing.revoke(with_bearer(request), request.path_params["id"])
        return Response(status_code=204)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 500):
        raise InvalidContentError("limit is a number from 1 to 500", status=400)
    return int(text)


def share_routes(sharing: Sharing) -> list[BaseRoute]:
    """The routes of this part of the door."""
    door = ShareDoor(sharing)
    return [
        Route("/api/v1/share", door.create, methods=["POST"]),
        Route("/api/v1/share", door.list, methods=["GET"]),
        Route("/api/v1/share/{id}", door.revoke, methods=["DELETE"]),
    ]
