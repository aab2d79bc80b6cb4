"""Answers and errors as HTTP: the one place where an InteropError becomes a response of this door."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from starlette.responses import Response

from interop.errors import InteropError, MethodNotOfferedError, UnsupportedError
from interop.fhir.json import dumps, indented, loads
from interop.fhir.outcome import all_ok, outcome
from interop.fhir.summary import viewed
from interop.fhir.xml_writing import to_xml
from interop.fhir_api.calls import Answer
from interop.fhir_api.negotiation import MEDIA_TYPES, PLAIN, Wanted
from interop.fhir_api.trail import versioned

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
RETRY_AFTER = 5  # seconds, where a 503 knows no better


def http_answer(answer: Answer, wanted: Wanted, base_url: str) -> Response:
    """The response to an interaction that was carried out."""
    headers = {"Cache-Control": "no-store"}
    if answer.stored is not None:
        headers["ETag"] = answer.stored.etag
        headers["Last-Modified"] = http_date(answer.stored.last_updated)
        if answer.location:
            headers["Location"] = f"{base_url}/{versioned(answer.stored)}"
    body = preferred_body(answer, wanted)
    if not body:
        return Response(status_code=answer.status, headers=headers)
    try:
        return written(body, answer.status, headers, wanted)
    except UnsupportedError:
        if not answer.written:  # what was stored is stored, whatever it can be shown as
            raise
        return written(body, answer.status, headers, PLAIN)


def written(body: bytes, status: int, headers: dict[str, str], wanted: Wanted) -> Response:
    """The resource in the format that is wanted; UnsupportedError (406) where it cannot be written so."""
    headers["Vary"] = "Accept"
    if wanted.format == "xml":
        body = to_xml(loads(body), pretty=wanted.pretty)
    elif wanted.pretty:
        body = indented(body)
    return Response(body, status, headers, MEDIA_TYPES[wanted.format])


def preferred_body(answer: Answer, wanted: Wanted) -> bytes:
    """What Prefer: return= leaves of what was written (R4 http.html#ops), or the part of the body that is wanted."""
    if not answer.written or wanted.returns == "representation":
        return answer.body if answer.view is None or not answer.body else viewed(answer.body, answer.view)
    return b"" if wanted.returns == "minimal" else dumps(all_ok())


def http_error(error: InteropError, wanted: Wanted = PLAIN) -> Response:
    """The response to one that was refused: its status and an OperationOutcome."""
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, MethodNotOfferedError):
        headers["Allow"] = ", ".join(error.allow)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 503 or error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after or RETRY_AFTER)
    return written(dumps(outcome(error)), error.status, headers, wanted)


def http_date(moment: datetime) -> str:
    """An instant in UTC as RFC 9110 5.6.7 writes it; on every answer, so without email.utils."""
    day = _DAYS[moment.weekday()]
    return f"{day}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04} {moment:%H:%M:%S} GMT"


def status_line(status: int) -> str:
    """``201 Created``, as a Bundle's response.status."""
    return f"{status} {HTTPStatus(status).phrase}"
