"""Signing in to the start page by a single-use link, and what SMART clients may know beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from interop.access import Agent
from interop.audit import Event
from interop.auth import codes
from interop.auth.ended import EndedSessions
from interop.auth.refusals import Refusals
from interop.auth.sessions import Sessions
from interop.errors import ForbiddenError, UnauthenticatedError
from interop.store import Store, Tx

_PURPOSE = "console"


class Login:
    """Makes sign-in links and redeems them."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        refusals: Refusals,
        ended: EndedSessions,
        *,
        public_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._refusals = refusals
        self._ended = ended
        self._public_url = public_url
        self._clock = clock

    async def link(self, agent: Agent) -> str:
        """A one-time URL that opens the start page as this agent, with its scopes and no more."""
        if agent.kind != "user" or agent.patient is not None:
            raise ForbiddenError("a sign-in link is made with a bearer token that is not bound to a patient")
        opens = {"sub": agent.who, "name": agent.name, "scope": " ".join(sorted(agent.scopes))}

        def work(tx: Tx) -> str:
            tx.audit(Event("login", "link", "E"))
            return codes.make(tx, _PURPOSE, {**opens, "since": tx.now.timestamp()}, now=self._clock())

        return f"{self._public_url}/login/{await self._store.unit(agent, work)}"

    async def make(self, request: Request) -> Response:
        """POST /api/v1/login: a link for whoever holds the bearer token."""
        url = await self.link(request.state.agent)
        return JSONResponse({"url": url, "expires_in": codes.SECONDS})

    async def redeem(self, request: Request) -> Response:
        """GET /login/{code}: opens a session and leads to the start page. A HEAD request uses nothing up."""
        if request.method != "GET":
            return Response(status_code=405, headers={"allow": "GET"})
        anonymous: Agent = request.state.agent
        code = request.path_params["code"]

        def work(tx: Tx) -> dict[str, Any]:
            tx.audit(Event("login", "login", "E"))
            return codes.redeem(tx, _PURPOSE, code, now=self._clock())

        try:
            opens = await self._store.view(lambda tx: codes.peek(tx, _PURPOSE, code, now=self._clock()))
            person = replace(anonymous, who=opens["sub"], kind="user", client="console")
            opens = await self._store.unit(person, work)
        except UnauthenticatedError as error:
            await self._refusals.record(anonymous, f"login: {error.text}")
            raise
        response = RedirectResponse(f"{urlsplit(self._public_url).path}/", 303)
        response.headers.append("set-cookie", self._sessions.console_cookie(opens))
        return response

    async def leave(self, request: Request) -> Response:
        """POST /console/logout: ends the session of this browser, for whoever has a copy of its cookie too."""
        agent: Agent = request.state.agent

        def work(tx: Tx) -> None:
            self._ended.end_one(tx, agent.token_id or "")
            tx.audit(Event("login", "logout", "E"))

        await self._store.unit(agent, work)
        await self._ended.refresh()
        response = RedirectResponse(f"{urlsplit(self._public_url).path}/", 303)
        response.headers.append("set-cookie", self._sessions.console_end())
        return response


def _smart(request: Request) -> Response:
    """What is true of this server (SMART App Launch 2.2, 2.1): it understands v1 and v2 scopes, and issues its tokens
    by command line, so it names no token endpoint and no grant type."""
    document = {
        "capabilities": ["permission-v1", "permission-v2", "permission-patient", "permission-user"],
        "scopes_supported": ["patient/*.cruds", "user/*.cruds", "system/*.cruds"],
        "grant_types_supported": [],
        "code_challenge_methods_supported": [],
    }
    return JSONResponse(document)


def auth_routes(login: Login) -> list[Route]:
    """The routes of this door."""
    return [
        Route("/.well-known/smart-configuration", _smart, methods=["GET"]),
        Route("/fhir/.well-known/smart-configuration", _smart, methods=["GET"]),
        Route("/api/v1/login", login.make, methods=["POST"]),
        Route("/login/{code}", login.redeem, methods=["GET"]),
        Route("/console/logout", login.leave, methods=["POST"]),
    ]
