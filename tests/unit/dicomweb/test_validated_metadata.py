"""Metadata of a plain archive: given from memory on its own word alone, and never for longer than an hour."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field

import pytest

from interop.dicomweb.metadata_memory import JSON, KeptMetadata
from interop.dicomweb.paths import parse
from interop.dicomweb.validated_metadata import OLDEST, ValidatedMetadata
from interop.errors import UnavailableError

SERIES = parse("/dicom-web/studies/1.2/series/1.2.3/metadata")
FORWARDED = (b"Forwarded", b"host=here;proto=https")


@dataclass
class Answer:
    """Whole, as the wire gives them."""

    status: int
    content: bytes = b""
    tag: bytes | None = None
    ends_with_connection: bool = False
    closed: bool = False

    def header(self, name: bytes) -> bytes | None:
        found = {b"content-type": JSON, b"content-length": b"%d" % len(self.content), b"etag": self.tag}
        return found.get(name)

    async def body(self, limit: int) -> bytes:
        return self.content

    def close(self) -> None:
        self.closed = True


@dataclass
class Archive:
    """Has one series; every question is written down with the tag that came with it."""

    content: bytes = b'[{"00080018": {}}]'
    tag: bytes | None = b'"1"'
    down: bool = False
    status: int = 200
    asked: list[bytes | None] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    now: float = 0.0

    async def get(self, target: bytes, headers: object = ()) -> Answer:
        assert target == SERIES.path.encode()
        given = dict(headers)  # type: ignore[call-overload]
        assert (given[b"Accept"], given[b"Forwarded"]) == (JSON, FORWARDED[1])
        self.asked.append(given.get(b"If-None-Match"))
        await asyncio.sleep(0)
        if self.down:
            raise UnavailableError("the archive does not answer")
        held = self.tag is not None and given.get(b"If-None-Match") == self.tag
        self.answers.append(Answer(304 if held else self.status, b"" if held else self.content, self.tag))
        return self.answers[-1]


def kept_of(archive: Archive, limit: int = 1 << 20) -> ValidatedMetadata:
    return ValidatedMetadata(archive, limit=limit, clock=lambda: archive.now)  # type: ignore[arg-type]


async def given(kept: ValidatedMetadata) -> bytes | None:
    entry: KeptMetadata | None = await kept.get(SERIES, "https://here", FORWARDED)
    return None if entry is None else gzip.decompress(entry.packed)


async def test_it_is_given_again_only_while_the_archive_says_that_it_holds() -> None:
    archive = Archive()
    kept = kept_of(archive)
    assert [await given(kept) for _ in range(3)] == [archive.content] * 3
    assert archive.asked == [None, b'"1"', b'"1"']
    archive.content, archive.tag = b"[]", b'"2"'
    assert [await given(kept) for _ in range(2)] == [b"[]", b"[]"]
    assert archive.asked[3:] == [b'"1"', b'"2"']
    report = kept.report()
    assert (report["series"], report["asked"], report["kept"]) == (1, 2, 3)
    archive.status, archive.tag = 404, None
    assert await given(kept) is None, "the refusal is relayed"
    assert kept.report()["series"] == 0
    assert all(answer.closed for answer in archive.answers)


async def test_an_archive_that_does_not_answer_gives_nothing_from_memory() -> None:
    archive = Archive()
    kept = kept_of(archive)
    await given(kept)
    archive.down = True
    with pytest.raises(UnavailableError):
        await given(kept)
    archive.down = False
    assert await given(kept) == archive.content


async def test_after_an_hour_it_is_read_anew_whatever_the_tag_says() -> None:
    archive = Archive()
    kept = kept_of(archive)
    await given(kept)
    archive.content = b"[1]"  # changed under the same tag
    archive.now = OLDEST - 1
    assert await given(kept) == b'[{"00080018": {}}]'
    archive.now = OLDEST
    assert await given(kept) == b"[1]"
    assert archive.asked == [None, b'"1"', None]


async def test_without_a_tag_nothing_is_kept_and_the_answers_are_relayed_for_a_while() -> None:
    archive = Archive(tag=None)
    kept = kept_of(archive)
    assert await given(kept) == archive.content
    assert await given(kept) is None
    assert (len(archive.asked), kept.report()["series"]) == (1, 0)
    archive.now, archive.tag = 601.0, b'"1"'
    assert [await given(kept) for _ in range(2)] == [archive.content] * 2
    assert archive.asked[1:] == [None, b'"1"']


async def test_many_at_once_are_one_reading_and_memory_is_bounded() -> None:
    archive = Archive()
    kept = kept_of(archive)
    assert await asyncio.gather(*(given(kept) for _ in range(5))) == [archive.content] * 5
    assert archive.asked.count(None) == 1
    small = kept_of(archive, limit=100)
    assert await given(small) == archive.content
    assert small.report()["bytes"] == 0
    assert await given(kept_of(archive, limit=0)) is None
