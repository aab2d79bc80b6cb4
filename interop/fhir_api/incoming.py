"""Reading a request: its body within the limit, what it carries, on which condition."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

from starlette.requests import Request

from interop.errors import MalformedError, TooLargeError, UnsupportedError

JSON_TYPES = ("application/fhir+json", "application/json", "text/json")
XML_TYPES = ("application/fhir+xml", "application/xml", "text/xml")
RESOURCE_TYPES = (*JSON_TYPES, *XML_TYPES)
JSON_PATCH = "application/json-patch+json"
PATCH_TYPES = (JSON_PATCH, *RESOURCE_TYPES)
FORM_TYPE = "application/x-www-form-urlencoded"
FHIR_VERSIONS = ("4.0", "4.0.1")  # of the parameter fhirVersion of a media type (R4 http.html#version-parameter)
_VERSION = r'\s*(?:W/)?"[0-9]{1,9}"\s*'
_VERSIONS = re.compile(f"{_VERSION}(?:,{_VERSION})*", re.ASCII)
_ETAGS = re.compile(r'\s*(?:W/)?"[^"]*"\s*(?:,\s*(?:W/)?"[^"]*"\s*)*')
_TAG = re.compile(r'"([^"]*)"')
_MAX_PARAMS = 200


def query_params(query: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a query string or a form; more than any search needs are refused."""
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMS))
    except ValueError as error:
        raise UnsupportedError(f"more than {_MAX_PARAMS} parameters", issue_code="too-costly") from error


def content_kind(request: Request) -> str:
    """The media type of the body, without its options."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_of(request: Request, max_bytes: int, kinds: tuple[str, ...]) -> bytes:
    """The body; 415 for another content type or release of FHIR, 413 as soon as it is too long."""
    kind, *options = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    named = {name.strip(): value.strip(' "') for name, _, value in (option.partition("=") for option in options)}
    if kind not in kinds or named.get("charset", "utf-8") not in ("utf-8", "utf8"):
        raise UnsupportedError(f"the body must be {' or '.join(_main(kinds))} in UTF-8", status=415)
    if named.get("fhirversion", "4.0") not in FHIR_VERSIONS:
        raise UnsupportedError("the body must be of FHIR 4.0", status=415)
    return await bytes_of(request, max_bytes)


def _main(kinds: tuple[str, ...]) -> list[str]:
    return [kind for kind in kinds if kind not in ("application/json", "text/json", "application/xml", "text/xml")]


async def bytes_of(request: Request, max_bytes: int) -> bytes:
    """The body, whatever it is; 413 as soon as it is too long, 415 where it is compressed (RFC 9110 8.4)."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedError("a body is taken without a Content-Encoding", status=415)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise TooLargeError(f"a body has at most {max_bytes} bytes")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise TooLargeError(f"a body has at most {max_bytes} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def versions_of(if_match: str | None) -> frozenset[str] | None:
    """The versions that If-Match names (R4 http.html#concurrency), ``*`` any that is there (RFC 9110 13.1.1).

    400 if one is no version of ours.
    """
    if if_match is None:
        return None
    if if_match.strip() == "*":
        return frozenset("*")
    if not _VERSIONS.fullmatch(if_match):
        raise MalformedError('If-Match names versions, as W/"3", or *', issue_code="value")
    return frozenset(str(int(tag)) for tag in _TAG.findall(if_match))


def tags_of(if_none_match: str | None) -> frozenset[str] | None:
    """The versions that If-None-Match names, ``*`` any (RFC 9110 13.1.2); 400 where it is no list of entity tags."""
    if if_none_match is None:
        return None
    if if_none_match.strip() == "*":
        return frozenset("*")
    if not _ETAGS.fullmatch(if_none_match):
        raise MalformedError('If-None-Match names versions, as W/"3", or *', issue_code="value")
    return frozenset(_TAG.findall(if_none_match))


def moment_of(if_modified_since: str | None) -> datetime | None:
    """The instant of If-Modified-Since; None where it is no HTTP date, which is then ignored (RFC 9110 13.1.3)."""
    if if_modified_since is None:
        return None
    try:
        moment = parsedate_to_datetime(if_modified_since)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
