"""The HTTP doors, put together behind one gate. server.py builds the parts and hands them over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from interop.auth import (
    Answers,
    AuthMiddleware,
    Bindings,
    EndedSessions,
    Keys,
    Login,
    Refusals,
    Sessions,
    ShareLinks,
    Tokens,
    Upgrades,
    ViewerLinks,
    auth_routes,
    session_routes,
)
from interop.auth.bindings import SOCKET_PATH
from interop.console import console_routes, error_page
from interop.dicomweb import DicomWeb, dicomweb_routes
from interop.dicomweb.archive import ONLY, Archive, NamedArchive
from interop.dicomweb.archives import Archives
from interop.dicomweb.everywhere import Everywhere
from interop.dicomweb.reading_ahead import ReadingAhead
from interop.dicomweb.warming import Warming
from interop.errors import InteropError
from interop.fhir_socket import SubscriptionSockets
from interop.health import Readiness, health_routes
from interop.health.checks import Check
from interop.http_description import described_routes, refusing_others
from interop.imaging_api import Launcher, Sharing, imaging_routes, share_routes
from interop.jobs_api import jobs_routes
from interop.store import Store
from interop.viewer import Assets, ViewerPages, shared_link_routes, viewer_routes


class Wired(Protocol):
    """The address that clients see, and whether it was given or only follows from where the server listens."""

    @property
    def base_url(self) -> str: ...
    @property
    def public_url(self) -> str: ...


@dataclass(frozen=True, slots=True)
class HttpApp:
    """The application, and the parts of it that the server itself uses."""

    app: ASGIApp  # behind the gate
    routes: Sequence[BaseRoute]
    tokens: Tokens
    login: Login  # makes sign-in links
    launcher: Launcher
    ahead: ReadingAhead | None = None  # to be run beside it; ``ahead_series`` of a complete study


_RESOURCES = "/fhir/"
_OURS_ALONE = ViewerPages()  # framed by no other site


class _Shortcut:
    """Images and FHIR resources past Starlette's layers, which look through every other door's routes for each request.

    A frame has hundreds of kilobytes to move in two milliseconds; a read has a fraction of one. The same doors stand in
    the route table, which stays the list of all that there is and answers what is not about a resource.
    """

    def __init__(self, images: ASGIApp, fhir: ASGIApp | None, others: ASGIApp, answers: Answers) -> None:
        self._images, self._fhir, self._others, self._answers = images, fhir, others, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(_RESOURCES) and self._fhir is not None and path[6:7].isupper() and "$" not in path:
            scope["path_params"] = {"path": path[6:]}
            await self._fhir(scope, receive, send)  # answers its errors itself
        elif path.startswith("/dicom-web/"):
            try:
                await self._images(scope, receive, send)
            except InteropError as error:  # raised before anything was sent: the door keeps later ones to itself
                await self._answers(error, scope)(scope, receive, send)
        else:
            await self._others(scope, receive, send)


def socket_routes(store: Store, bindings: Bindings | None, public_url: str) -> list[BaseRoute]:
    """Where websockets are: with a bearer token, and with the code of an address that was given out."""
    if bindings is None:
        return []
    door = SubscriptionSockets(store, bindings, f"{public_url}/fhir")
    return [WebSocketRoute(SOCKET_PATH, door), WebSocketRoute(f"{SOCKET_PATH}/{{code}}", door)]


def _shared(store: Store, launcher: Launcher, shares: ShareLinks) -> list[BaseRoute]:
    """Where links are shared, and where they lead."""
    return [*share_routes(Sharing(store, launcher, shares)), *shared_link_routes(shares, launcher)]


def sharing(store: Store, archives: Sequence[NamedArchive], keys: Keys, *, urls: Wired, minutes: int) -> Sharing:
    """Shares without the doors, for a command where no server runs."""
    refusals, ended = Refusals(store), EndedSessions(store)
    sessions = Sessions(Tokens(keys), secure=urls.base_url.startswith("https:"), ended=ended)
    links = ViewerLinks(store, sessions, refusals, public_url=urls.base_url)
    shares = ShareLinks(store, sessions, refusals, ended, public_url=urls.base_url, most_minutes=minutes)
    everywhere = Everywhere(Archives(archives, store, metadata_bytes=0))
    return Sharing(store, Launcher(store, links, everywhere), shares)


def _named(archive: Archive | Sequence[NamedArchive]) -> Sequence[NamedArchive]:
    return archive if isinstance(archive, Sequence) else (NamedArchive(ONLY, archive),)


def _resources(fhir: Sequence[BaseRoute]) -> ASGIApp | None:
    """The door of FHIR resources among its routes."""
    return next((each.app for each in fhir if isinstance(each, Route) and each.path == "/fhir/{path:path}"), None)


def _routed(routes: Sequence[BaseRoute], answers: Answers) -> Starlette:
    """The routes, each with the refusal of other methods; an address is never another with a slash more or less."""
    inner = Starlette(routes=refusing_others(routes), exception_handlers={InteropError: answers.on_error})
    inner.router.redirect_slashes = False
    return inner


class _Below:
    """The application as it is found below a path. A proxy may take the path off what it passes on, or leave it."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app, self._path, self._start = app, path, f"{path}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.startswith(self._start) or path == self._path:
            raw, length = scope.get("raw_path") or b"", len(self._path)
            cut = raw[length:] or b"/" if raw.startswith(self._path.encode("ascii")) else raw
            scope = {**scope, "path": path[length:] or "/", "raw_path": cut}
        await self._app(scope, receive, send)


def _placed(app: ASGIApp, urls: Wired) -> ASGIApp:
    path = urlsplit(urls.base_url).path
    return _Below(app, path) if path else app


def _sessions(tokens: Tokens, ended: EndedSessions, urls: Wired, pages: ViewerPages) -> Sessions:
    at = urlsplit(urls.base_url)
    framed = pages.framed_by_others
    return Sessions(tokens, secure=at.scheme == "https", ended=ended, framed=framed, path=at.path or "/")


def _ahead(store: Store, warming: Warming | None, series: int) -> ReadingAhead | None:
    return ReadingAhead(store, warming, series=series) if warming is not None and series else None


def http_app(
    store: Store,
    archive: Archive | Sequence[NamedArchive],
    keys: Keys,
    *,
    urls: Wired,
    assets: Assets | None,
    checks: Mapping[str, Check],
    fhir: Sequence[BaseRoute] = (),
    hl7: Sequence[BaseRoute] = (),
    matching: Sequence[BaseRoute] = (),
    bindings: Bindings | None = None,
    metadata_bytes: int = 64 * 1024 * 1024,
    ahead_series: int = 0,
    stow_bytes: int = 1024 * 1024 * 1024,
    spare: frozenset[str] = frozenset(),
    lesser: frozenset[str] = frozenset(),
    pacs: Sequence[BaseRoute] = (),
    share_minutes: int = 30 * 24 * 60,
    pages: ViewerPages = _OURS_ALONE,
) -> HttpApp:
    """All HTTP doors. ``checks`` are the parts that /readyz asks; ``spare``, ``lesser``: see Readiness.

    ``bindings``: whose tokens open websockets, where there are any. ``share_minutes``: the longest that a link lasts.
    The other lists are routes of doors. Of several archives the first is the default one.
    """
    tokens, refusals, ended = Tokens(keys), Refusals(store), EndedSessions(store)
    sessions = _sessions(tokens, ended, urls, pages)
    answers, readiness = Answers(error_page, pages), Readiness(checks, spare, lesser)
    links = ViewerLinks(store, sessions, refusals, public_url=urls.base_url)
    shares = ShareLinks(store, sessions, refusals, ended, public_url=urls.base_url, most_minutes=share_minutes)
    login = Login(store, sessions, refusals, ended, public_url=urls.base_url)
    archives = Archives(_named(archive), store, metadata_bytes=metadata_bytes)
    images = DicomWeb(archives, store, public_url=urls.public_url, stow_bytes=stow_bytes)
    warming = Warming(archives, urls.base_url) if metadata_bytes else None
    launcher = Launcher(store, links, Everywhere(archives), begun=warming.begin if warming is not None else None)
    routes: list[BaseRoute] = [
        *dicomweb_routes(images),
        *health_routes(readiness),
        *auth_routes(login),
        *session_routes(store, ended),
        *imaging_routes(launcher),
        *_shared(store, launcher, shares),
        *console_routes(store, launcher, readiness.findings, public_url=urls.base_url),
        *(*fhir, *hl7, *jobs_routes(store), *matching, *pacs),
        *socket_routes(store, bindings, urls.base_url),
        *viewer_routes(links, launcher, assets, pages),
    ]
    routes = described_routes(routes, urls.base_url)
    app = AuthMiddleware(
        _Shortcut(images, _resources(fhir), _routed(routes, answers), answers),
        tokens=tokens,
        sessions=sessions,
        ended=ended,
        refusals=refusals,
        answer=answers,
        public_url=urls.public_url,
        upgrades=Upgrades(store, tokens, bindings, refusals, urls.public_url) if bindings is not None else None,
    )
    return HttpApp(_placed(app, urls), routes, tokens, login, launcher, _ahead(store, warming, ahead_series))
