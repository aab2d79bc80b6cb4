"""Nothing is read before the caller is known: a pure ASGI gate in front of every HTTP door.

It looks at the request line and headers only. What passes carries its Agent at ``scope["state"]["agent"]``; every
answer carries the request's id and the security headers that its door did not set itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interop.access import Agent
from interop.auth.codes import CODE
from interop.auth.ended import EndedSessions
from interop.auth.refusals import Refusals
from interop.auth.sessions import Sessions
from interop.auth.share_links import PAGE as SHARE_PAGE
from interop.auth.tokens import Tokens
from interop.auth.upgrades import Upgrades
from interop.errors import ForbiddenError, InteropError, NotFoundError, UnauthenticatedError, UnavailableError

_OPEN = frozenset({"/fhir/metadata", "/healthz", "/readyz", SHARE_PAGE})
_WELL_KNOWN = re.compile(r"(/fhir)?/\.well-known/[A-Za-z0-9_-]{1,64}")
_REDEEM = re.compile(rf"/(viewer/open|login)/{CODE.pattern}")  # a single-use code is the credential itself
_CONSOLE = re.compile(r"/|/console/.*")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OTHERS = frozenset({b"cross-site", b"same-site"})  # a page that frames the viewer shares that frame's cookies
# A path is what it looks like, or it is refused: no dot segments, empty segments, matrix parameters or escaped slashes.
_ODD_PATH = re.compile(r"(^|/)\.\.?(/|$)|//|[\\;\x00-\x1f\x7f]")
_ODD_RAW = re.compile(rb"%(2f|5c|2e|00|3b)", re.IGNORECASE)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)

ErrorAnswer = Callable[[InteropError, Scope], Response]


class AuthMiddleware:
    """The gate."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        sessions: Sessions,
        ended: EndedSessions,
        refusals: Refusals,
        answer: ErrorAnswer,
        public_url: str = "",
        upgrades: Upgrades | None = None,
    ) -> None:
        self.app = app
        self._upgrades = upgrades
        self._public_host = urlsplit(public_url).netloc
        self._tokens = tokens
        self._sessions = sessions
        self._ended = ended
        self._refusals = refusals
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the request through with its agent, or answers it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the upgrade through with its agent, or answers it as a request; nothing is received before."""
        headers = _first_of_each(scope["headers"])
        request_id = _request_id(headers)
        address = scope["client"][0] if scope.get("client") else None
        try:
            if self._upgrades is None:
                raise NotFoundError("there are no websockets here")
            asked = scope["path"], scope.get("raw_path") or b"", scope.get("query_string") or b"", headers
            agent = _here(await self._upgrades.agent(*asked), address, request_id)
        except InteropError as error:
            if self._upgrades is not None and error.status < 500:
                await self._upgrades.record(error, address, request_id)
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._answer(error, scope)(scope, receive, send)
            return
        scope.setdefault("state", {})["agent"] = agent
        await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _first_of_each(scope["headers"])
        request_id = _request_id(headers)
        address = scope["client"][0] if scope.get("client") else None

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                named = {name for name, _ in own}
                own += [pair for pair in _HEADERS if pair[0] not in named]
                own.append((b"x-request-id", request_id.encode("ascii")))
                message = {**message, "headers": own}
            await send(message)

        try:
            agent = _here(await self._agent(scope, headers), address, request_id)
        except (UnauthenticatedError, ForbiddenError) as error:
            nobody = Agent("unknown", "anonymous", address=address, request_id=request_id)
            area = scope["path"].split("/", 2)[1][:32] if scope["path"].count("/") else ""
            await self._refusals.record(nobody, f"{error.issue_code}: {error.text} ({scope['method']} /{area})")
            await self._refuse(error, scope, receive, answer)
            return
        except UnavailableError as error:  # whether the session was ended is not known
            await self._refuse(error, scope, receive, answer)
            return
        scope.setdefault("state", {})["agent"] = agent
        if _is_odd(scope["path"], scope.get("raw_path") or b""):
            odd = InteropError("the path is not one this server has", status=400, issue_code="not-found")
            await self._refuse(odd, scope, receive, answer)
            return
        await self.app(scope, receive, answer)

    async def _agent(self, scope: Scope, headers: dict[bytes, bytes]) -> Agent:
        path = scope["path"]
        if self._is_open(path):  # whatever else was sent along
            if path == SHARE_PAGE and scope["method"] not in _SAFE:
                self._same_origin(headers)  # another site must not put its images in place of the ones being read
            return Agent("unknown", "anonymous")
        authorization = headers.get(b"authorization")
        if authorization is not None:
            scheme, _, token = authorization.decode("latin-1").partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise UnauthenticatedError("a bearer token is needed")
            return self._tokens.verify(token.strip())
        cookies = headers.get(b"cookie")
        if cookies is not None:
            await self._ended.look()
            agent = self._by_cookie(path, cookies.decode("latin-1"))
            if agent is not None:
                if scope["method"] not in _SAFE:
                    self._same_origin(headers)
                elif headers.get(b"sec-fetch-site") in _OTHERS and headers.get(b"sec-fetch-mode") != b"navigate":
                    raise ForbiddenError("the request comes from another site's page")
                return agent
        raise UnauthenticatedError("a bearer token or a viewer session is needed")

    def _by_cookie(self, path: str, cookies: str) -> Agent | None:
        """The start page's cookie is good for the start page alone; a viewer's for all that its studies allow."""
        if _CONSOLE.fullmatch(path):
            return self._sessions.console(cookies)
        return self._sessions.viewer(cookies)

    @staticmethod
    def _is_open(path: str) -> bool:
        return path in _OPEN or _WELL_KNOWN.fullmatch(path) is not None or _REDEEM.fullmatch(path) is not None

    async def _refuse(self, error: InteropError, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._answer(error, scope)
        if scope["method"] not in _SAFE:
            response.headers["connection"] = "close"  # the body stays unread
        await response(scope, receive, send)

    def _same_origin(self, headers: dict[bytes, bytes]) -> None:
        """A cookie alone must not let another site act in its owner's name (OWASP CSRF: verify the origin)."""
        site = headers.get(b"sec-fetch-site")  # browsers leave it out on plain http beyond localhost
        host = urlsplit(headers.get(b"origin", b"").decode("latin-1")).netloc  # empty for "null"
        ours = (headers.get(b"host", b"").decode("latin-1"), self._public_host)
        if site == b"same-origin" or (site is None and host and host in ours):
            return
        raise ForbiddenError("the request comes from another site")


def _first_of_each(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name; of several with the same name the first, as Starlette has it."""
    named: dict[bytes, bytes] = {}
    for name, value in headers:
        named.setdefault(name, value)
    return named


def _request_id(headers: dict[bytes, bytes]) -> str:
    """As the caller calls the request, if that is a plain word; else a name of ours."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if given and _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def _is_odd(path: str, raw: bytes) -> bool:
    """Whether a path is not what it looks like. The cheap questions first: they are asked of every frame."""
    suspect = "//" in path or "/." in path or ";" in path or "\\" in path or path[:1] != "/" or not path.isprintable()
    return (suspect and _ODD_PATH.search(path) is not None) or (b"%" in raw and _ODD_RAW.search(raw) is not None)


def _here(agent: Agent, address: str | None, request_id: str) -> Agent:
    """The agent of one request; spelt out, for dataclasses.replace() takes ten times as long on every frame."""
    return Agent(
        agent.who,
        agent.kind,
        agent.name,
        agent.client,
        address,
        agent.scopes,
        agent.patient,
        agent.studies,
        agent.token_id,
        request_id,
        agent.annotates,
        agent.expires,
    )
