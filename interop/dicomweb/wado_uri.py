"""WADO-URI (PS3.18 9): one instance named in a query, asked for as the WADO-RS resource that it is."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from interop.dicomweb.accept import Wish, media_ranges
from interop.dicomweb.paths import ROOT, Target, parse
from interop.dicomweb.rendering import quality, viewport, window
from interop.errors import NotFoundError, UnsupportedError

PATH = f"{ROOT}/wado"
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_SYNTAX = re.compile(r"[0-9.]{1,64}|\*")
_NUMBER = re.compile(r"[0-9]{1,5}")
_DECIMAL = re.compile(r"-?[0-9.]{1,16}")
_IMAGES = ("image/jpeg", "image/png")
_UNHEARD = frozenset({"charset", "annotation"})  # they ask for less than is given, or for text that is not drawn


def read_wado(query: str) -> tuple[Target, str, Wish]:
    """The resource, the query that asks the archive for it, and the form in which it is wanted.

    UnsupportedError (400) for a query that is no WADO-URI request or asks for what is not offered here, 406 for a
    content type that is not.
    """
    given = _parameters(query)
    if given.pop("requestType", "") != "WADO":
        raise UnsupportedError("requestType has to be WADO")
    uids = [given.pop(name, "") for name in ("studyUID", "seriesUID", "objectUID")]
    if not all(_UID.fullmatch(uid) for uid in uids):
        raise UnsupportedError("studyUID, seriesUID and objectUID have to be UIDs")
    instance = "{}/studies/{}/series/{}/instances/{}".format(ROOT, *uids)
    kind = _content_type(given.pop("contentType", ""))
    if kind == "application/dicom":
        return parse(instance), "", _file(given)
    frame = given.pop("frameNumber", "")
    if frame and (not _NUMBER.fullmatch(frame) or int(frame) < 1):
        raise UnsupportedError("frameNumber is a number from 1 on")
    target = parse(f"{instance}/frames/{int(frame)}/rendered" if frame else f"{instance}/rendered")
    return target, _rendering(given), Wish(kind)


def study_of_wado(query: str) -> str:
    """The study that a request names, whether or not the rest of it can be read; NotFoundError if it names none."""
    study = _parameters(query).get("studyUID", "")
    if len(study) > 64 or not _UID.fullmatch(study):
        raise NotFoundError("studyUID has to be a UID")
    return study


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=32, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise UnsupportedError("the query is not readable") from None
    found = dict(pairs)
    if len(found) != len(pairs):  # two studyUIDs: one to be authorised, another to be shown
        raise UnsupportedError("a parameter is given twice")
    return found


def _content_type(text: str) -> str:
    """The preferred one of the wanted types that is offered; JPEG where none is named (PS3.18 9.1.2)."""
    wanted = [each.type for each in media_ranges(text)] if text else ["*/*"]
    for each in wanted:
        if each in ("*/*", "image/*"):
            return _IMAGES[0]
        if each in _IMAGES or each == "application/dicom":
            return each
    raise UnsupportedError("contentType has to be application/dicom, image/jpeg or image/png", status=406)


def _file(given: dict[str, str]) -> Wish:
    syntax = given.pop("transferSyntax", "")
    if syntax and not _SYNTAX.fullmatch(syntax):
        raise UnsupportedError("transferSyntax has to be a UID")
    _nothing_else(given)
    accept = 'multipart/related; type="application/dicom"' + (f"; transfer-syntax={syntax}" if syntax else "")
    return Wish(accept, unwrap=True)


def _rendering(given: dict[str, str]) -> str:
    """Size, window and quality in the words of WADO-RS (PS3.18 8.3.5)."""
    query: list[str] = []
    rows, columns = given.pop("rows", ""), given.pop("columns", "")
    if rows or columns:
        rows, columns = rows or columns, columns or rows
        if not _NUMBER.fullmatch(rows) or not _NUMBER.fullmatch(columns):
            raise UnsupportedError("rows and columns are numbers")
        query.append(f"viewport={viewport(f'{columns},{rows}')}")
    center, width = given.pop("windowCenter", ""), given.pop("windowWidth", "")
    if center or width:
        if not _DECIMAL.fullmatch(center) or not _DECIMAL.fullmatch(width):
            raise UnsupportedError("windowCenter and windowWidth are numbers and come together")
        query.append(f"window={window(f'{center},{width},linear')}")
    compressed = given.pop("imageQuality", "")
    if compressed:
        query.append(f"quality={quality(compressed)}")
    _nothing_else(given)
    return "&".join(query)


def _nothing_else(given: dict[str, str]) -> None:
    """What is not offered is refused, not left out: an image that should be anonymous must not come with a name."""
    for name in given:
        if name not in _UNHEARD:
            raise UnsupportedError(
                "the query asks for something that is not offered here, or not with this contentType"
            )
