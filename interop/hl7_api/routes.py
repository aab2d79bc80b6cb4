"""/api/v1/hl7: how the feeds stand; messages listed, shown, replayed, sent again, given up.

A message is a MessageHeader to the scopes: s to list, r to show, u to replay and send again, d to give up.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from interop.access import Agent, decide
from interop.errors import InvalidContentError, NotFoundError
from interop.hl7_api.questions import asked
from interop.hl7_api.shown import shown_line, shown_row
from interop.hl7_api.status import shown_status, status_of
from interop.hl7_api.steering import Steering
from interop.store import Store
from interop.workflow.site import Site

_MESSAGE = "MessageHeader"
_LETTERS = {"replay": "u", "resend": "u", "drop": "d"}


class MessagesDoor:
    """The endpoints."""

    def __init__(self, store: Store, site: Site) -> None:
        self._steering = Steering(store, site)
        self._zone = site.zone
        self._receivers = [receiver.name for receiver in site.receivers]
        self._store = store

    async def status(self, request: Request) -> Response:
        """GET /api/v1/hl7"""
        agent: Agent = request.state.agent
        decide(agent, "s", _MESSAGE)
        return JSONResponse(shown_status(await self._store.view(lambda tx: status_of(tx, self._receivers))))

    async def list(self, request: Request) -> Response:
        """GET /api/v1/hl7/messages"""
        agent: Agent = request.state.agent
        decide(agent, "s", _MESSAGE)
        text = request.url.query
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=20)
        words = dict(pairs)
        if len(words) != len(pairs):
            raise InvalidContentError("a question is asked once", status=400)
        query = asked(words, now=datetime.now(UTC), zone=self._zone)
        lines = await self._steering.find(agent, query, f"GET {request.url.path}?{text}")
        following = lines[-1].id if len(lines) == query.limit else None
        return JSONResponse({"messages": [shown_line(line) for line in lines], "next": following})

    async def show(self, request: Request) -> Response:
        """GET /api/v1/hl7/messages/{id}"""
        agent: Agent = request.state.agent
        decide(agent, "r", _MESSAGE)
        return JSONResponse(shown_row(await self._steering.read(agent, _id(request))))

    async def raw(self, request: Request) -> Response:
        """GET /api/v1/hl7/messages/{id}/raw: its bytes, exactly as they came or go."""
        agent: Agent = request.state.agent
        decide(agent, "r", _MESSAGE)
        row = await self._steering.read(agent, _id(request))
        name = f"message-{row.id}.hl7"
        return Response(
            row.raw,
            media_type="application/octet-stream",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )

    async def act(self, request: Request) -> Response:
        """POST /api/v1/hl7/messages/{id}/{replay,resend,drop}"""
        agent: Agent = request.state.agent
        verb = request.url.path.rsplit("/", 1)[1]
        decide(agent, _LETTERS[verb], _MESSAGE)
        done = await self._steering.act(verb, agent, _id(request))
        return JSONResponse({"id": done.id, "state": done.state, "ack_code": done.ack_code, "text": done.text})


def _id(request: Request) -> int:
    id: int = request.path_params["id"]
    if not 0 < id < 2**62:
        raise NotFoundError(f"there is no message {id}")
    return id


def hl7_routes(store: Store, site: Site) -> list[BaseRoute]:
    """The routes of this door."""
    door = MessagesDoor(store, site)
    return [
        Route("/api/v1/hl7", door.status, methods=["GET"]),
        Route("/api/v1/hl7/messages", door.list, methods=["GET"]),
        Route("/api/v1/hl7/messages/{id:int}", door.show, methods=["GET"]),
        Route("/api/v1/hl7/messages/{id:int}/raw", door.raw, methods=["GET"]),
        Route("/api/v1/hl7/messages/{id:int}/replay", door.act, methods=["POST"]),
        Route("/api/v1/hl7/messages/{id:int}/resend", door.act, methods=["POST"]),
        Route("/api/v1/hl7/messages/{id:int}/drop", door.act, methods=["POST"]),
    ]
