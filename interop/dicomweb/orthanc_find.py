"""Searches for what cannot stand in a URL as it is: names in Greek, values with spaces.

Orthanc's plugin compares a query as it came, escapes and all, so that such a search finds nothing. Orthanc itself is
asked for the UIDs then (``/tools/find``, in JSON), and the plugin for their rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from interop.dicomweb.archive import Archive
from interop.dicomweb.paths import Target
from interop.dicomweb.upstream import failure
from interop.errors import InteropError, UnsupportedError

_MAX_ANSWER = 64 * 1024 * 1024
_LEVELS = {  # of a search's path: Orthanc's level and the attribute that names a row
    "studies": ("Study", "StudyInstanceUID"),
    "series": ("Series", "SeriesInstanceUID"),
    "instances": ("Instance", "SOPInstanceUID"),
}
_NO_KEYS = frozenset({"includefield", "fuzzymatching", "limit", "offset"})
# Names whose values a comma separates (PS3.18 8.3.4.1); Orthanc wants DICOM's own separator.
_LISTS = ("uid", "modalitiesinstudy", "00080061", "0020000d", "0020000e", "00080018")

Parameters = Sequence[tuple[str, str]]


async def found_uids(archive: Archive, target: Target, parameters: Parameters) -> tuple[str, list[str]]:
    """The attribute that names the rows, and its values; UnsupportedError (400) for a key that there is not."""
    level, named = _LEVELS[target.path.rpartition("/")[2]]
    numbers = {name: int(value) for name, value in parameters if name in ("limit", "offset")}
    within = (("StudyInstanceUID", target.study), ("SeriesInstanceUID", target.series))
    keys = {name: _value(name, value) for name, value in parameters if name.lower() not in _NO_KEYS}
    question = {
        "Level": level,
        "Expand": True,
        "Limit": numbers.get("limit", 0),
        "Since": numbers.get("offset", 0),
        "Query": keys | {name: uid for name, uid in within if uid},
    }
    body = orjson.dumps(question)

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    answer = await archive.post(b"/tools/find", len(body), pieces, again=True)
    try:
        said = await answer.body(_MAX_ANSWER)
    finally:
        answer.close()
    if answer.status in (400, 500):  # 500: "Unknown DICOM tag"
        raise UnsupportedError("the archive does not understand the query")
    if answer.status != 200:
        raise failure(answer.status, target)
    return named, [uid for row in _rows(said) if (uid := row.get("MainDicomTags", {}).get(named))]


def rest_of(parameters: Parameters) -> list[tuple[str, str]]:
    """What the rows are to hold."""
    return [(name, value) for name, value in parameters if name.lower() == "includefield"]


def _value(name: str, value: str) -> str:
    return value.replace(",", "\\") if name.lower().endswith(_LISTS) else value


def _rows(said: bytes) -> list[dict[str, Any]]:
    try:
        rows = orjson.loads(said)
    except orjson.JSONDecodeError:
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InteropError("the archive's answer is not JSON", status=502)
    return rows
