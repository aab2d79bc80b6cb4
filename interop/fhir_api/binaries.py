"""Binary: any content, as its own bytes or as a resource — https://hl7.org/fhir/R4/binary.html#rest

Whoever may do something with a Binary may do it with the resource that its securityContext names; a Binary is about the
patient whom that one is about.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from interop.access import decide
from interop.errors import InvalidContentError, MalformedError, UnsupportedError
from interop.fhir.json import loads
from interop.fhir.profile import accepted_types
from interop.fhir.references import split_reference
from interop.fhir_api import trail
from interop.fhir_api.answers import http_date
from interop.fhir_api.calls import Answer, Call
from interop.fhir_api.incoming import JSON_TYPES, XML_TYPES
from interop.fhir_api.negotiation import ranked
from interop.store import Stored, Tx

BINARY = "Binary"
CONTEXT_HEADER = "x-security-context"
_FHIR_TYPES = ("application/fhir+json", "application/fhir+xml")
_MAYBE_RESOURCE = frozenset((*JSON_TYPES, *XML_TYPES))
# The bytes are somebody's: they are for saving, and nothing in them runs at this server's address.
_ALOOF = {"Content-Disposition": "attachment", "Content-Security-Policy": "default-src 'none'; sandbox"}


def is_resource(kind: str, body: bytes) -> bool:
    """Whether a body is a Binary resource: by its FHIR type, or as JSON or XML that says so itself."""
    if kind in _FHIR_TYPES:
        return True
    if kind in JSON_TYPES:
        try:
            value = loads(body)
        except MalformedError:
            return False
        return isinstance(value, dict) and value.get("resourceType") == BINARY
    return kind in XML_TYPES and b"<Binary" in body[:1000]


def made_of(request: Request, body: bytes, id: str) -> dict[str, Any]:
    """The resource of content that was sent as it is."""
    kind = request.headers.get("content-type", "")
    if not kind:
        raise UnsupportedError("the content needs a Content-Type", status=415)
    resource: dict[str, Any] = {"resourceType": BINARY, **({"id": id} if id else {}), "contentType": kind}
    context = request.headers.get(CONTEXT_HEADER)
    if context:
        resource["securityContext"] = {"reference": context}
    if body:
        resource["data"] = b64encode(body).decode("ascii")
    return resource


def content_wanted(request: Request, kind: str) -> bool:
    """Whether the content itself is wanted, and not the resource about it; UnsupportedError (406) if neither fits."""
    if request.query_params.get("_format"):
        return False
    own = kind.partition(";")[0].strip().lower()
    for media_range in ranked(request.headers.get("accept", "*/*")):
        if media_range in ("*/*", own, f"{own.partition('/')[0]}/*"):
            return True
        if media_range in _FHIR_TYPES or media_range in _MAYBE_RESOURCE:
            return False
    raise UnsupportedError(f"the content is {own}; otherwise there is {' or '.join(_FHIR_TYPES)}", status=406)


def content(answer: Answer) -> Response:
    """The content of a Binary that was read."""
    assert answer.stored is not None
    resource = answer.stored.resource()
    headers = {
        **_ALOOF,
        "Cache-Control": "no-store",
        "ETag": answer.stored.etag,
        "Last-Modified": http_date(answer.stored.last_updated),
        "Vary": "Accept",
    }
    context = resource.get("securityContext", {}).get("reference")
    if context and context.isascii() and context.isprintable():
        headers[CONTEXT_HEADER] = context
    response = Response(b64decode(resource.get("data", "")), 200, headers)
    response.headers["content-type"] = resource["contentType"]
    return response


# who may


def decided(tx: Tx, verb: str, stored: Stored) -> str | None:
    """The patient whom a stored resource is about, once the agent may do this with it."""
    if stored.type == BINARY and stored.body:
        return decided_by_context(tx, verb, stored.resource())
    patient = trail.patient_in(stored)
    decide(tx.agent, verb, stored.type, patient=patient)
    return patient


def decided_by_context(tx: Tx, verb: str, resource: Mapping[str, Any]) -> str | None:
    """The same for the content of a Binary."""
    literal = (resource.get("securityContext") or {}).get("reference")
    target = split_reference(literal) if isinstance(literal, str) else None
    context = tx.read(*target) if target is not None and target[0] in accepted_types() else None
    patient = None if context is None else trail.patient_in(context)
    decide(tx.agent, verb, BINARY, patient=patient)
    if target is not None:
        decide(tx.agent, verb, target[0], patient=patient)
    return patient


def require_all(tx: Tx, type: str) -> None:
    """Many Binaries at once are for whoever may read everything: each might belong to any resource."""
    if type == BINARY:
        for each in accepted_types():
            decide(tx.agent, "r", each)


def with_content(call: Call, request: Request, body: bytes) -> Call:
    """The call with the resource that the content becomes."""
    if call.interaction == "update" and not call.id:
        raise InvalidContentError("content is put at an id, not by criteria", status=400, issue_code="not-supported")
    return replace(call, resource=made_of(request, body, call.id))
