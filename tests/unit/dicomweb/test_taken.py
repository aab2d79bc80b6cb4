"""Bytes that were taken in are the same wherever they lie, and memory has its bounds."""

from __future__ import annotations

import asyncio
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.dicomweb.taken import Room, Taken
from interop.errors import UnavailableError

PIECES = st.lists(st.lists(st.binary(max_size=30), max_size=5), max_size=8)


async def filled(room: Room, pieces: list[list[bytes]]) -> Taken:
    found = Taken(room)
    for some in pieces:
        await found.append([memoryview(piece) for piece in some])
    return found


@given(pieces=PIECES, size=st.integers(0, 300), cut=st.tuples(st.integers(0, 1000), st.integers(0, 1000)))
def test_what_was_taken_is_read_as_it_came(pieces: list[list[bytes]], size: int, cut: tuple[int, int]) -> None:
    whole = b"".join(piece for some in pieces for piece in some)
    start = cut[0] % (len(whole) + 1)
    length = cut[1] % (len(whole) - start + 1)

    async def run() -> None:
        room = Room(size, size)
        found = await filled(room, pieces)
        wanted = whole[start : start + length]
        assert b"".join([piece async for piece in found.pieces(start, length)]) == wanted
        assert b"".join(found.blocks(start, length)) == wanted
        with found.reader() as reader:
            assert reader.seek(start) == start
            assert (reader.read(length), reader.tell()) == (wanted, start + length)
            reader.seek(0)
            assert reader.read() == whole
        found.close()
        assert room.take(size), "all of the room is free again"

    asyncio.run(run())


async def test_one_request_has_a_bound_and_all_have_one() -> None:
    room = Room(100, 60)
    first = await filled(room, [[b"a" * 50]])
    second = await filled(room, [[b"b" * 50]])
    assert not room.take(1)
    third = await filled(room, [[b"c" * 50]])
    await first.append([memoryview(b"a" * 20)])  # goes to a file, whole
    assert room.take(50)
    assert not room.take(1)
    for found, letter, size in ((first, b"a", 70), (second, b"b", 50), (third, b"c", 50)):
        assert b"".join(found.blocks(0, 100)) == letter * size
        found.close()
    assert room.take(50)


async def test_crumbs_are_put_together() -> None:
    found = await filled(Room(1 << 20, 1 << 20), [[b"x"] * 256] * 1000)
    assert len([piece async for piece in found.pieces(0, 256_000)]) < 10
    found.close()


async def test_who_reads_it_reads_on_when_it_is_closed() -> None:
    one, two = b"1" * 5000, b"2" * 5000
    found = await filled(Room(10_000, 10_000), [[one, two]])
    blocks = found.blocks(0, 10_000)
    with found.reader() as reader:
        assert next(blocks) == one
        found.close()
        assert next(blocks) == two
        assert reader.read() == one + two


async def test_a_full_disk_is_told_and_the_room_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "writev", full)
    room = Room(10, 10)
    found = await filled(room, [[b"12345678"]])
    with pytest.raises(UnavailableError, match="no room"):
        await found.append([memoryview(b"more")])
    found.close()
    assert room.take(10)


async def test_its_reader_is_a_file() -> None:
    found = await filled(Room(100, 100), [[b"0123456789"]])
    with found.reader() as reader:
        assert (reader.seek(-3, io.SEEK_END), reader.read(2), reader.seek(1, io.SEEK_CUR), reader.read(1)) == (
            *(7, b"78", 10),
            b"",
        )
    found.close()
