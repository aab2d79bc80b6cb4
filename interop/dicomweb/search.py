"""QIDO-RS over all studies: the question narrowed to what the caller may see, the answer checked row by row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

import orjson

from interop.dicomweb.archive import Archive
from interop.dicomweb.paths import Target
from interop.dicomweb.upstream import failure
from interop.errors import ForbiddenError, InteropError, UnsupportedError

STUDY_TAG = "0020000D"
_STUDY = ("StudyInstanceUID", STUDY_TAG, STUDY_TAG.lower())
_NAME = re.compile(r"[A-Za-z0-9.]{1,80}")
_VALUE = re.compile(r"[^\x00-\x1f\x7f]{0,512}")
_UID = re.compile(r"[0-9.]{1,64}")
_SEPARATOR = re.compile(r"[,\\]")
_NUMBER = re.compile(r"[0-9]{1,18}")
MAX_ROWS = 1000
_MAX_ANSWER = 64 * 1024 * 1024
_MAX_PARAMETERS = 64
_BATCH = 60  # UIDs in one question; Orthanc reads request lines of 16 kB


@dataclass(frozen=True, slots=True)
class Question:
    """A search as the client put it."""

    parameters: tuple[tuple[str, str], ...]  # without the ones below
    studies: frozenset[str]  # asked for by UID; empty: not limited so
    limit: int
    offset: int


def parse_question(query: str) -> Question:
    """The question; UnsupportedError (400) for what no QIDO-RS query can hold."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise UnsupportedError("the query is not readable") from None
    kept: list[tuple[str, str]] = []
    studies: set[str] = set()
    numbers = {"limit": MAX_ROWS, "offset": 0}
    for name, value in pairs:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UnsupportedError("a query parameter has a name or value that DICOM does not know")
        if name in numbers:
            if not _NUMBER.fullmatch(value):
                raise UnsupportedError(f"{name} is a number")
            numbers[name] = int(value)
        elif name in _STUDY and value:
            studies |= {uid for uid in _SEPARATOR.split(value) if uid}
        else:
            kept.append((name, value))
    if not all(_UID.fullmatch(uid) for uid in studies):
        raise UnsupportedError("StudyInstanceUID is a UID or a list of UIDs")
    return Question(tuple(kept), frozenset(studies), min(numbers["limit"], MAX_ROWS), numbers["offset"])


def narrowed(question: Question, visible: frozenset[str] | None) -> frozenset[str] | None:
    """The studies to ask for; None for all. ForbiddenError if one is named that the caller may not see."""
    if visible is None:
        return question.studies or None
    if question.studies - visible:
        raise ForbiddenError("this session or token does not cover the study")
    return question.studies or visible


async def rows(
    archive: Archive,
    target: Target,
    question: Question,
    studies: frozenset[str] | None,
    headers: Sequence[tuple[bytes, bytes]],
) -> list[dict[str, Any]]:
    """The answer: only rows of these studies, whatever the archive says."""
    if studies is None:
        paging = [("limit", str(question.limit)), ("offset", str(question.offset))]
        return await _ask(archive, target, [*question.parameters, *paging], headers)
    found: list[dict[str, Any]] = []
    for batch in _batches(sorted(studies)):
        asked = [*question.parameters, ("StudyInstanceUID", ",".join(batch))]
        found += [row for row in await _ask(archive, target, asked, headers) if study_of(row) in studies]
    return found[question.offset : question.offset + question.limit]


def _batches(uids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(uids), _BATCH):
        yield uids[start : start + _BATCH]


async def _ask(
    archive: Archive, target: Target, parameters: Sequence[tuple[str, str]], headers: Sequence[tuple[bytes, bytes]]
) -> list[dict[str, Any]]:
    answer = await archive.get(f"{target.path}?{encode(parameters)}".encode("ascii"), headers)
    try:
        if answer.status == 204:
            return []
        if answer.status != 200:
            raise failure(answer.status, target)
        body = await answer.body(_MAX_ANSWER)
    finally:
        answer.close()
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise InteropError("the archive's answer is not DICOM JSON", status=502)
    return found


def encode(parameters: Sequence[tuple[str, str]]) -> str:
    """A query string as Orthanc reads it: it does not decode an escaped comma everywhere."""
    return "&".join(f"{name}={quote(value, safe=',*?:^=')}" for name, value in parameters)


def study_of(row: dict[str, Any]) -> str | None:
    """The StudyInstanceUID of a row."""
    values = row.get(STUDY_TAG, {}).get("Value") if isinstance(row.get(STUDY_TAG), dict) else None
    return str(values[0]) if isinstance(values, list) and values else None
