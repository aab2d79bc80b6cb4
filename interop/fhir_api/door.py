"""The FHIR door: an HTTP request becomes a call, a unit of work carries it out, and its answer goes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from traceback import format_tb
from typing import NoReturn

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from interop.access import Agent
from interop.errors import InteropError, UnauthenticatedError
from interop.fhir.summary import view_of
from interop.fhir_api import trail
from interop.fhir_api.answers import http_answer, http_error
from interop.fhir_api.binaries import BINARY, content, content_wanted, is_resource, with_content
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.incoming import (
    FORM_TYPE,
    PATCH_TYPES,
    RESOURCE_TYPES,
    body_of,
    bytes_of,
    content_kind,
    moment_of,
    query_params,
    tags_of,
    versions_of,
)
from interop.fhir_api.interactions import perform
from interop.fhir_api.metadata import statement
from interop.fhir_api.negotiation import Wanted, wanted, wanted_of_errors, without_presentation
from interop.fhir_api.preparing import Plan, aside, checked, plan_of, with_input, with_patch, with_resource
from interop.fhir_api.routing import resolve, segments_of
from interop.fhir_api.transaction import response_bundle, transaction
from interop.store import Store, Tx

logger = logging.getLogger(__name__)

AT_ONCE = 16  # entries of a batch under way together

_OF_ONE = frozenset(("read", "vread"))
_READING = _OF_ONE | {"search-type", "search-system", "history-instance", "history-type", "history-system"}

# What to call a request in the audit trail whose address means nothing here.
_INTENDED = {"GET": "read", "HEAD": "read", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class FhirDoor:
    """The ASGI application at /fhir."""

    def __init__(self, store: Store, around: Surroundings, max_bytes: int) -> None:
        self._store = store
        self._around = around
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever happens, with FHIR."""
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except InteropError as error:
            response = http_error(error, wanted_of_errors(request))
        except Exception as error:  # its text may hold what was sent, so only its kind and place are logged
            logger.error("a FHIR request failed: %s\n%s", type(error).__name__, "".join(format_tb(error.__traceback__)))
            mistake = InteropError("this server made a mistake; it is in its log")
            response = http_error(mistake, wanted_of_errors(request))
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        segments = segments_of(request.path_params.get("path", ""))
        query = request.scope.get("query_string", b"").decode("latin-1")
        if segments == ("metadata",) and request.method in ("GET", "HEAD"):
            params = query_params(query)
            asked = wanted(request, params)
            said = Answer(200, self._statement(), view=view_of(params))
            return await self._answered(said, asked)
        agent = getattr(request.state, "agent", None)
        if not isinstance(agent, Agent):
            raise UnauthenticatedError()
        call = Call(_INTENDED.get(request.method, "operation"), segments[0] if segments else "", query=query)
        plan: Plan | None = None
        try:
            target = resolve(request.method, segments)
            name = (
                "transaction" if target.interaction == "bundle" else target.interaction
            )  # until it says it is a batch
            params = query_params(query)
            call = Call(
                name,
                target.type,
                target.id,
                target.version,
                params,
                query,
                target.operation,
                compartment=target.compartment,
                view=view_of(params),
            )
            asked = _asked(request, call)
            if asked.lenient:
                call = replace(call, lenient=True)
            if target.interaction == "bundle":
                plan = await self._plan(request)
            else:
                call = await self._with_body(request, call)
                if call.params is not params:  # a form may say it too
                    asked = _asked(request, call)
        except InteropError as error:
            await self._refuse(agent, call, error)
        if plan is not None:
            answer = Answer(200, await self._bundle(agent, call, plan, asked))
        else:
            answer = await self._perform(agent, call)
            if call.type == BINARY and answer.stored is not None and answer.status == 200 and not answer.written:
                return await aside(len(answer.body), lambda: self._binary(request, answer, asked))
        return await self._answered(answer, asked)

    def _statement(self) -> bytes:
        around = self._around
        return statement(around.base_url, around.delete_multiple, around.bindings.url if around.bindings else None)

    def _binary(self, request: Request, answer: Answer, asked: Wanted) -> Response:
        """A Binary that was read: its content, or the resource about it."""
        assert answer.stored is not None
        if content_wanted(request, answer.stored.resource()["contentType"]):
            return content(answer)
        return http_answer(answer, asked, self._around.base_url)

    async def _answered(self, answer: Answer, asked: Wanted) -> Response:
        """The response; in a thread where a large body is still to be written anew."""
        anew = asked.pretty or asked.format != "json" or answer.view is not None
        size = len(answer.body) if anew else 0
        return await aside(size, lambda: http_answer(answer, asked, self._around.base_url))

    async def _with_body(self, request: Request, call: Call) -> Call:
        """The call with what headers and body add to it."""
        if call.interaction in ("search-type", "search-system") and request.method == "POST":
            form = await body_of(request, self._max_bytes, (FORM_TYPE,))
            query = "&".join(part for part in (call.query, form.decode("utf-8", "replace")) if part)
            params = query_params(query)
            return replace(call, query=query, params=params, view=view_of(params))
        if call.interaction == "operation" and request.method == "POST":
            return await with_input(request, call, self._max_bytes)
        call = _conditioned(call, request)
        if call.interaction == "patch":
            body = await body_of(request, self._max_bytes, PATCH_TYPES)
            return await aside(len(body), lambda: with_patch(call, body, content_kind(request)))
        if call.interaction not in ("create", "update"):
            return call
        kind = content_kind(request)
        if call.type == BINARY:
            body = await bytes_of(request, self._max_bytes)
            if not is_resource(kind, body):
                return await aside(len(body), lambda: checked(with_content(call, request, body), self._around.base_url))
        else:
            body = await body_of(request, self._max_bytes, RESOURCE_TYPES)
        return await aside(len(body), lambda: with_resource(call, body, kind, self._around.base_url))

    async def _perform(self, agent: Agent, call: Call) -> Answer:
        return await self._unit(agent, call, lambda tx: perform(tx, self._around, call))

    async def _unit(self, agent: Agent, call: Call, work: Callable[[Tx], Answer]) -> Answer:
        """One unit of work; a refusal leaves its event in the same commit and is then raised."""

        def refused(tx: Tx, error: InteropError) -> Answer | InteropError:
            trail.refused(tx, call, error)
            return error

        if call.interaction in _READING:
            named = call.interaction in _OF_ONE and call.type != "AuditEvent"
            wanted = ((call.type, call.id),) if named else ()
            result = await self._store.reading(agent, work, wanted, refused=refused)
        else:
            result = await self._store.unit(agent, work, refused=refused)
        if isinstance(result, InteropError):
            raise result
        return result

    async def _refuse(self, agent: Agent, call: Call, error: InteropError) -> NoReturn:
        """A refusal before there was anything to carry out; audited like any other."""

        def work(_tx: Tx) -> Answer:
            raise error

        await self._unit(agent, call, work)
        raise error

    async def _plan(self, request: Request) -> Plan:
        body = await body_of(request, self._max_bytes, RESOURCE_TYPES)
        return await aside(len(body), lambda: plan_of(body, content_kind(request), self._around.base_url))

    async def _bundle(self, agent: Agent, call: Call, plan: Plan, asked: Wanted) -> bytes:
        if plan.kind == "batch":
            return response_bundle("batch", await self._batch(agent, plan), asked)
        return response_bundle("transaction", await self._transaction(agent, call, plan), asked)

    async def _transaction(self, agent: Agent, call: Call, plan: Plan) -> list[Answer]:
        answers: list[Answer] = []

        def work(tx: Tx) -> Answer:
            answers[:] = transaction(tx, self._around, call, plan)
            return Answer(200)

        await self._unit(agent, call, work)
        return answers

    async def _batch(self, agent: Agent, plan: Plan) -> list[Answer | InteropError]:
        """Each entry for itself (http.html#brules), side by side so that they share their commits."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(call: Call) -> Answer | InteropError:
            async with gate:
                try:
                    if call.interaction == "unknown":
                        assert call.problem is not None
                        await self._refuse(agent, call, call.problem)
                    return await self._perform(agent, call)
                except InteropError as error:
                    return error

        return list(await asyncio.gather(*map(one, plan.calls)))


def _asked(request: Request, call: Call) -> Wanted:
    """What is wanted back; of a Binary it may also be its content, whatever type that has."""
    if call.type == BINARY and call.interaction in ("read", "vread"):
        return wanted_of_errors(request)
    return wanted(request, call.params)


def _conditioned(call: Call, request: Request) -> Call:
    """The call under the conditions that the headers and the address set (R4 http.html, RFC 9110 13.1)."""
    headers = request.headers
    match call.interaction:
        case "read" | "vread":
            if "if-none-match" not in headers and "if-modified-since" not in headers:
                return call  # of nearly every read
            return replace(
                call,
                if_none_match=tags_of(headers.get("if-none-match")),
                if_modified_since=moment_of(headers.get("if-modified-since")),
            )
        case "create" if "if-none-exist" in headers:
            return replace(call, if_none_exist=headers.get("if-none-exist"))
        case "update" | "patch" | "delete":
            return replace(
                call,
                if_match=versions_of(headers.get("if-match")),
                if_none_match=tags_of(headers.get("if-none-match")),
                criteria=None if call.id else without_presentation(call.params),
            )
    return call
