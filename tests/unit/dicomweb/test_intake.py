"""The body of a STOW-RS request: its parts are the same however it comes in pieces; other bodies are refused."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.dicomweb import intake as module
from interop.dicomweb.intake import Intake, SenderLeftError
from interop.dicomweb.taken import Room
from interop.dicomweb.taken_file import TakenFile
from interop.errors import InteropError, MalformedError, TooLargeError, UnavailableError, UnsupportedError

MARK = b"--b0undary"
HEAD = b"Content-Type: application/dicom\r\n\r\n"


def body_of(parts: list[bytes], before: bytes = b"") -> bytes:
    return before + b"".join(MARK + b"\r\n" + HEAD + part + b"\r\n" for part in parts) + MARK + b"--\r\n"


def taken(pieces: list[bytes], limit: int = 1 << 20, room: int = 1 << 20) -> list[bytes]:
    """The parts of a body that comes in these pieces, as they were kept."""

    async def run() -> list[bytes]:
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages.append({"type": "http.request"})
        found = iter(messages)

        async def receive() -> dict[str, Any]:
            return next(found)

        intake = Intake(MARK[2:], limit, Room(room, room))
        try:
            parts = await intake.take(receive)
            whole = [b"".join([piece async for piece in intake.pieces(part)]) for part in parts]
            assert [len(each) for each in whole] == [part.length for part in parts]
            return whole
        finally:
            intake.close()

    return asyncio.run(run())


def cut(body: bytes, places: set[int]) -> list[bytes]:
    ends = [*sorted(place for place in places if place < len(body)), len(body)]
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


# what may be taken for a boundary, or for the beginning of one
CONTENT = st.lists(
    st.one_of(st.binary(max_size=40), st.sampled_from([b"\r", b"\r\n", b"\r\n-", b"\r\n--", b"\r\n--b0undar", b"--"])),
    max_size=8,
).map(b"".join)


@given(
    parts=st.lists(CONTENT, min_size=1, max_size=4),
    before=st.sampled_from([b"", b"\r\n", b"a preamble\r\n"]),
    places=st.sets(st.integers(1, 400), max_size=40),
    room=st.sampled_from([0, 1 << 20]),
)
def test_the_parts_are_the_same_however_the_body_is_cut(
    parts: list[bytes], before: bytes, places: set[int], room: int
) -> None:
    assert taken(cut(body_of(parts, before), places), room=room) == parts


def test_byte_by_byte() -> None:
    parts = [b"one", b"", b"\r\n--b0undar\r\n" * 3]
    body = body_of(parts)
    assert taken([body[at : at + 1] for at in range(len(body))]) == parts


def test_what_follows_the_end_belongs_to_nothing() -> None:
    assert taken([body_of([b"one"]), b"\r\n" + body_of([b"two"])]) == [b"one"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", MalformedError),
        (MARK + b"--", MalformedError),
        (body_of([b"one"])[:-6], MalformedError),
        (MARK + b"\r\nContent-Type: text/plain\r\n\r\none\r\n" + MARK + b"--", UnsupportedError),
        (MARK + b"\r\n" + b"X: y\r\n" * 3000, MalformedError),
        (body_of([bytes(2 << 20)]), TooLargeError),
    ],
    ids=["nothing", "no part", "no end", "another type", "an endless head", "too much"],
)
def test_other_bodies_are_refused(body: bytes, error: type[InteropError]) -> None:
    with pytest.raises(error):
        taken([body])


def test_too_many_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PARTS", 3)
    assert taken([body_of([b"x"] * 3)]) == [b"x"] * 3
    with pytest.raises(TooLargeError):
        taken([body_of([b"x"] * 4)])


async def test_a_sender_that_falls_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    intake = Intake(MARK[2:], 100, Room(100, 100))
    with pytest.raises(SenderLeftError) as told:
        await intake.take(asyncio.Event().wait)  # type: ignore[arg-type]
    assert told.value.status == 408
    intake.close()


def test_large_parts_are_written_in_blocks_and_read_back() -> None:
    part = os.urandom(3 << 20)
    body = body_of([part, b"small", part[::-1]])
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    for room in (0, 1 << 22, 1 << 23):  # in the file, from the middle on, not at all
        assert taken(pieces, limit=1 << 23, room=room) == [part, b"small", part[::-1]]


@pytest.fixture
def file() -> Iterator[TakenFile]:
    found = TakenFile()
    yield found
    found.close()


def test_what_the_system_writes_of_the_pieces_is_continued(file: TakenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    writev = os.writev

    def sparing(number: int, pieces: list[memoryview]) -> int:
        return writev(number, [pieces[0][: max(len(pieces[0]) // 2, 1)]])

    monkeypatch.setattr(os, "writev", sparing)
    file.append([memoryview(b"abcdefg"), memoryview(b"hi"), memoryview(b"jklmnop")])
    assert file.read(0, 100) == b"abcdefghijklmnop"


def test_a_full_disk_is_told_as_such(file: TakenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int, pieces: list[memoryview]) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(UnavailableError, match="no room"):
        file.append([memoryview(b"x")])


def test_closing_does_not_take_the_file_from_who_uses_it(file: TakenFile) -> None:
    file.append([memoryview(b"content")])
    reading, closed = threading.Event(), threading.Event()
    found: list[bytes] = []

    def read() -> None:
        with file.reader() as reader:
            reading.set()
            closed.wait(5)
            reader.seek(0)
            found.append(reader.read())

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait(5)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(0, 1)
    closed.set()
    thread.join()
    assert found == [b"content"]
