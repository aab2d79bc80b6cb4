"""The start page: what there is, where the last orders stand, and the way to the images."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from interop.access import Agent, decide
from interop.console.overview import Overview, read_overview, seen
from interop.console.pages import ICON, STYLE, start_page
from interop.errors import InvalidContentError, TooLargeError
from interop.store import Store, Tx

_STYLE_TAG = hashlib.sha256(STYLE).hexdigest()[:16]
_KEPT = {"cache-control": "private, max-age=31536000, immutable"}
_MAX_FORM = 4096


class Finding(Protocol):
    """What one part of the server says of itself."""

    @property
    def ok(self) -> bool: ...
    @property
    def detail(self) -> str: ...


class Launch(Protocol):
    """Makes launches."""

    async def launch(self, agent: Agent, studies: Sequence[str]) -> str: ...


Health = Callable[[], Awaitable[Mapping[str, Finding]]]


class Console:
    """The endpoints."""

    def __init__(self, store: Store, launch: Launch, health: Health, *, public_url: str) -> None:
        self._store = store
        self._launch = launch
        self._health = health
        parts = urlsplit(public_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._path = parts.path

    async def start(self, request: Request) -> Response:
        """GET /"""
        agent: Agent = request.state.agent
        for type_ in ("ServiceRequest", "ImagingStudy", "Patient"):
            decide(agent, "s", type_)

        def work(tx: Tx) -> Overview:
            overview = read_overview(tx, self._store.zone)
            for event in seen(overview.patients_shown, agent.who, tx.now):
                tx.audit(event)
            return overview

        overview = await self._store.unit(agent, work)
        stats = await self._store.stats()
        content = {
            "who": agent.name or agent.who,
            "overview": overview,
            "health": await self._health(),
            "tiles": _tiles(stats.resources, stats.messages, stats.jobs, overview.scheduled),
            "style": f"{self._path}/console/style.css?v={_STYLE_TAG}",
            "path": self._path,
        }
        return start_page(content, form_target=self._origin)

    async def launch(self, request: Request) -> Response:
        """POST /console/launch: a form with a study's UID, answered by the way into the viewer."""
        form = parse_qs((await _body(request)).decode("ascii", "replace"), max_num_fields=4)
        studies = form.get("study", [])
        if len(studies) != 1:
            raise InvalidContentError("the form names one study", status=400)
        return RedirectResponse(await self._launch.launch(request.state.agent, studies), 303)

    async def style(self, request: Request) -> Response:
        """GET /console/style.css"""
        return Response(STYLE, media_type="text/css", headers=_KEPT)

    async def icon(self, request: Request) -> Response:
        """GET /console/icon.svg"""
        return Response(ICON, media_type="image/svg+xml", headers=_KEPT)


def _tiles(
    resources: Mapping[str, int], messages: Mapping[tuple[str, str], int], jobs: Mapping[str, int], scheduled: str
) -> list[tuple[str, str, str]]:
    """Name, figure, and what else there is to say of it."""
    taken = sum(count for (direction, state), count in messages.items() if direction == "in" and state != "fault")
    refused = messages.get(("in", "refused"), 0)
    queued, dead = messages.get(("out", "queued"), 0), messages.get(("out", "dead"), 0)
    return [
        ("Patients", str(resources.get("Patient", 0)), ""),
        ("Orders", str(resources.get("ServiceRequest", 0)), ""),
        ("In the worklist", scheduled, ""),
        ("Studies", str(resources.get("ImagingStudy", 0)), ""),
        ("Reports", str(resources.get("DiagnosticReport", 0)), ""),
        ("Messages in", str(taken), f"{refused} refused" if refused else ""),
        (
            "Messages out",
            str(messages.get(("out", "sent"), 0)),
            _waiting(queued, dead, messages.get(("out", "unanswered"), 0)),
        ),
        ("Jobs waiting", str(sum(jobs.values()) - jobs.get("dead", 0)), _dead(jobs.get("dead", 0))),
    ]


def _waiting(queued: int, dead: int, unanswered: int) -> str:
    said = (f"{queued} waiting" if queued else "", f"{unanswered} unanswered" if unanswered else "", _dead(dead))
    return ", ".join(text for text in said if text)


def _dead(count: int) -> str:
    return f"{count} given up" if count else ""


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise TooLargeError("the form is too long")
    return body


def console_routes(store: Store, launch: Launch, health: Health, *, public_url: str) -> list[BaseRoute]:
    """The routes of this door."""
    console = Console(store, launch, health, public_url=public_url)
    return [
        Route("/", console.start, methods=["GET"]),
        Route("/console/launch", console.launch, methods=["POST"]),
        Route("/console/style.css", console.style, methods=["GET"]),
        Route("/console/icon.svg", console.icon, methods=["GET"]),
    ]
