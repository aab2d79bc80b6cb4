"""From bytes to calls, before any unit of work: parsing and validating, which need no database.

What is wrong is kept in the call as its ``problem``: whether the agent may know is decided first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from starlette.requests import Request

from interop.errors import InteropError, InvalidContentError, MalformedError, UnsupportedError
from interop.fhir.bundle import Entry, conditional_reference, entries_of, links, located
from interop.fhir.json import loads
from interop.fhir.references import localised, references, rewrite
from interop.fhir.validation import validate
from interop.fhir_api.calls import Call
from interop.fhir_api.incoming import JSON_TYPES, body_of, version_of
from interop.fhir_api.routing import resolve

LARGE = 128 * 1024  # bytes from which a body is read aside from the event loop

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch or transaction: its entries with the call that each one makes."""

    kind: str
    entries: tuple[Entry, ...]
    calls: tuple[Call, ...]


async def aside(size: int, work: Callable[[], T]) -> T:
    """The result of the work; in a thread where the body is so large that it would hold up everybody else."""
    return await asyncio.to_thread(work) if size > LARGE else work()


def with_resource(call: Call, body: bytes, base_url: str) -> Call:
    """The call with the resource of its body, or with what is wrong with it."""
    parsed = with_parsed(call, body)
    return parsed if parsed.problem is not None else checked(parsed, base_url)


async def with_input(request: Request, call: Call, max_bytes: int) -> Call:
    """The call with an operation's body: Parameters or a resource, read and not yet validated; there may be none."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return call
    body = await body_of(request, max_bytes, JSON_TYPES)
    return await aside(len(body), lambda: with_parsed(call, body)) if body else call


def with_parsed(call: Call, body: bytes) -> Call:
    """The call with the JSON object of its body as it stands, or with what is wrong with it."""
    try:
        resource = loads(body)
    except MalformedError as error:
        return replace(call, problem=error)
    if not isinstance(resource, dict):
        return replace(call, problem=MalformedError("a resource is a JSON object"))
    return replace(call, resource=resource)


def checked(call: Call, base_url: str) -> Call:
    """The call with its resource validated, references to this server made relative, or with its problem."""
    resource = call.resource
    assert resource is not None
    try:
        validate(resource, type=call.type)
        if call.interaction == "update" and resource.get("id") != call.id:
            raise InvalidContentError(
                "the id in the resource is not the id in the address", expression=f"{call.type}.id", status=400
            )
    except InteropError as error:
        return replace(call, problem=error)
    return replace(call, resource=localised(resource, base_url))


def plan_of(body: bytes, base_url: str) -> Plan:
    """The Bundle as a plan; what is wrong with a single entry is in its call."""
    bundle = loads(body)
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise MalformedError("a Bundle is posted to the base address", expression="resourceType")
    if bundle.get("type") not in ("batch", "transaction"):
        raise InvalidContentError("a Bundle that is posted here is a batch or a transaction", expression="Bundle.type")
    entries = entries_of(bundle, base_url)
    validate(_without_resources(bundle))
    names = _placeholders(entries, base_url) if bundle["type"] == "transaction" else {}
    return Plan(bundle["type"], entries, tuple(_call(entry, names, base_url) for entry in entries))


def _without_resources(bundle: dict[str, Any]) -> dict[str, Any]:
    """The Bundle's own structure; its resources are validated one by one, once their links are known."""
    carried = {"resourceType": "Account"}  # a type that validation only carries
    entries = [entry | {"resource": carried} if "resource" in entry else entry for entry in bundle.get("entry", [])]
    return {**bundle, "entry": entries} if entries else bundle


def _placeholders(entries: tuple[Entry, ...], base_url: str) -> dict[str, str]:
    """Links between entries as references of the right type, so that validation can tell where they lead."""
    names: dict[str, str] = {}
    for entry in entries:
        if entry.method in ("POST", "PUT"):
            names |= links(entry, f"{entry.type}/entry-{entry.index}", base_url)
    return names


def _call(entry: Entry, names: Mapping[str, str], base_url: str) -> Call:
    call = Call("unknown", entry.type, params=entry.params, query=entry.query, resource=entry.resource)
    try:
        target = resolve(entry.method, entry.segments)
        if entry.method != "GET" and (entry.query or target.interaction == "search-type"):
            raise UnsupportedError("a write with criteria in its url is not offered", expression=_request(entry))
        if entry.if_none_match is not None:
            raise UnsupportedError("ifNoneMatch is not offered", expression=_request(entry))
        call = Call(
            target.interaction,
            target.type,
            target.id,
            target.version,
            entry.params,
            entry.query,
            target.operation,
            entry.resource,
            if_match=version_of(entry.if_match),
            if_none_exist=entry.if_none_exist if target.interaction == "create" else None,
        )
        if entry.resource is None or target.interaction == "operation":
            return call
        seen = checked(replace(call, resource=_as_linked(entry.resource, names)), base_url)
        problem = None if seen.problem is None else located(seen.problem, entry.index)
        return replace(call, resource=localised(entry.resource, base_url), problem=problem)
    except InteropError as error:
        return replace(call, problem=located(error, entry.index))


def _request(entry: Entry) -> str:
    return f"Bundle.entry[{entry.index}].request"


def _as_linked(resource: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The resource as it will be once links and conditional references are resolved."""
    conditional = {
        reference: f"{found[0]}/conditional"
        for _, reference in references(resource)
        if (found := conditional_reference(reference)) is not None
    }
    return rewrite(resource, {**names, **conditional})
