"""POST /api/v1/sessions/end: every viewer and start page session of a person ends, on all their machines."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interop.access import Agent, decide
from interop.audit import Event
from interop.auth.ended import EndedSessions
from interop.errors import ForbiddenError, InvalidContentError, TooLargeError
from interop.store import Store, Tx

_MAX_BODY = 4 * 1024


class EndRequest(BaseModel):
    """Whose sessions; the bearer's own unless named."""

    model_config = ConfigDict(extra="forbid")

    subject: str | None = Field(None, min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")


class SessionDoor:
    """The endpoint."""

    def __init__(self, store: Store, ended: EndedSessions) -> None:
        self._store = store
        self._ended = ended

    async def end(self, request: Request) -> Response:
        """The sessions that began until now; somebody else's need u on ImagingStudy. Bearer tokens are not sessions."""
        agent: Agent = request.state.agent
        if agent.kind != "user":
            raise ForbiddenError("sessions are ended with a bearer token")
        subject = _read(await _body(request)).subject or agent.who
        if subject != agent.who:
            decide(agent, "u", "ImagingStudy")

        def work(tx: Tx) -> dict[str, Any]:
            self._ended.end_all(tx, subject)
            tx.audit(Event("login", "logout", "E", detail=f"all sessions of {subject}"))
            return {"subject": subject, "before": tx.now.isoformat(timespec="milliseconds")}

        done = await self._store.unit(agent, work)
        await self._ended.refresh()
        return JSONResponse(done)


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY:
            raise TooLargeError(f"the request is at most {_MAX_BODY} bytes")
    return body


def _read(body: bytes) -> EndRequest:
    try:
        return EndRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise InvalidContentError('the body has to be {"subject": "…"}, or empty', status=400) from error


def session_routes(store: Store, ended: EndedSessions) -> list[Route]:
    """The routes of this part of the door."""
    return [Route("/api/v1/sessions/end", SessionDoor(store, ended).end, methods=["POST"])]
