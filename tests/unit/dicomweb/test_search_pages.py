"""Rows of an archive that gives few at once: all that are asked for come, and it is known whether there are more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from interop.dicomweb.archive import NamedArchive
from interop.dicomweb.archives import Archives
from interop.dicomweb.paths import parse
from interop.dicomweb.search import parse_question, rows

MORE = ("There are additional results that can be requested.",)


@dataclass
class Answer:
    content: bytes
    status: int = 200

    async def body(self, limit: int) -> bytes:
        return self.content

    def close(self) -> None: ...


@dataclass
class Few:
    """Seven studies, and never more than three rows."""

    asked: list[str] = field(default_factory=list)

    async def get(self, target: bytes, headers: object = ()) -> Answer:
        query = target.decode().partition("?")[2]
        self.asked.append(query)
        given = {name: int(values[0]) for name, values in parse_qs(query).items()}
        end = min(given["offset"] + min(given["limit"], 3), 7)
        uids = [f"1.2.{number}" for number in range(given["offset"], end)]
        return Answer(orjson.dumps([{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in uids]))


@pytest.mark.parametrize(
    ("query", "numbers", "notes"),
    [
        ("", range(7), ()),
        ("limit=7", range(7), ()),
        ("limit=5", range(5), MORE),
        ("limit=3&offset=3", range(3, 6), MORE),
        ("limit=3&offset=4", range(4, 7), ()),
        ("offset=7", range(0), ()),
        ("limit=0", range(0), ()),
    ],
)
async def test_pages_are_put_together(query: str, numbers: range, notes: tuple[str, ...]) -> None:
    archive: Any = Few()
    archives = Archives([NamedArchive("vna", archive, plain=True, page=3)], None)  # type: ignore[arg-type]
    found = await rows(archives, parse("/dicom-web/studies"), parse_question(query), None, [])
    assert [row["0020000D"]["Value"] for row in found.rows] == [[f"1.2.{number}"] for number in numbers]
    assert found.notes == notes
