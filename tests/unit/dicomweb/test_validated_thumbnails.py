"""Thumbnails of a plain archive: given from memory on its own word alone, and never for longer than an hour."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from interop.dicomweb.kept_thumbnails import LARGEST
from interop.dicomweb.paths import parse
from interop.dicomweb.validated_metadata import OLDEST
from interop.dicomweb.validated_thumbnails import ValidatedThumbnails
from interop.errors import NotFoundError, UnavailableError

IMAGE = parse("/dicom-web/studies/1.2/series/1.2.3/instances/1.2.3.4/thumbnail")
JPEG = "image/jpeg"


@dataclass
class Answer:
    """As the wire gives them, piece by piece."""

    status: int
    given: dict[bytes, bytes]
    pieces: list[bytes]
    ends_with_connection: bool = False
    closed: bool = False

    def header(self, name: bytes) -> bytes | None:
        return self.given.get(name)

    async def chunk(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed = True


@dataclass
class Archive:
    """Has one picture; every question is written down with the tag that came with it."""

    content: bytes = b"\xff\xd8 a picture"
    tag: bytes | None = b'"1"'
    kind: bytes = b"image/jpeg"
    length: bool = True
    cut: bool = False
    error: Exception | None = None
    asked: list[bytes | None] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    now: float = 0.0

    async def ask(self, headers: Any) -> Any:
        held = dict(headers).get(b"If-None-Match")
        self.asked.append(held)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        same = held is not None and held == self.tag
        said = {b"content-type": self.kind, b"content-length": b"%d" % len(self.content), b"etag": self.tag}
        given = {name: value for name, value in said.items() if value is not None}
        if not self.length:
            del given[b"content-length"]
        pieces = [] if same else [self.content[at : at + 65536] for at in range(0, len(self.content), 65536)]
        self.answers.append(Answer(304 if same else 200, given, pieces, self.cut))
        return self.answers[-1]


def kept_of(archive: Archive, limit: int = 1 << 20) -> ValidatedThumbnails:
    return ValidatedThumbnails(limit=limit, clock=lambda: archive.now)


async def given(kept: ValidatedThumbnails, archive: Archive, query: str = "", *, counted: bool = True) -> bytes | None:
    entry = await kept.get(IMAGE, query, JPEG, archive.ask, counted=counted)
    return None if entry is None else entry.packed


async def test_it_is_given_again_only_while_the_archive_says_that_it_holds() -> None:
    archive = Archive()
    kept = kept_of(archive)
    first = archive.content
    assert [await given(kept, archive) for _ in range(3)] == [first] * 3
    assert archive.asked == [None, b'"1"', b'"1"']
    archive.content, archive.tag = b"\xff\xd8 another", b'"2"'
    assert [await given(kept, archive) for _ in range(2)] == [archive.content] * 2
    assert await given(kept, archive, "viewport=64,64") == archive.content
    assert archive.asked[3:] == [b'"1"', b'"2"', None], "another size is another picture"
    report = kept.report()
    assert (report["pictures"], report["asked"], report["kept"]) == (2, 3, 3)
    assert all(answer.closed for answer in archive.answers)


async def test_what_is_refused_is_forgotten_and_what_is_not_answered_is_not_given() -> None:
    archive = Archive()
    kept = kept_of(archive)
    await given(kept, archive)
    archive.error = UnavailableError("the archive does not answer")
    with pytest.raises(UnavailableError):
        await given(kept, archive)
    assert kept.report()["pictures"] == 1
    archive.error = NotFoundError("no such instance")
    with pytest.raises(NotFoundError):
        await given(kept, archive)
    assert kept.report()["pictures"] == 0


async def test_after_an_hour_it_is_read_anew_whatever_the_tag_says() -> None:
    archive = Archive()
    kept = kept_of(archive)
    before = await given(kept, archive)
    archive.content = b"\xff\xd8 changed under the same tag"
    archive.now = OLDEST - 1
    assert await given(kept, archive) == before
    archive.now = OLDEST
    assert await given(kept, archive) == archive.content
    assert archive.asked == [None, b'"1"', None]


async def test_without_a_tag_nothing_is_kept_and_the_pictures_are_relayed_for_a_while() -> None:
    archive = Archive(tag=None)
    kept = kept_of(archive)
    assert await given(kept, archive) == archive.content
    assert await given(kept, archive) is None
    assert (len(archive.asked), kept.report()["pictures"]) == (1, 0)
    archive.now, archive.tag = 601.0, b'"1"'
    assert [await given(kept, archive) for _ in range(2)] == [archive.content] * 2
    assert archive.asked[1:] == [None, b'"1"']


async def test_memory_is_bounded_and_only_whole_pictures_are_kept() -> None:
    archive = Archive()
    small = kept_of(archive, limit=100)
    assert await given(small, archive) == archive.content
    assert small.report()["bytes"] == 0
    assert await given(kept_of(archive, limit=0), archive) is None
    kept = kept_of(archive)
    for broken in (
        Archive(kind=b"multipart/related"),
        Archive(cut=True),
        Archive(content=bytes(LARGEST + 1)),
        Archive(content=bytes(LARGEST + 1), length=False),
    ):
        assert await given(kept, broken) is None
        assert all(answer.closed for answer in broken.answers)
    assert kept.report()["pictures"] == 0
    chunked = Archive(length=False)
    assert [await given(kept, chunked) for _ in range(2)] == [chunked.content] * 2


async def test_what_is_read_ahead_is_counted_apart() -> None:
    archive = Archive()
    kept = kept_of(archive)
    await given(kept, archive, counted=False)
    await given(kept, archive)
    report = kept.report()
    assert (report["asked"], report["kept"], report["ahead"], report["ahead_used"]) == (0, 1, 1, 1)
