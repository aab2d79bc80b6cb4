"""The route table told: /openapi.json, and which methods a path takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from interop import __version__
from interop.auth import described as of_auth
from interop.console import described as of_console
from interop.dicomweb import described as of_dicomweb
from interop.errors import MethodNotOfferedError
from interop.fhir_api import described as of_fhir
from interop.health import described as of_health
from interop.hl7_api import described as of_hl7
from interop.imaging_api import described as of_imaging
from interop.jobs_api import described as of_jobs
from interop.openapi import Description, Operation, document, gives, problems
from interop.viewer import described as of_viewer

_DOORS = (of_fhir, of_dicomweb, of_hl7, of_jobs, of_imaging, of_auth, of_console, of_viewer, of_health)
_PLACE = "/openapi.json"


def described_routes(routes: Sequence[BaseRoute], base_url: str) -> list[BaseRoute]:
    """The routes and, before them, the one that tells of them all; the document is made when it is first asked for."""
    every: list[BaseRoute] = []

    @cache
    def written() -> bytes:
        return orjson.dumps(document(descriptions(), patterns(every), version=__version__, url=base_url))

    def openapi(request: Request) -> Response:
        """GET /openapi.json; in a thread, for it takes a second to make."""
        return Response(written(), media_type="application/json")

    every += [Route("/openapi.json", openapi, methods=["GET"]), *routes]
    return every


def descriptions() -> list[Description]:
    """What each door says of itself."""
    told = {"200": gives("This document", schema={"type": "object", "required": ["openapi", "paths"]})} | problems()
    own = Operation("openapi", "GET", _PLACE, "All of this", told, session="viewer")
    return [*(door.described() for door in _DOORS), Description("openapi", "This document.", [own])]


def patterns(routes: Sequence[BaseRoute]) -> list[tuple[str, str]]:
    """Method and pattern of every route, HEAD left out; "" where the door itself looks at the method.

    Websockets are left out: OpenAPI has no words for them, the CapabilityStatement tells their address.
    """
    found: list[tuple[str, str]] = []
    for route in routes:
        if isinstance(route, WebSocketRoute):
            continue
        assert isinstance(route, Route)
        found += [(method, route.path) for method in sorted(route.methods or [""]) if method != "HEAD"]
    return found


def refusing_others(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """The routes, and behind the last one of each path the refusal of the methods that it does not take.

    Without it a later route with a wider pattern would answer as if there were nothing at the address.
    """
    methods: dict[str, set[str]] = {}
    last: dict[str, int] = {}
    for index, route in enumerate(routes):
        if isinstance(route, Route) and route.methods is not None:
            methods.setdefault(route.path, set()).update(route.methods)
            last[route.path] = index
    found: list[BaseRoute] = []
    for index, route in enumerate(routes):
        found.append(route)
        if isinstance(route, Route) and last.get(route.path) == index:
            found.append(Route(route.path, _Refusal(tuple(sorted(methods[route.path])))))
    return found


class _Refusal:
    """405 with Allow (RFC 9110 15.5.6), in the tongue of the path."""

    def __init__(self, allow: tuple[str, ...]) -> None:
        self._allow = allow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise MethodNotOfferedError(f"{scope['method'][:20]} is not offered here", self._allow)
