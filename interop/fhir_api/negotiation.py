"""What a client wants back, and how: format, indentation, and how much of what was written (R4 http.html#mime-type)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from starlette.requests import Request

from interop.errors import UnsupportedError
from interop.fhir_api.incoming import FHIR_VERSIONS

Params = tuple[tuple[str, str], ...]

MEDIA_TYPES = {"json": "application/fhir+json", "xml": "application/fhir+xml"}
_FORMATS = {
    **dict.fromkeys(("application/fhir+json", "application/json", "text/json", "json"), "json"),
    **dict.fromkeys(("application/fhir+xml", "application/xml", "text/xml", "xml"), "xml"),
    **dict.fromkeys(("*/*", "application/*", "text/*"), "json"),
}
# Said beside any interaction, and no criteria of a conditional one.
PRESENTATION = ("_format", "_pretty", "_summary", "_elements")
# Names of preferences have no case (RFC 7240 2).
_RETURN = re.compile(r"\b(?i:return)\s*=\s*\"?(minimal|representation|OperationOutcome)\b")
_HANDLING = re.compile(r"\b(?i:handling)\s*=\s*\"?(strict|lenient)\b")


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the client wants its answer."""

    format: str = "json"
    pretty: bool = False
    returns: str = "representation"  # Prefer: return=minimal | representation | OperationOutcome
    asked: bool = False  # whether it said so
    lenient: bool = False  # Prefer: handling=lenient


PLAIN = Wanted()


def wanted(request: Request, params: Params) -> Wanted:
    """What Accept, ``_format``, ``_pretty`` and Prefer ask for; 406 for a format that is not written here."""
    given = dict(params)
    prefer = request.headers.get("prefer", "")
    returns = _RETURN.search(prefer)
    handling = _HANDLING.search(prefer)
    return Wanted(
        _asked_format(request, given.get("_format", "")),
        given.get("_pretty") == "true",
        returns[1] if returns else "representation",
        returns is not None,
        handling is not None and handling[1] == "lenient",
    )


def wanted_of_errors(request: Request) -> Wanted:
    """The same for an answer that says what is wrong, perhaps with what was asked: JSON where nothing else fits."""
    try:
        asked = request.query_params
        return Wanted(_asked_format(request, asked.get("_format", "")), asked.get("_pretty") == "true")
    except UnsupportedError:
        return PLAIN


def _asked_format(request: Request, parameter: str) -> str:
    """``_format`` before Accept (http.html#mime-type)."""
    asked = parameter.replace(" ", "+")  # the + of fhir+json, where nobody escaped it
    found = _best(asked or request.headers.get("accept") or "*/*")
    if found is None:
        written = " or ".join(MEDIA_TYPES.values())
        raise UnsupportedError(f"answers are {written}, for FHIR 4.0", status=406)
    return found


@lru_cache(maxsize=256)
def _best(accept: str) -> str | None:
    """The format that the header ranks highest; the first of several."""
    return next((_FORMATS[kind] for kind in ranked(accept) if kind in _FORMATS), None)


def ranked(accept: str) -> list[str]:
    """The media ranges of the header, the most wanted first (RFC 9110 12.5.1); those of another FHIR are left out."""
    found: list[tuple[float, str]] = []
    for media_range in accept.split(","):
        kind, *options = (part.strip().lower() for part in media_range.split(";"))
        named = dict(option.partition("=")[::2] for option in options)
        quality = _quality(named.get("q", "1"))
        if quality > 0 and named.get("fhirversion", "4.0").strip('"') in FHIR_VERSIONS:
            found.append((quality, kind))
    return [kind for _, kind in sorted(found, key=lambda each: -each[0])]


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text) else 0.0


def without_presentation(params: Params) -> Params:
    """The parameters that say what is asked, not how the answer is to look."""
    return tuple(param for param in params if param[0] not in PRESENTATION)
