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
_TOKEN = re.compile(r"[A-Za-z0-9!#$&^_.+*/-]{1,100}")


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One alternative of an Accept header."""

    type: str
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to ask the archive for, and what to make of its answer."""

    accept: str
    otherwise: str | None = None  # asked for if the archive fails on the first
    unwrap: bool = False  # give the single part, not the multipart around it
    pdf: bool = False  # the part may be shown as a PDF if it is one
    syntax: str | None = None  # of a frame as octets: the transfer syntax, "*" for that of the file, "" for the default


def media_ranges(header: str) -> list[MediaRange]:
    """The alternatives in their order; broken ones are left out."""
    ranges: list[MediaRange] = []
    for alternative in _split(header, ","):
        first, *rest = _split(alternative, ";")
        parameters: dict[str, str] = {}
        for parameter in rest:
            name, _, value = parameter.partition("=")
            parameters[name.strip().lower()] = value.strip().strip('"')
        if parameters.get("q") not in ("0", "0.0") and _TOKEN.fullmatch(first.strip()):
            ranges.append(MediaRange(first.strip().lower(), parameters))
    return ranges


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
    if alternatives := _multiparts(ranges, octets):
        asked, *others = alternatives
        syntax = asked.partition("; transfer-syntax=")[2]
        if not others and any(each.parameters.get("type") == "*/*" for each in ranges):
            others = [_related(octets, "*")]  # where the archive cannot decode, the stored form beats none
        elif syntax == "*":  # Orthanc 1.7 fails on it for big-endian and deflated files (its bug 219): let it convert
            others = [_related(octets), *others]
        own = syntax if asked == _related(octets, syntax) else None
        return Wish(asked, next(iter(others), None), syntax=own)
    single = any(each.type == octets for each in ranges)
    if single or _anything(ranges):
        if single and several:
            return None
        # Explicit VR Little Endian is the default; where the archive cannot decode, the stored form beats none.
        return Wish(_related(octets), _related(octets, "*"), unwrap=single, syntax="")
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
    if alternatives := _multiparts(ranges, "application/dicom"):
        return Wish(alternatives[0], next(iter(alternatives[1:]), None))
    if single and any(each.type == "application/dicom" for each in ranges):
        return Wish(_related("application/dicom"), unwrap=True)
    return Wish(_related("application/dicom")) if _anything(ranges) else None


def _json(ranges: list[MediaRange], *, xml: bool) -> Wish | None:
    if any(each.type in ("application/dicom+json", "application/json", "application/*", "*/*") for each in ranges):
        return Wish("application/dicom+json")
    asked = next((one for one in _multiparts(ranges, "application/dicom+xml") if "+xml" in one), None)
    return Wish(asked) if xml and asked is not None else None


def _rendered(ranges: list[MediaRange], level: str) -> Wish | None:
    for each in ranges:
        if each.type == "application/pdf" and level == "instance":
            return Wish(each.type, pdf=True)
        if each.type in ("image/jpeg", "image/png"):
            return Wish(each.type)
        if each.type in ("image/*", "*/*"):
            return Wish("image/jpeg")
    return None
