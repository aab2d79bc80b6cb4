"""/api/v1/imaging: studies without an order listed, matched, unmatched, and their patients merged.

s on ImagingStudy and ServiceRequest to list, r to show, u to decide; merging patients needs u on Patient too.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from interop.access import Agent, decide
from interop.errors import InvalidContentError, NotFoundError, TooLargeError
from interop.imaging_api.matching import Matching
from interop.store import Store
from interop.workflow.site import Site

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_MAX_BODY = 4 * 1024
_TYPES = ("ImagingStudy", "ServiceRequest")


class MatchRequest(BaseModel):
    """Which order a study is of, and whether its tags in the archive are to become the order's."""

    model_config = ConfigDict(extra="forbid")

    order: str = Field(pattern=r"^(ServiceRequest/)?[A-Za-z0-9.-]{1,64}$")
    correct: bool = Field(False, strict=True)


class MatchDoor:
    """The endpoints."""

    def __init__(self, matching: Matching) -> None:
        self._matching = matching

    async def list(self, request: Request) -> Response:
        """GET /api/v1/imaging/unmatched"""
        agent = _allowed(request, "s")
        words = dict(parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=10))
        if unknown := words.keys() - {"limit", "before"}:
            raise InvalidContentError(f"there is no parameter {min(unknown)!r}: limit, before", status=400)
        limit, before = _number(words, "limit", 1, 500), _number(words, "before", 1, 2**62)
        return JSONResponse(await self._matching.list(agent, before=before, limit=limit or 50))

    async def show(self, request: Request) -> Response:
        """GET /api/v1/imaging/studies/{uid}/match"""
        return JSONResponse(await self._matching.show(_allowed(request, "r"), _uid(request)))

    async def match(self, request: Request) -> Response:
        """POST /api/v1/imaging/studies/{uid}/match"""
        agent, uid = _allowed(request, "u"), _uid(request)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY:
                raise TooLargeError(f"a match is at most {_MAX_BODY} bytes")
        try:
            wanted = MatchRequest.model_validate_json(body)
        except ValidationError as error:
            text = 'the body has to be {"order": "ServiceRequest/<id>"}, and "correct": true where wanted'
            raise InvalidContentError(text, status=400) from error
        return JSONResponse(await self._matching.resolve(agent, uid, wanted.order, correct=wanted.correct))

    async def unmatch(self, request: Request) -> Response:
        """POST /api/v1/imaging/studies/{uid}/unmatch"""
        return JSONResponse(await self._matching.undo(_allowed(request, "u"), _uid(request)))

    async def merge(self, request: Request) -> Response:
        """POST /api/v1/imaging/studies/{uid}/merge"""
        return JSONResponse(await self._matching.merge(_allowed(request, "u", "Patient"), _uid(request)))


def _allowed(request: Request, letter: str, *more: str) -> Agent:
    agent: Agent = request.state.agent
    for type_ in (*_TYPES, *more):
        decide(agent, letter, type_)
    return agent


def _uid(request: Request) -> str:
    uid: str = request.path_params["uid"]
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise NotFoundError("there is no study of this StudyInstanceUID")
    return uid


def _number(words: dict[str, str], name: str, least: int, most: int) -> int | None:
    if name not in words:
        return None
    text = words[name]
    if not (text.isascii() and text.isdigit() and least <= int(text[:20]) <= most):
        raise InvalidContentError(f"{name} is a number from {least} to {most}", status=400)
    return int(text)


def match_routes(store: Store, site: Site) -> list[BaseRoute]:
    """The routes of this part of the door."""
    door = MatchDoor(Matching(store, site))
    return [
        Route("/api/v1/imaging/unmatched", door.list, methods=["GET"]),
        Route("/api/v1/imaging/studies/{uid}/match", door.show, methods=["GET"]),
        Route("/api/v1/imaging/studies/{uid}/match", door.match, methods=["POST"]),
        Route("/api/v1/imaging/studies/{uid}/unmatch", door.unmatch, methods=["POST"]),
        Route("/api/v1/imaging/studies/{uid}/merge", door.merge, methods=["POST"]),
    ]
