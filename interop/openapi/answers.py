"""Answers: what a success gives, and what each refusal says (RFC 9457 outside FHIR)."""

from __future__ import annotations

from http import HTTPStatus

from interop.openapi.operation import Json, ref

PROBLEM_STATUSES = (400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 415, 422, 502, 503)
_HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    405: {"Allow": {"schema": {"type": "string"}}},
    503: {"Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}}},
}
PROBLEM: Json = {
    "type": "object",
    "required": ["title", "status", "detail", "code"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "as in an OperationOutcome's issue"},
    },
}


def gives(text: str, *types: str, schema: Json | None = None, headers: dict[str, Json] | None = None) -> Json:
    """A Response Object; each media type with the same schema, JSON unless another is named."""
    kinds = types or (("application/json",) if schema else ())
    content = {kind: ({"schema": schema} if schema else {}) for kind in kinds}
    return {
        "description": text,
        **({"headers": headers} if headers else {}),
        **({"content": content} if content else {}),
    }


def problems(*statuses: int) -> dict[str, Json]:
    """References to the refusals with these statuses; 400, 401, 403 and 503 are everywhere."""
    return {str(status): ref("responses", f"problem-{status}") for status in (400, 401, 403, 503, *statuses)}


def pages(*statuses: int) -> dict[str, Json]:
    """The same where people look."""
    return {str(status): ref("responses", f"page-{status}") for status in (400, 401, 403, 503, *statuses)}


def problem_responses() -> dict[str, Json]:
    """The refusals by name. Below /api and /dicom-web they are problem documents; where people look, they are pages."""
    responses = {}
    for status in PROBLEM_STATUSES:
        content = {"application/problem+json": {"schema": ref("schemas", "Problem")}}
        responses[f"problem-{status}"] = refusal(status, content)
        responses[f"page-{status}"] = refusal(status, {"text/html": {}, **content})
    return responses


def refusal(status: int, content: Json) -> Json:
    """The Response Object of a refusal."""
    headers = _HEADERS.get(status)
    return {
        "description": HTTPStatus(status).phrase,
        **({"headers": headers} if headers else {}),
        "content": content,
    }
