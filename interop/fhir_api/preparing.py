"""From bytes to calls, before any unit of work: parsing and validating, which need no database.

What is wrong is kept in the call as its ``problem``: whether the agent may know is decided first.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from starlette.requests import Request

from interop.errors import InteropError, InvalidContentError, MalformedError, UnsupportedError
from interop.fhir.bundle import Entry, conditional_reference, entries_of, links, located
from interop.fhir.fhirpath_patch import read_fhirpath_patch
from interop.fhir.json import dumps, loads
from interop.fhir.json_patch import read_json_patch
from interop.fhir.references import localised, references, rewrite
from interop.fhir.summary import SUBSETTED, view_of
from interop.fhir.validation import validate
from interop.fhir.xml_reading import from_xml
from interop.fhir_api.calls import Call, Patch
from interop.fhir_api.incoming import JSON_PATCH, RESOURCE_TYPES, XML_TYPES, body_of, content_kind, tags_of, versions_of
from interop.fhir_api.negotiation import without_presentation
from interop.fhir_api.routing import Target, resolve

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


def with_resource(call: Call, body: bytes, kind: str, base_url: str) -> Call:
    """The call with the resource of its body, or with what is wrong with it."""
    parsed = with_parsed(call, body, kind)
    return parsed if parsed.problem is not None else checked(parsed, base_url)


async def with_input(request: Request, call: Call, max_bytes: int) -> Call:
    """The call with an operation's body: Parameters or a resource, read and not yet validated; there may be none."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return call
    body = await body_of(request, max_bytes, RESOURCE_TYPES)
    return await aside(len(body), lambda: with_parsed(call, body, content_kind(request))) if body else call


def with_parsed(call: Call, body: bytes, kind: str) -> Call:
    """The call with the resource of its body as it stands, or with what is wrong with it."""
    try:
        return replace(call, resource=_resource(body, kind))
    except MalformedError as error:
        return replace(call, problem=error)


def with_patch(call: Call, body: bytes, kind: str) -> Call:
    """The call with the patch of its body, or with what is wrong with it."""
    try:
        return replace(call, patch=patch_of(body, kind))
    except InteropError as error:
        return replace(call, problem=error)


def patch_of(body: bytes, kind: str) -> Patch:
    """The patch: by its media type a JSON Patch (RFC 6902) or Parameters (R4 fhirpatch.html)."""
    if kind == JSON_PATCH:
        return read_json_patch(loads(body))
    return _fhirpath_patch(_resource(body, kind))


def _fhirpath_patch(parameters: dict[str, Any]) -> Patch:
    validate(parameters, type="Parameters")
    return read_fhirpath_patch(parameters)


def _resource(body: bytes, kind: str) -> dict[str, Any]:
    resource = loads(dumps(from_xml(body)) if kind in XML_TYPES else body)
    if not isinstance(resource, dict):
        raise MalformedError("a resource is a JSON object")
    return resource


def checked(call: Call, base_url: str) -> Call:
    """The call with its resource validated, references to this server made relative, or with its problem."""
    resource = call.resource
    assert resource is not None
    problem = _problem_of(call, resource)
    return replace(call, resource=localised(resource, base_url)) if problem is None else replace(call, problem=problem)


def _problem_of(call: Call, resource: dict[str, Any]) -> InteropError | None:
    """What is wrong with the resource that the call brings; None where nothing is."""
    try:
        validate(resource, type=call.type)
        if call.interaction == "update":
            _require_whole(call, resource)
    except InteropError as error:
        return error
    return None


def _require_whole(call: Call, resource: dict[str, Any]) -> None:
    """What replaces a resource is that resource, and all of it."""
    if call.criteria is None and resource.get("id") != call.id:
        raise InvalidContentError(
            "the id in the resource is not the id in the address", expression=f"{call.type}.id", status=400
        )
    if SUBSETTED["code"] in (tag.get("code") for tag in resource.get("meta", {}).get("tag", ())):
        raise InvalidContentError(
            "a resource that was read in part (tag SUBSETTED) does not replace the whole",
            expression=f"{call.type}.meta.tag",
            issue_code="business-rule",
        )


def plan_of(body: bytes, kind: str, base_url: str) -> Plan:
    """The Bundle as a plan; what is wrong with a single entry is in its call."""
    bundle = _resource(body, kind)
    if bundle.get("resourceType") != "Bundle":
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
        if entry.method in ("POST", "PUT") and entry.problem is None:
            names |= links(entry, f"{entry.type}/entry-{entry.index}", base_url)
    return names


def _call(entry: Entry, names: Mapping[str, str], base_url: str) -> Call:
    call = Call("unknown", entry.type, params=entry.params, query=entry.query, resource=entry.resource)
    if entry.problem is not None:
        return replace(call, problem=entry.problem)
    try:
        target = resolve(entry.method, entry.segments)
        call = _conditioned(entry, target)
        if entry.resource is None or target.interaction == "operation":
            return call
        if call.interaction == "patch":
            return replace(call, patch=_patch_in(entry.resource), resource=None)
        wrong = _problem_of(call, _as_linked(entry.resource, names))
        problem = None if wrong is None else located(wrong, entry.index)
        return replace(call, resource=localised(entry.resource, base_url), problem=problem)
    except InteropError as error:
        return replace(call, problem=located(error, entry.index))


def _conditioned(entry: Entry, target: Target) -> Call:
    """The entry's request as a call, under the conditions that it sets (R4 http.html#trules)."""
    reads = entry.method == "GET"
    takes_criteria = target.interaction in ("update", "patch", "delete") and not target.id
    criteria = without_presentation(entry.params) if takes_criteria else None
    if not reads and (
        target.interaction in ("search-type", "search-system")
        or (criteria is None and without_presentation(entry.params))
    ):
        raise UnsupportedError("this url takes no criteria", expression=_request(entry))
    return Call(
        target.interaction,
        target.type,
        target.id,
        target.version,
        entry.params,
        entry.query,
        target.operation,
        entry.resource if entry.method != "PATCH" else None,
        if_match=versions_of(entry.if_match),
        if_none_exist=entry.if_none_exist if target.interaction == "create" else None,
        criteria=criteria,
        compartment=target.compartment,
        if_none_match=tags_of(entry.if_none_match),
        if_modified_since=_instant(entry),
        view=view_of(entry.params) if reads else None,
    )


def _instant(entry: Entry) -> datetime | None:
    text = entry.if_modified_since
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedError("ifModifiedSince is an instant", expression=_request(entry)) from error


def _patch_in(resource: dict[str, Any]) -> Patch:
    """The patch of an entry: Parameters, or a Binary with a JSON Patch (R4 http.html#patch)."""
    if resource.get("resourceType") != "Binary":
        return _fhirpath_patch(resource)
    validate(resource, type="Binary")
    if resource["contentType"].partition(";")[0].strip() != JSON_PATCH:
        raise UnsupportedError(f"a Binary with a patch is {JSON_PATCH}", expression="Binary.contentType", status=415)
    return patch_of(b64decode(resource.get("data", "")), JSON_PATCH)


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
