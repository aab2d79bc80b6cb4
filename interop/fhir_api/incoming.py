"""Reading a request: its body within the limit, what it carries, what it wants back, on which condition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from starlette.requests import Request

from interop.errors import MalformedError, TooLargeError, UnsupportedError

JSON_TYPES = ("application/fhir+json", "application/json", "text/json")
FORM_TYPE = "application/x-www-form-urlencoded"
_ACCEPTED = frozenset((*JSON_TYPES, "*/*", "application/*", "text/*", "json"))
_ETAG = re.compile(r'\s*(?:W/)?"([0-9]{1,9})"\s*', re.ASCII)
_MAX_PARAMS = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the client wants its answer."""

    pretty: bool = False
    returns: str = "representation"  # Prefer: return=minimal | representation | OperationOutcome
    asked: bool = False  # whether it said so


def wanted(request: Request, params: tuple[tuple[str, str], ...]) -> Wanted:
    """What Accept, ``_format``, ``_pretty`` and Prefer ask for; 406 for a format that is not JSON."""
    given = dict(params)
    formats = given.get("_format", "").replace(" ", "+")  # the + of fhir+json, where nobody escaped it
    if not _takes_json(formats or request.headers.get("accept", "*/*")):
        raise UnsupportedError("answers are application/fhir+json, for FHIR 4.0", status=406)
    prefer = re.search(
        r"\breturn\s*=\s*\"?(minimal|representation|OperationOutcome)\b", request.headers.get("prefer", "")
    )
    returns = prefer[1] if prefer else "representation"
    return Wanted(given.get("_pretty") == "true", returns, prefer is not None)


def is_lenient(request: Request) -> bool:
    """Whether Prefer: handling=lenient has parameters that are not understood left out (R4 search.html#errors)."""
    return re.search(r"\bhandling\s*=\s*\"?lenient\b", request.headers.get("prefer", "")) is not None


@lru_cache(maxsize=256)
def _takes_json(accept: str) -> bool:
    return any(_is_json(each) for each in accept.split(","))


def _is_json(media_range: str) -> bool:
    kind, *options = (part.strip().lower() for part in media_range.split(";"))
    version = next((option.partition("=")[2] for option in options if option.startswith("fhirversion=")), "4.0")
    refused = any(re.fullmatch(r"q=0(\.0*)?", option) for option in options)
    return kind in _ACCEPTED and not refused and version.strip('"') in ("4.0", "4.0.1")


def query_params(query: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a query string or a form; more than any search needs are refused."""
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMS))
    except ValueError as error:
        raise UnsupportedError(f"more than {_MAX_PARAMS} parameters", issue_code="too-costly") from error


async def body_of(request: Request, max_bytes: int, kinds: tuple[str, ...]) -> bytes:
    """The body; 415 for another content type, 413 as soon as it is too long."""
    kind, *options = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charset = next(
        (option.partition("=")[2].strip('"') for option in options if option.startswith("charset=")), "utf-8"
    )
    if kind not in kinds or charset not in ("utf-8", "utf8"):
        raise UnsupportedError(f"the body must be {kinds[0]} in UTF-8", status=415)
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


def version_of(if_match: str | None) -> int | None:
    """The version that If-Match names (R4 http.html#concurrency); 400 if it is no version of ours."""
    if if_match is None:
        return None
    match = _ETAG.fullmatch(if_match)
    if match is None:
        raise MalformedError('If-Match names one version, as W/"3"', issue_code="value")
    return int(match[1])
