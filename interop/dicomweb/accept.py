"""What the client accepts, put in words that Orthanc's plugin understands (PS3.18 8.7).

Plugin 1.7 answers 400 to single-part requests for frames, bulk data and instances. They are asked for as multipart and
unwrapped on the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from interop.dicomweb.paths import Target
from interop.errors import UnsupportedError

_PARTS = re.compile(r'(?:[^,;"]|"[^"]*")+|[,;]')
_LONGEST = 2048  # of an Accept header
_WEIGHT = re.compile(r"[01](\.[0-9]{0,6})?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$&^_.+*/-]{1,100}")


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One alternative of an Accept header."""

    type: str
    parameters: dict[str, str]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What to ask the archive for, and what to make of its answer."""

    accept: str
    otherwise: str | None = None  # asked for if the archive fails on the first
    unwrap: bool = False  # give the single part, not the multipart around it
    pdf: bool = False  # the part may be shown as a PDF if it is one
    syntax: str | None = None  # of a frame as octets: the transfer syntax, "*" for that of the file, "" for the default


def media_ranges(header: str) -> list[MediaRange]:
    """The alternatives, the preferred ones first (RFC 9110 12.4.2); refused (q=0) and broken ones are left out."""
    ranges: list[MediaRange] = []
    for alternative in _split(header, ","):
        first, *rest = _split(alternative, ";")
        parameters: dict[str, str] = {}
        for parameter in rest:
            name, _, value = parameter.partition("=")
            parameters[name.strip().lower()] = value.strip().strip('"')
        weight = parameters.pop("q", "1")
        preferred = float(weight) if _WEIGHT.fullmatch(weight) else 1.0
        if preferred > 0 and _TOKEN.fullmatch(first.strip()):
            ranges.append(MediaRange(first.strip().lower(), parameters, preferred))
    return sorted(ranges, key=lambda each: -each.weight)


def _split(text: str, separator: str) -> list[str]:
    pieces, current = [], ""
    for token in _PARTS.findall(text):
        if token == separator:
            pieces.append(current)
            current = ""
        else:
            current += token
    return [*pieces, current]


def wish(target: Target, header: str) -> Wish:
    """How to ask for the target so that the client gets what it accepts; UnsupportedError (406) if that is nothing."""
    found = _wish(target.kind, target.level, target.frames > 1, header or "*/*")
    if found is None:
        raise UnsupportedError("this resource is not available in a form that the request accepts", status=406)
    return found


@lru_cache(maxsize=512)  # a viewer puts the same few questions thousands of times
def _wish(kind: str, level: str, several: bool, header: str) -> Wish | None:
    ranges = media_ranges(header) if len(header) <= _LONGEST else []
    if kind == "frames":
        return _frames(ranges, several=several)
    if kind == "retrieve":
        return _instances(ranges, single=level == "instance")
    if kind == "bulk":
        return _bulk(ranges)
    return _rendered(ranges, level) if kind == "rendered" else _json(ranges, xml=kind != "search")


def _anything(ranges: list[MediaRange]) -> bool:
    return any(each.type == "*/*" for each in ranges)


def _multiparts(ranges: list[MediaRange], kind: str) -> list[str]:
    """The multipart alternatives, normalised. An unquoted type and one with a star are common on the wire."""
    found = []
    for each in ranges:
        if each.type != "multipart/related":
            continue
        inner = each.parameters.get("type", kind)
        syntax = each.parameters.get("transfer-syntax", "")
        if inner in ("*/*", "application/*"):  # any form will do; Orthanc's plugin answers 400
            inner = kind
        if _TOKEN.fullmatch(inner) and (not syntax or _TOKEN.fullmatch(syntax)):
            found.append(_related(inner, syntax))
    return found


def _related(inner: str, syntax: str = "") -> str:
    return f'multipart/related; type="{inner}"' + (f"; transfer-syntax={syntax}" if syntax else "")


def _frames(ranges: list[MediaRange], *, several: bool) -> Wish | None:
    octets = "application/octet-stream"
    first = next((each.type for each in ranges if each.type in (octets, "multipart/related")), "")
    if first != octets and (alternatives := _multiparts(ranges, octets)):
        asked, *others = alternatives
        syntax = asked.partition("; transfer-syntax=")[2]
        if not others and any(each.parameters.get("type") == "*/*" for each in ranges):
            others = [_related(octets, "*")]  # where the archive cannot decode, the stored form beats none
        elif syntax == "*":  # Orthanc 1.7 fails on it for big-endian and deflated files (its bug 219): let it convert
            others = [_related(octets), *others]
        own = syntax if asked == _related(octets, syntax) else None
        return Wish(asked, next(iter(others), None), syntax=own)
    if (single := _one_part(ranges, octets)) is not None:
        # Explicit VR Little Endian is the default; where the archive cannot decode, the stored form beats none.
        other = "" if single == "*" else "*"
        return None if several else Wish(_related(octets, single), _related(octets, other), unwrap=True, syntax=single)
    return Wish(_related(octets), _related(octets, "*"), syntax="") if _anything(ranges) else None


def _one_part(ranges: list[MediaRange], kind: str) -> str | None:
    """The transfer syntax in which one part of the type is wanted, "" for the default; None where it is not."""
    for each in ranges:
        syntax = each.parameters.get("transfer-syntax", "")
        if each.type == kind and (not syntax or _TOKEN.fullmatch(syntax)):
            return syntax
    return None


def _bulk(ranges: list[MediaRange]) -> Wish | None:
    related = _related("application/octet-stream")
    if any(each.type == "multipart/related" for each in ranges):
        return Wish(related)
    types = {each.type for each in ranges}
    if types == {"*/*"}:
        return Wish(related)
    pdf = bool(types & {"application/pdf", "text/html", "*/*"})
    return Wish(related, unwrap=True, pdf=pdf) if pdf or "application/octet-stream" in types else None


STORED_DOCUMENT = Wish(_related("application/octet-stream"), unwrap=True, pdf=True)


def _instances(ranges: list[MediaRange], *, single: bool) -> Wish | None:
    """Files, in the order of preference. One for which no transfer syntax is named comes as it is stored where the
    archive cannot decode it: it says itself what it is in."""
    files = "application/dicom"
    for position, each in enumerate(ranges):
        if alternatives := _multiparts([each], files):
            others = [*_multiparts(ranges[position + 1 :], files), *_as_stored(alternatives[0])]
            return Wish(alternatives[0], next(iter(others), None))
        if single and (syntax := _one_part([each], files)) is not None:
            asked = _related(files, syntax)
            return Wish(asked, next(iter(_as_stored(asked)), None), unwrap=True)
        if each.type == "*/*":
            return Wish(_related(files), _related(files, "*"))
    return None


def _as_stored(asked: str) -> list[str]:
    return [] if "transfer-syntax=" in asked else [f"{asked}; transfer-syntax=*"]


def _json(ranges: list[MediaRange], *, xml: bool) -> Wish | None:
    """JSON, unless XML is preferred to it."""
    kinds = ("application/dicom+json", "application/json", "application/*", "*/*")
    weight = max((each.weight for each in ranges if each.type in kinds), default=0.0)
    preferred = [each for each in ranges if each.weight > weight]
    asked = next((one for one in _multiparts(preferred, "application/dicom+xml") if "+xml" in one), None)
    if xml and asked is not None:
        return Wish(asked)
    return Wish("application/dicom+json") if weight else None


def _rendered(ranges: list[MediaRange], level: str) -> Wish | None:
    for each in ranges:
        if each.type == "application/pdf" and level == "instance":
            return Wish(each.type, pdf=True)
        if each.type in ("image/jpeg", "image/png"):
            return Wish(each.type)
        if each.type in ("image/*", "*/*"):
            return Wish("image/jpeg")
    return None
