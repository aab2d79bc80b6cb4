"""QIDO-RS over all studies: the question narrowed to what the caller may see, the answer checked row by row, and merged
where there are several archives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any
from urllib.parse import parse_qsl, quote

import orjson

from interop.dicomweb.archive import Archive
from interop.dicomweb.archives import Archives, Upstream
from interop.dicomweb.orthanc_find import found_uids, rest_of
from interop.dicomweb.paths import Target
from interop.dicomweb.search_keys import checked, heard, of_the_patient, unheard
from interop.dicomweb.upstream import failure
from interop.errors import ForbiddenError, InteropError, UnavailableError, UnsupportedError

STUDY_TAG = "0020000D"
_MODALITIES = ("modalitiesinstudy", "00080061")
_STUDY = ("StudyInstanceUID", STUDY_TAG, STUDY_TAG.lower())
_NEGOTIATED = ("accept", "charset")  # PS3.18 8.3.3: about the answer, heard elsewhere
_NAME = re.compile(r"[A-Za-z0-9.]{1,80}")
_VALUE = re.compile(r"[^\x00-\x1f\x7f]{0,512}")
_UIDS = re.compile(r"[^\x00-\x1f\x7f]{0,8192}")  # lists of them are long; Orthanc reads request lines of 16 kB
_UID = re.compile(r"[0-9.]{1,64}")
_SEPARATOR = re.compile(r"[,\\]")
_NUMBER = re.compile(r"[0-9]{1,18}")
MAX_ROWS = 1000
DEEPEST = 20_000  # rows that are read of each of several archives for one page
_PATIENCE = 15.0  # seconds for one of several archives
_MAX_ANSWER = 64 * 1024 * 1024
_MAX_PARAMETERS = 64
Row = dict[str, Any]
Headers = Sequence[tuple[bytes, bytes]]
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
        if not _NAME.fullmatch(name) or not (_UIDS if _is_uid(name) else _VALUE).fullmatch(value):
            raise UnsupportedError("a query parameter has a name or value that DICOM does not know")
        if name in numbers:
            if not _NUMBER.fullmatch(value):
                raise UnsupportedError(f"{name} is a number")
            numbers[name] = int(value)
        elif name in _NEGOTIATED:
            continue
        elif name in _STUDY and value not in ("", "*"):
            studies |= {uid for uid in _SEPARATOR.split(value) if uid}
        else:
            kept.append((name, checked(name, value)))
    if not all(_UID.fullmatch(uid) for uid in studies):
        raise UnsupportedError("StudyInstanceUID is a UID or a list of UIDs")
    return Question(tuple(kept), frozenset(studies), min(numbers["limit"], MAX_ROWS), numbers["offset"])


def _is_uid(name: str) -> bool:
    return name.endswith("UID") or name.lower() in ("0020000d", "0020000e", "00080018")


def narrowed(question: Question, visible: frozenset[str] | None) -> frozenset[str] | None:
    """The studies to ask for; None for all. ForbiddenError if one is named that the caller may not see."""
    if visible is None:
        return question.studies or None
    if question.studies - visible:
        raise ForbiddenError("this session or token does not cover the study")
    return question.studies or visible


@dataclass(frozen=True, slots=True)
class Found:
    """Rows, and what has to be said about them in Warning headers."""

    rows: list[Row]
    warnings: tuple[str, ...] = ()  # of archives that do not answer
    notes: tuple[str, ...] = ()  # of what was not heard, and of rows beyond these


_MORE = "There are additional results that can be requested."


def _page(rows: Sequence[Row], start: int, question: Question, *, all_read: bool) -> Found:
    """So many of the rows as are asked for, from ``start`` on, and whether there are more (PS3.18 8.3.4.4.1)."""
    end = start + question.limit
    shown = of_the_patient(rows[start:end], question.parameters)
    more = f"There are {len(rows) - end} additional results that can be requested." if all_read else _MORE
    return Found(shown, notes=(more,) if len(rows) > end else ())


async def rows(
    archives: Archives, target: Target, question: Question, studies: frozenset[str] | None, headers: Headers
) -> Found:
    """The answer: only rows of these studies, whatever the archives say.

    Of several archives those that do not answer are named in a warning; UnavailableError if none that was asked does.
    """
    notes = unheard(question.parameters) if any(each.orthanc for each in archives.all) else ()
    if question.limit == 0:
        return Found([], notes=notes)
    found = await _found(archives, target, question, studies, headers)
    return replace(found, notes=notes + found.notes)


async def _found(
    archives: Archives, target: Target, question: Question, studies: frozenset[str] | None, headers: Headers
) -> Found:
    if len(archives.all) > 1:
        return await _merged(archives, target, question, studies, headers)
    only = archives.default
    if studies is None:
        rows = await _rows(only, target, question.parameters, question.offset, question.limit + 1, headers)
        return _page(rows, 0, question, all_read=False)
    found = await _of_studies(only, target, question, studies, headers)
    return _page(found, question.offset, question, all_read=True)


async def rows_within(upstream: Upstream, target: Target, query: str, headers: Headers) -> Found | None:
    """The answer to a search within a study, where the archive does not read it, or where something has to be said of
    the answer; None where it may be relayed."""
    if not upstream.orthanc:
        return None
    question = parse_question(query)
    notes = unheard(question.parameters)
    if question.limit == 0:
        return Found([], notes=notes)
    if not any(sign in query for sign in ("%", "limit=")) and not notes:
        return None
    named = [("StudyInstanceUID", ",".join(sorted(question.studies)))] if question.studies else []
    asked = [*question.parameters, *named]
    found = await _rows(upstream, target, asked, question.offset, question.limit + 1, headers)
    shown = _page(found, 0, question, all_read=False)
    return replace(shown, notes=notes + shown.notes)


async def _of_studies(
    upstream: Upstream, target: Target, question: Question, studies: Collection[str], headers: Headers
) -> list[Row]:
    found: list[Row] = []
    for batch in _batches(sorted(studies)):
        asked = [*question.parameters, ("StudyInstanceUID", ",".join(batch))]
        found += [row for row in await _ask(upstream, target, asked, headers) if study_of(row) in studies]
    return found


async def _merged(
    archives: Archives, target: Target, question: Question, studies: frozenset[str] | None, headers: Headers
) -> Found:
    """Rows of the archives in turn: the first of each, then the second of each.

    So the rows up to any place follow from as many of each archive, and a page begins where the one before ended.
    """
    needed = question.offset + question.limit
    if needed > DEEPEST:
        raise UnsupportedError(f"offset and limit reach {DEEPEST} rows over several archives: narrow the search")
    if studies is None:
        asked = {each.name: _rows(each, target, question.parameters, 0, needed + 1, headers) for each in archives.all}
    else:
        asked = {
            name: _of_studies(archives.named(name), target, question, uids, headers)
            for name, uids in (await archives.holders(studies)).items()
        }
    answers = dict(zip(asked, await asyncio.gather(*map(_in_time, asked.values())), strict=True))
    silent = {name: answer for name, answer in answers.items() if isinstance(answer, UnavailableError)}
    if silent and len(silent) == len(answers):
        raise next(iter(silent.values()))
    lists = [answer for answer in answers.values() if not isinstance(answer, UnavailableError)]
    merged = _in_turn(lists)
    warnings = tuple(f"archive {name} does not answer: its studies are not in this list" for name in sorted(silent))
    return replace(_page(merged, question.offset, question, all_read=studies is not None), warnings=warnings)


async def _in_time(asked: Awaitable[list[Row]]) -> list[Row] | UnavailableError:
    """The rows, or why there are none; an archive that thinks for long does not hold up the others."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asked
    except UnavailableError as error:
        return error
    except TimeoutError:
        return UnavailableError("an image archive does not answer the search in time", retry_after=10)
    except InteropError as error:
        if error.status == 502:
            return UnavailableError(error.text, retry_after=10)
        raise


async def _rows(
    upstream: Upstream,
    target: Target,
    parameters: Sequence[tuple[str, str]],
    start: int,
    needed: int,
    headers: Headers,
) -> list[Row]:
    """So many rows of one archive from ``start`` on, however few it gives at once."""
    found: list[Row] = []
    while len(found) < needed:
        size = min(upstream.page, needed - len(found))
        paging = [("limit", str(size)), ("offset", str(start + len(found)))]
        page = await _ask(upstream, target, [*parameters, *paging], headers)
        found += page[:size]
        if len(page) < size:
            break
    return found


def _in_turn(lists: Sequence[list[Row]]) -> list[Row]:
    """The rows of the lists by turns; what an earlier row was about is left out."""
    seen: set[tuple[str, ...]] = set()
    merged: list[Row] = []
    for rank in zip_longest(*lists):
        for row in rank:
            if row is not None and (key := _about(row)) not in seen:
                seen.add(key)
                merged.append(row)
    return merged


def _about(row: Row) -> tuple[str, ...]:
    return tuple(_value_of(row, tag) or "" for tag in (STUDY_TAG, "0020000E", "00080018"))


def _batches(uids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(uids), _BATCH):
        yield uids[start : start + _BATCH]


async def _ask(
    upstream: Upstream, target: Target, parameters: Sequence[tuple[str, str]], headers: Headers
) -> list[Row]:
    if upstream.orthanc:
        return await _asked_of_orthanc(upstream.archive, target, parameters, headers)
    return await _answered(upstream.archive, target, parameters, headers)


async def _asked_of_orthanc(
    archive: Archive, target: Target, parameters: Sequence[tuple[str, str]], headers: Headers
) -> list[Row]:
    """The rows, whatever the question: not all can be put to the plugin as they are."""
    parameters = heard(parameters)
    numbers = {name: int(value) for name, value in parameters if name in ("limit", "offset")}
    skipped = numbers.get("offset", 0) if any(name.lower() in _MODALITIES for name, _ in parameters) else 0
    if skipped:  # for these, Orthanc 1.10 counts what lies before the offset towards the limit
        parameters = [pair for pair in parameters if pair[0] not in numbers]
        parameters = [*parameters, ("limit", str(numbers.get("limit", MAX_ROWS) + skipped))]
    if "%" not in encode(parameters):
        return (await _answered(archive, target, parameters, headers))[skipped:]
    named, uids = await found_uids(archive, target, parameters)
    rows: list[Row] = []
    for batch in _batches(uids[skipped:]):
        asked = [*rest_of(parameters), (named, ",".join(batch))]
        rows += await _answered(archive, target, asked, headers)
    return rows


async def _answered(
    archive: Archive, target: Target, parameters: Sequence[tuple[str, str]], headers: Headers
) -> list[Row]:
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


def study_of(row: Row) -> str | None:
    """The StudyInstanceUID of a row."""
    return _value_of(row, STUDY_TAG)


def _value_of(row: Row, tag: str) -> str | None:
    values = row.get(tag, {}).get("Value") if isinstance(row.get(tag), dict) else None
    return str(values[0]) if isinstance(values, list) and values else None
