"""The DICOMweb door: one ASGI endpoint for everything below /dicom-web."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from interop.access import Agent, decide
from interop.dicomweb import retrieve, search
from interop.dicomweb.accept import Wish, wish
from interop.dicomweb.access_log import AccessLog
from interop.dicomweb.archive import Answer
from interop.dicomweb.archives import Archives, Upstream
from interop.dicomweb.completing import completed
from interop.dicomweb.guard import Guard
from interop.dicomweb.intake import Intake, storing_request
from interop.dicomweb.one_patient import OnePatient
from interop.dicomweb.own_window import with_own_window
from interop.dicomweb.paths import ROOT, STORING, Target, parse
from interop.dicomweb.rendering import as_orthanc_draws, rendering
from interop.dicomweb.small_pictures import SIZE, as_the_archive_has_it, small_picture
from interop.dicomweb.stored_frames import Question
from interop.dicomweb.storing import Instance, Storing, answer_of, only_annotations, read_instances
from interop.dicomweb.taken import Room
from interop.dicomweb.wado_uri import PATH as WADO_URI
from interop.dicomweb.wado_uri import read_wado, study_of_wado
from interop.errors import ForbiddenError, InteropError, MethodNotOfferedError, UnavailableError, UnsupportedError
from interop.store import Store

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_PASSED_ON = frozenset({b"range", b"if-none-match", b"if-modified-since"})
_PORTS = {"http": 80, "https": 443}
_INTAKES = 4  # bodies taken in at the same time
_IN_MEMORY = 48 * 1024 * 1024, 16 * 1024 * 1024  # bytes of all of them, and of one; what is more goes to a file
_TURN = 30.0  # seconds to wait for one's turn
_JSON = "application/dicom+json"
_AS_IT_IS = Wish("")


class DicomWeb:
    """Authorises, relays and writes down. ``public_url`` where the server is told how clients reach it."""

    def __init__(self, archives: Archives, store: Store, *, public_url: str = "", stow_bytes: int = 0) -> None:
        self._archives = archives
        self._store = store
        self._stow_bytes = stow_bytes
        self._intakes = asyncio.Semaphore(_INTAKES)
        self._room = Room(*_IN_MEMORY)
        self._guard = Guard(store)
        self._one_patient = OnePatient(archives)
        self._access_log = AccessLog(store)
        self._public = urlsplit(public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; refusals are raised as errors, for the application to translate."""
        agent: Agent = scope["state"]["agent"]
        if scope["method"] == "POST" and (into := STORING.fullmatch(scope["path"])) is not None:
            await self._take_in(retrieve.Client(scope, receive, send), agent, into.group("study"))
            return
        if scope["method"] != "GET":
            raise _not_offered(scope["method"], scope["path"])
        if scope["path"] == WADO_URI:
            await self._wado_uri(retrieve.Client(scope, receive, send), agent)
            return
        target = parse(scope["path"])
        try:
            if target.study is None:
                await self._search(scope, receive, send, agent, target)
                return
            await self._allow(agent, target.study)
        except ForbiddenError as error:
            studies = [target.study or ""]
            await self._access_log.record(agent, studies, target.verb, outcome="4", detail=error.text)
            raise
        client = retrieve.Client(scope, receive, send)
        await self._retrieve(client, agent, target, *_asked(scope, target))

    async def _wado_uri(self, client: retrieve.Client, agent: Agent) -> None:
        raw = client.scope["query_string"].decode("latin-1")
        study = study_of_wado(raw)
        try:
            await self._allow(agent, study)
        except ForbiddenError as error:
            await self._access_log.record(agent, [study], "wado-rs", outcome="4", detail=error.text)
            raise
        target, query, wanted = read_wado(raw)
        await self._retrieve(client, agent, target, wanted, query)

    async def _allow(self, agent: Agent, study: str) -> None:
        await self._guard.check(agent, study)
        if self._guard.is_bound(agent):
            await self._one_patient.check(study)

    def report(self) -> dict[str, dict[str, int]]:
        """How the memories of metadata and of thumbnails fare."""
        return self._archives.report()

    async def _retrieve(self, client: retrieve.Client, agent: Agent, target: Target, wanted: Wish, query: str) -> None:
        scope = client.scope
        upstream = await self._archives.of(str(target.study))
        target, wanted = as_the_archive_has_it(target, wanted, upstream)
        if upstream.orthanc and target.kind == "rendered":
            query = as_orthanc_draws(query)
        if wanted.accept == _JSON and await self._told_in_json(client, agent, upstream, target, query):
            return
        if target.thumbnail and await self._shown_small(client, agent, upstream, target, wanted, query):
            return
        if upstream.orthanc and target.kind == "rendered" and not wanted.pdf:
            query = await with_own_window(upstream.archive, target, query)
        passed_on = retrieve.caller_headers(scope, _PASSED_ON)
        answer: Answer | None = None
        if upstream.files is not None and target.kind == "retrieve" and not passed_on:
            answer = await upstream.files.get(target, wanted.accept)
        if upstream.frames is not None and target.frames == 1 and wanted.syntax is not None and not passed_on:
            proto, host = self._address(scope)
            answer = await upstream.frames.get(Question(target, wanted.syntax, wanted.unwrap, f"{proto}://{host}"))
        if answer is not None:
            wanted = _AS_IT_IS
        else:
            headers = [self._forwarded(scope), *passed_on]
            answer = await retrieve.ask(upstream.archive, target, query, wanted, headers)
        try:
            await retrieve.relay(answer, target, wanted, client, (self._access_log, agent))
        finally:
            answer.close()

    async def _shown_small(
        self, client: retrieve.Client, agent: Agent, upstream: Upstream, target: Target, wanted: Wish, query: str
    ) -> bool:
        """Whether it was answered with a thumbnail that is at hand."""
        kept = await small_picture(upstream, target, query, wanted, self._forwarded(client.scope))
        if kept is not None:
            await retrieve.give_picture(kept, target, client, (self._access_log, agent))
        return kept is not None

    async def _told_in_json(
        self, client: retrieve.Client, agent: Agent, upstream: Upstream, target: Target, query: str
    ) -> bool:
        """Whether it was answered with metadata that are at hand, or with rows that the archive cannot be asked for."""
        forwarded, log_access = self._forwarded(client.scope), (self._access_log, agent)
        if target.kind == "search-in-study":
            headers = [(b"Accept", _JSON.encode("ascii")), forwarded]
            found = await search.rows_within(upstream, target, query, headers)
            if found is None:
                return False
            await retrieve.give_rows(found.rows, target, client, log_access, self._warnings(client.scope, found))
            return True
        if target.kind != "metadata" or target.level != "series":
            return False
        kept = await upstream.metadata.get(target, "://".join(self._address(client.scope)), forwarded)
        return kept is not None and await retrieve.give_metadata(kept, target, client, log_access)

    async def _take_in(self, client: retrieve.Client, agent: Agent, study: str | None) -> None:
        """STOW-RS: whoever may not store is told so before the body is read."""
        about = study or ""
        try:
            self._guard.check_storing(agent)
            if study is not None:
                await self._guard.check_storing_into(agent, study)
            boundary = storing_request(client.scope["headers"], self._stow_bytes)
            async with self._turn():
                intake = Intake(boundary, self._stow_bytes, self._room)
                try:
                    parts = await intake.take(client.receive)
                    instances = await read_instances(intake, parts, study)
                    about = instances[0].identity.study
                    storing = (await self._archives.to_store(about)).storing
                    await storing.check(instances)
                    status, body = await self._put(client, agent, storing, intake, instances)
                finally:
                    intake.close()
        except InteropError as error:
            if not isinstance(error, UnavailableError):
                await self._access_log.record(agent, [about], "stow-rs", outcome="4", detail=error.text)
            raise
        answer = Response(body, status, media_type="application/dicom+json")
        await answer(client.scope, client.receive, client.send)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A place among those whose bodies are taken in: who waits for one is not read from, and takes no memory."""
        try:
            async with asyncio.timeout(_TURN):
                await self._intakes.acquire()
        except TimeoutError:
            raise UnavailableError("too many requests are being stored at this moment", retry_after=5) from None
        try:
            yield
        finally:
            self._intakes.release()

    async def _put(
        self,
        client: retrieve.Client,
        agent: Agent,
        storing: Storing,
        intake: Intake,
        instances: Sequence[Instance],
    ) -> tuple[int, bytes]:
        own = instances[0].identity.study
        await self._guard.check_storing_into(agent, own)
        if self._guard.is_bound(agent, "c"):
            await self._one_patient.check(own)
        if agent.studies is not None:
            only_annotations(instances)
        await self._access_log.record(agent, [own], "stow-rs")
        reasons = await storing.store(intake, instances)
        if reasons:
            detail = f"{len(reasons)} of {len(instances)} instances were not stored"
            await self._access_log.record(agent, [own], "stow-rs", outcome="4", detail=detail)
        return answer_of(instances, reasons, "://".join(self._address(client.scope)))

    async def _search(self, scope: Scope, receive: Receive, send: Send, agent: Agent, target: Target) -> None:
        raw = scope["query_string"].decode("latin-1")
        wanted = wish(target, _accept(scope))
        question = search.parse_question(raw)
        studies = search.narrowed(question, await self._guard.visible(agent))
        if studies is not None and self._guard.is_bound(agent):
            studies = await self._one_patient.alone(studies)
        headers = [(b"Accept", wanted.accept.encode("ascii")), self._forwarded(scope)]
        found = await search.rows(self._archives, target, question, studies, headers)
        at_studies = target.path == f"{ROOT}/studies"
        rows = await completed(self._store, found.rows) if at_studies else found.rows
        shown = {uid for row in rows if (uid := search.study_of(row))}
        request = f"GET {scope['path']}?{raw}" if raw else f"GET {scope['path']}"
        if shown:
            await self._access_log.record(agent, sorted(shown), target.verb, query=request)
        else:
            await self._access_log.record_search(agent, request)
        response = Response(orjson.dumps(rows), media_type="application/dicom+json")
        response.headers["vary"] = "Authorization, Cookie"
        for text in self._warnings(scope, found):
            response.headers.append("warning", text)
        await response(scope, receive, send)

    def _warnings(self, scope: Scope, found: search.Found) -> list[str]:
        """As headers (RFC 7234 5.5)."""
        host = self._address(scope)[1].partition("/")[0]
        return [f'299 {host} "{text}"' for text in (*found.warnings, *found.notes)]

    def _forwarded(self, scope: Scope) -> tuple[bytes, bytes]:
        """RFC 7239, which Orthanc honours: the URLs in its answers then lead here and not to it.

        It puts them together from the two as they are, so a path after the host comes to stand where it should.
        """
        proto, host = self._address(scope)
        return b"Forwarded", f"host={host};proto={proto}".encode("ascii")

    def _address(self, scope: Scope) -> tuple[str, str]:
        """Scheme and host (with the path behind it, if there is one) of the URLs that lead here."""
        if self._public.netloc:
            return self._public.scheme, f"{self._public.netloc}{self._public.path}".rstrip("/")
        named = next((value for name, value in scope["headers"] if name == b"host"), b"")
        scheme = scope.get("scheme", "http")
        return scheme, _with_port(_host(named), scheme, scope.get("server"))


def _not_offered(method: str, path: str) -> InteropError:
    """Reading, and storing studies, is all that is offered at this door."""
    stores = STORING.fullmatch(path) is not None
    return MethodNotOfferedError(f"{method[:20]} is not offered here", ("GET", *(("POST",) if stores else ())))


@lru_cache(maxsize=256)
def _host(header: bytes) -> str:
    host = header.decode("latin-1")
    if not _HOST.fullmatch(host):
        raise UnsupportedError("the Host header is not a host name")
    return host


def _with_port(host: str, scheme: str, server: tuple[str, int | None] | None) -> str:
    """Python's dicomweb-client leaves the port out of Host (against RFC 9110 7.2): it is put in where it is known.

    That is where Host is the very address at which the request arrived. A name may be that of a proxy in front.
    """
    if server is None or host not in (server[0], f"[{server[0]}]") or server[1] in (None, _PORTS.get(scheme)):
        return host
    return f"{host}:{server[1]}"


def _asked(scope: Scope, target: Target) -> tuple[Wish, str]:
    """In which form the resource is wanted, and the query that asks the archive for it."""
    query = scope["query_string"].decode("latin-1")
    wanted = wish(target, _accept(scope))
    if target.kind == "rendered":
        return wanted, rendering(query, size=SIZE if target.thumbnail else "")
    if target.kind != "search-in-study":
        return wanted, ""
    question = search.parse_question(query)
    query = search.encode(question.parameters)
    if (offset := question.offset) or question.limit < search.MAX_ROWS:
        query += f"&limit={question.limit}&offset={offset}"
    return wanted, query


def _accept(scope: Scope) -> str:
    """The Accept header, or the query parameter that stands for it (PS3.18 8.3.3.1)."""
    if b"accept=" in scope["query_string"]:
        query = scope["query_string"].decode("latin-1").replace("+", "%2B")  # of a type: no space, as in forms
        for name, value in parse_qsl(query):
            if name == "accept":
                return str(value)
    return b", ".join([value for name, value in scope["headers"] if name == b"accept"]).decode("latin-1")


def dicomweb_routes(door: DicomWeb) -> list[BaseRoute]:
    """The routes of this door, and how its memories fare."""

    async def report(request: Request) -> Response:
        decide(request.state.agent, "s", "ImagingStudy")
        return JSONResponse(door.report())

    return [
        Route(f"{ROOT}/{{rest:path}}", door, name="dicomweb"),
        Route("/api/v1/dicomweb", report, methods=["GET"]),
    ]
