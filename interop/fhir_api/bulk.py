"""$export — HL7 FHIR Bulk Data Access 2.0, https://hl7.org/fhir/uv/bulkdata/export.html

No files are written. An export is a note of a moment: what it gives out is read from the versions as they were then,
when it is fetched, by whichever process is asked. So nothing lies about that somebody would have to protect and delete.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from interop.access import Agent, decide
from interop.errors import ForbiddenError, InteropError, InvalidContentError, NotFoundError, UnauthenticatedError
from interop.fhir.parameters import parameters
from interop.fhir.profile import accepted_types
from interop.fhir.times import instant
from interop.fhir_api import trail
from interop.fhir_api.answers import http_error
from interop.fhir_api.binaries import require_all
from interop.fhir_api.bundles import instant_text
from interop.fhir_api.calls import Call, Surroundings
from interop.fhir_api.operations.operation import arguments, one, only
from interop.fhir_api.preparing import with_input
from interop.store import Store, Stored, Tx

EXPORT = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"
NDJSON = ("application/fhir+ndjson", "application/ndjson", "ndjson")
KEPT = timedelta(hours=24)
SETTLES = timedelta(seconds=3)  # until units that began before the moment have been committed or undone, on any replica
_PAGE = 500
_NOTES = "export:"
_UNASKED = ("AuditEvent", "Subscription")  # only for whoever names it

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Export:
    """What was asked for, by whom, and the moment it is of."""

    id: str
    who: str
    at: str
    types: tuple[str, ...]
    request: str
    since: str | None = None

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)


class BulkExport:
    """Kick-off, status, files and deletion."""

    def __init__(self, store: Store, around: Surroundings) -> None:
        self._store = store
        self._around = around

    def routes(self) -> list[BaseRoute]:
        """To stand before the FHIR door's own, which takes every path."""
        return [
            Route("/fhir/$export", self._answering(self._kick_off), methods=["GET", "POST"]),
            Route("/fhir/Patient/$export", self._answering(self._kick_off), methods=["GET", "POST"]),
            Route("/fhir/bulk/{id}", self._answering(self._status), methods=["GET"]),
            Route("/fhir/bulk/{id}", self._answering(self._forget), methods=["DELETE"]),
            Route("/fhir/bulk/{id}/{type}.ndjson", self._answering(self._file), methods=["GET"]),
        ]

    def _answering(self, handler: Callable[[Request, Agent], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                agent = getattr(request.state, "agent", None)
                if not isinstance(agent, Agent):
                    raise UnauthenticatedError()
                response: Response = await handler(request, agent)
                return response
            except InteropError as error:
                return http_error(error)

        return answer

    async def _unit(self, agent: Agent, call: Call, work: Callable[[Tx], T]) -> T:
        def refused(tx: Tx, error: InteropError) -> T | InteropError:
            trail.refused(tx, call, error)
            return error

        result = await self._store.unit(agent, work, refused=refused)
        if isinstance(result, InteropError):
            raise result
        return result

    async def _kick_off(self, request: Request, agent: Agent) -> Response:
        level = "Patient" if request.url.path.rstrip("/").endswith("Patient/$export") else ""
        query = request.scope.get("query_string", b"").decode("latin-1")
        call = Call("operation", level, params=tuple(parse_qsl(query, keep_blank_values=True)), operation="export")
        if request.method == "POST":
            call = await with_input(request, call, 100_000)
        place = f"{self._around.base_url}/{level + '/' if level else ''}$export"

        def work(tx: Tx) -> _Export:
            if not re.search(r"\brespond-async\b", request.headers.get("prefer", "")):
                raise InvalidContentError(
                    "an export answers later: send Prefer: respond-async", status=400, issue_code="required"
                )
            export = self._asked(tx, call, place + (f"?{query}" if query else ""))
            _forget_old(tx)
            tx.set_state(_NOTES + export.id, json.dumps(asdict(export)))
            trail.done(tx, call)
            return export

        export = await self._unit(agent, call, work)
        return Response(status_code=202, headers={"Content-Location": f"{self._around.base_url}/bulk/{export.id}"})

    def _asked(self, tx: Tx, call: Call, request: str) -> _Export:
        given = arguments(call)
        only(given, "_outputFormat", "_since", "_type")
        if (one(given, "_outputFormat") or NDJSON[0]).replace(" ", "+") not in NDJSON:
            raise InvalidContentError(f"_outputFormat is {NDJSON[0]}", status=400, issue_code="not-supported")
        since = one(given, "_since")
        if since is not None:
            since = _moment(str(since), self._around).isoformat()
        types = _types(tx, call.type, [name for text in given.get("_type", []) for name in str(text).split(",")])
        return _Export(tx.new_id(), tx.agent.who, tx.now.isoformat(), types, request, since)

    async def _status(self, request: Request, agent: Agent) -> Response:
        export = await self._the_export(request, agent)
        left = export.moment + SETTLES - datetime.now(UTC)
        if left > timedelta(0):
            headers = {"Retry-After": str(left.seconds + 1), "X-Progress": "waiting for what was under way"}
            return Response(status_code=202, headers=headers)
        there = await self._store.view(lambda tx: [type for type in export.types if _has_any(tx, export, type)])
        manifest = {
            "transactionTime": instant_text(export.moment),
            "request": export.request,
            "requiresAccessToken": True,
            "output": [
                {"type": type, "url": f"{self._around.base_url}/bulk/{export.id}/{type}.ndjson"} for type in there
            ],
            "error": [],
        }
        expires = (export.moment + KEPT).strftime("%a, %d %b %Y %H:%M:%S GMT")
        return JSONResponse(manifest, headers={"Expires": expires, "Cache-Control": "no-store"})

    async def _file(self, request: Request, agent: Agent) -> Response:
        export = await self._the_export(request, agent)
        type = request.path_params["type"]
        call = Call("operation", type, operation="export")

        def first(tx: Tx) -> tuple[list[Stored], str | None]:
            if type not in export.types:
                raise NotFoundError(f"this export has no {type[:40]}")
            _allow(tx, type)
            trail.done(tx, call)
            return _some(tx, export, type, "")

        rows, following = await self._unit(agent, call, first)
        return StreamingResponse(
            self._lines(export, type, rows, following), media_type=NDJSON[0], headers={"Cache-Control": "no-store"}
        )

    async def _lines(
        self, export: _Export, type: str, rows: list[Stored], following: str | None
    ) -> AsyncIterator[bytes]:
        while True:
            if rows:
                yield b"".join(row.body + b"\n" for row in rows)
            if following is None:
                return
            rows, following = await self._store.view(partial(_some, export=export, type=type, after=following))

    async def _forget(self, request: Request, agent: Agent) -> Response:
        export = await self._the_export(request, agent)
        await self._store.unit(agent, lambda tx: tx.set_state(_NOTES + export.id, None))
        return Response(status_code=202)

    async def _the_export(self, request: Request, agent: Agent) -> _Export:
        """The export of this id, for whoever asked for it; 404 for everybody else and a day later."""
        name = _NOTES + request.path_params["id"]
        noted = await self._store.view(lambda tx: tx.get_state(name))
        found = None if noted is None else _read(noted)
        if found is None or found.who != agent.who or found.moment + KEPT < datetime.now(UTC):
            raise NotFoundError("there is no such export of yours; it may have been forgotten after a day")
        return found


def _read(noted: str) -> _Export:
    row = json.loads(noted)
    return _Export(**{**row, "types": tuple(row["types"])})


def _forget_old(tx: Tx) -> None:
    for name, noted in tx.states(_NOTES):
        if _read(noted).moment + KEPT < tx.now:
            tx.set_state(name, None)


def _types(tx: Tx, level: str, wanted: list[str]) -> tuple[str, ...]:
    """What is exported: what is asked for, or all that the token may read."""
    offered = [t for t in accepted_types() if not level or t == "Patient" or "patient" in parameters(t)]
    for type in wanted:
        if type not in offered:
            raise InvalidContentError(f"{type[:40]!r} is not exported here", status=400, issue_code="not-supported")
        _allow(tx, type)
    if wanted:
        return tuple(dict.fromkeys(wanted))
    types = tuple(type for type in offered if type not in _UNASKED and _allowed(tx, type))
    if not types:
        _allow(tx, offered[0])
    return types


def _allow(tx: Tx, type: str) -> None:
    """ForbiddenError unless the agent may read and search all of the type: exports are of everybody."""
    decide(tx.agent, "r", type)
    decide(tx.agent, "s", type)
    require_all(tx, type)
    if tx.agent.patient is not None:
        raise ForbiddenError("a token for one patient exports nothing; ask for Patient/[id]/$everything")


def _allowed(tx: Tx, type: str) -> bool:
    try:
        _allow(tx, type)
    except ForbiddenError:
        return False
    return True


def _moment(text: str, around: Surroundings) -> datetime:
    try:
        return instant(text, around.site.zone)
    except ValueError as error:
        raise InvalidContentError("_since is an instant", status=400, issue_code="value") from error


def _some(tx: Tx, export: _Export, type: str, after: str) -> tuple[list[Stored], str | None]:
    since = None if export.since is None else datetime.fromisoformat(export.since)
    return tx.as_of(type, export.moment, since=since, after=after, limit=_PAGE)


def _has_any(tx: Tx, export: _Export, type: str) -> bool:
    after: str | None = ""
    while after is not None:
        rows, after = _some(tx, export, type, after)
        if rows:
            return True
    return False
