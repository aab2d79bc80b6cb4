"""Metadata for whoever asks first: given when the archive has answered, kept behind, and never where they changed."""

from __future__ import annotations

import asyncio
import gc
import gzip
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from interop.dicomweb.metadata_memory import JSON, FreshMetadata, KeptMetadata
from interop.dicomweb.paths import Target, parse
from interop.dicomweb.series_metadata import SeriesMetadata
from interop.errors import UnavailableError

SERIES = parse("/dicom-web/studies/1.2/series/1.2.3/metadata")
BODY = b'[{"00080018": {}}]'
FORWARDED = (b"Forwarded", b"host=here;proto=https")


@dataclass
class Answer:
    """Whole, as the wire gives them."""

    status: int = 200
    ends_with_connection: bool = False

    def header(self, name: bytes) -> bytes | None:
        return {b"content-type": JSON, b"content-length": b"%d" % len(BODY)}.get(name)

    async def body(self, limit: int) -> bytes:
        return BODY

    def close(self) -> None:
        return


@dataclass
class Archive:
    """Has one series, answers when it is let, and says the states one after the other, the last one ever after."""

    said: list[bytes | None] = field(default_factory=lambda: [b"1"])
    settles: bool = True
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    checks: asyncio.Event = field(default_factory=asyncio.Event)  # the state behind an answer
    down: bool = False
    status: int = 200
    asked: int = 0
    states: int = 0

    async def get(self, target: bytes, headers: object = ()) -> Answer:
        self.asked += 1
        await self.answers.wait()
        if self.down:
            await asyncio.sleep(0.01)
            raise UnavailableError("the archive does not answer")
        return Answer(self.status)

    async def of(self, target: Target) -> tuple[bytes, datetime] | None:
        self.states += 1
        if self.down:
            raise UnavailableError("the archive does not answer")
        if self.states > 1:
            await self.checks.wait()
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        return None if said is None else (said, datetime(2026, 1, 1, tzinfo=UTC))

    async def settled(self, changed: datetime) -> bool:
        return self.settles


def memory_of(archive: Archive) -> SeriesMetadata:
    return SeriesMetadata(archive, archive, limit=1 << 20)  # type: ignore[arg-type]


async def ask(memory: SeriesMetadata, *, counted: bool = True) -> KeptMetadata | FreshMetadata | None:
    async with asyncio.timeout(5):
        return await memory.get(SERIES, "https://here", FORWARDED, counted=counted)


async def test_who_asks_first_has_it_before_it_is_kept() -> None:
    archive = Archive()
    memory = memory_of(archive)
    archive.answers.set()
    first = await ask(memory)
    assert isinstance(first, FreshMetadata)
    assert await first.ready()
    assert await first.unpacked() == BODY
    assert gzip.decompress(await first.zipped()) == BODY
    assert memory.report()["series"] == 0, "the archive has not said yet that the series is as it was"
    archive.checks.set()
    second = await ask(memory)
    assert isinstance(second, KeptMetadata)
    assert (await second.unpacked(), second.tag) == (BODY, first.tag)
    assert archive.asked == 1


async def test_it_is_packed_when_whoever_asked_first_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[bytes] = []
    monkeypatch.setattr("interop.dicomweb.metadata_memory.zipped", lambda body: packed.append(body) or body)
    monkeypatch.setattr("interop.dicomweb.series_metadata._GIVING", 60.0)
    archive = Archive()
    archive.answers.set()
    archive.checks.set()
    memory = memory_of(archive)
    first = await ask(memory)
    assert isinstance(first, FreshMetadata)
    assert await first.ready()
    await asyncio.sleep(0.01)
    assert packed == [], "packing would take the processor from whoever reads the answer"
    first.given()
    assert isinstance(await ask(memory), KeptMetadata)
    assert packed == [BODY]


async def test_those_that_ask_meanwhile_wait_for_that_answer() -> None:
    archive = Archive()
    memory = memory_of(archive)
    archive.checks.set()
    together = asyncio.gather(*(ask(memory) for _ in range(5)))
    await asyncio.sleep(0.01)
    archive.answers.set()
    first, *others = await together
    assert isinstance(first, FreshMetadata)
    assert all(isinstance(each, KeptMetadata) for each in others)
    assert (archive.asked, memory.report()["kept"]) == (1, 4)


async def test_what_changed_while_it_was_read_is_given_once_and_not_kept() -> None:
    archive = Archive(said=[b"1", b"2"])
    archive.answers.set()
    archive.checks.set()
    memory = memory_of(archive)
    first = await ask(memory)
    assert first is not None
    assert await first.ready()
    again = await ask(memory)
    assert isinstance(again, FreshMetadata)
    assert await again.ready()
    assert archive.asked == 2


@pytest.mark.parametrize("archive", [Archive(settles=False), Archive(said=[None])], ids=["unsettled", "unnamed"])
async def test_what_may_still_change_unnoticed_is_given_without_a_tag_and_not_kept(archive: Archive) -> None:
    archive.answers.set()
    archive.checks.set()
    memory = memory_of(archive)
    for _ in range(2):
        first = await ask(memory)
        assert isinstance(first, FreshMetadata)
        assert await first.there() == (archive.said != [None])
        assert await first.ready()
        assert (await first.unpacked(), first.tag) == (BODY, None)
    assert archive.asked == 2


async def test_a_state_that_was_long_in_coming_proves_nothing() -> None:
    archive = Archive()
    archive.answers.set()
    archive.checks.set()
    clock = iter((0.0, 1.5))
    memory = SeriesMetadata(archive, archive, limit=1 << 20, clock=lambda: next(clock))  # type: ignore[arg-type]
    first = await ask(memory)
    assert first is not None
    assert await first.ready()
    assert first.tag is None


async def test_what_the_archive_does_not_give_whole_is_relayed() -> None:
    archive = Archive(status=404)
    archive.answers.set()
    archive.checks.set()
    first = await ask(memory_of(archive))
    assert first is not None
    assert not await first.ready()


async def test_the_archives_failure_reaches_who_asked_and_who_reads_ahead() -> None:
    archive = Archive(down=True)
    archive.answers.set()
    archive.checks.set()
    memory = memory_of(archive)
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))
    first = await ask(memory)
    assert first is not None
    assert not await first.there()
    with pytest.raises(UnavailableError):
        await first.ready()
    with pytest.raises(UnavailableError):
        await ask(memory, counted=False)
    del first
    gc.collect()
    await asyncio.sleep(0)
    assert unheard == []


async def test_who_leaves_does_not_keep_the_others_from_it() -> None:
    archive = Archive()
    memory = memory_of(archive)
    archive.checks.set()

    async def first() -> None:
        found = await ask(memory)
        assert found is not None
        await found.ready()

    leaving = asyncio.create_task(first())
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(ask(memory))
    await asyncio.sleep(0.01)
    leaving.cancel()
    archive.answers.set()
    kept = await waiting
    assert isinstance(kept, KeptMetadata)
    assert archive.asked == 1


async def test_what_is_read_ahead_is_kept_when_that_returns() -> None:
    archive = Archive()
    archive.answers.set()
    archive.checks.set()
    memory = memory_of(archive)
    await ask(memory, counted=False)
    assert isinstance(await ask(memory), KeptMetadata)
    assert (memory.report()["ahead"], memory.report()["ahead_used"]) == (1, 1)
