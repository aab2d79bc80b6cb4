"""Series of complete studies are read ahead: one at a time, in nobody's way, within bounds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from interop.access import system_agent
from interop.dicomweb import reading_ahead
from interop.dicomweb.metadata_memory import KeptMetadata, Memory
from interop.dicomweb.reading_ahead import OLDEST, QUIET, ReadingAhead
from interop.errors import NotFoundError, UnavailableError
from interop.store import Store
from interop.store.instants import now as store_now

_AGENT = system_agent("test")


@dataclass
class Reads:
    """Stands for the archive: writes down what is read."""

    read: list[tuple[str, str]] = field(default_factory=list)
    down: bool = False
    refused: str = ""

    async def series(self, study: str, series: str) -> None:
        if self.down:
            raise UnavailableError("the archive does not answer")
        if series == self.refused:
            raise NotFoundError("no such series")
        self.read.append((study, series))


@dataclass
class Clock:
    now: datetime

    def __call__(self) -> datetime:
        return self.now


async def put(store: Store, uid: str, *series: str, id: str | None = None) -> str:
    resource: dict[str, Any] = {
        "resourceType": "ImagingStudy",
        "status": "available",
        "subject": {"reference": "Patient/p"},
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "series": [{"uid": each, "modality": {"code": "CT"}} for each in series],
    }
    if id is not None:
        return (await store.unit(_AGENT, lambda tx: tx.update({**resource, "id": id}))).id
    return (await store.unit(_AGENT, lambda tx: tx.create(resource))).id


async def test_a_study_is_read_once_it_has_been_quiet_and_again_once_it_has_grown(store: Store) -> None:
    reads, clock = Reads(), Clock(store_now())
    ahead = ReadingAhead(store, reads, series=2, clock=clock)  # type: ignore[arg-type]
    id = await put(store, "1.2", "1.2.1", "1.2.2", "1.2.3")
    await ahead.turn()
    assert reads.read == [], "it may still grow"
    clock.now = store_now() + QUIET
    reads.down = True
    with pytest.raises(UnavailableError):
        await ahead.turn()
    reads.down = False
    reads.refused = "1.2.1"
    with pytest.raises(NotFoundError):
        await ahead.turn()
    for _ in range(4):
        await ahead.turn()
    assert reads.read == [("1.2", "1.2.2")], "as many series as were asked for, each once, and none that is refused"
    await put(store, "1.2", "1.2.9", id=id)
    clock.now = store_now() + QUIET
    await ahead.turn()
    assert reads.read[1:] == [("1.2", "1.2.9")]


async def test_it_waits_while_images_come_in_but_not_for_ever_and_leaves_what_is_old(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, clock = Reads(), Clock(store_now())
    ahead = ReadingAhead(store, reads, series=9, clock=clock)  # type: ignore[arg-type]
    await put(store, "1.2", "1.2.1")
    await asyncio.sleep(0.02)
    await put(store, "1.3", "1.3.1")
    stored = await store.view(lambda tx: {each.id: each.last_updated for each in tx.recent_studies(clock.now, 9)})
    first, second = sorted(stored.values())
    clock.now = first + QUIET
    await ahead.turn()
    assert reads.read == [], "the other one grows"
    short = QUIET + timedelta(milliseconds=10)
    with monkeypatch.context() as patched:
        patched.setattr(reading_ahead, "WAITING", short)
        clock.now = first + short
        await ahead.turn()
    assert reads.read == [("1.2", "1.2.1")], "it has waited long enough"
    clock.now = second + QUIET
    await ahead.turn()
    assert reads.read[1:] == [("1.3", "1.3.1")]
    late = ReadingAhead(store, reads, series=9, clock=Clock(second + OLDEST + timedelta(seconds=1)))  # type: ignore[arg-type]
    await late.turn()
    assert len(reads.read) == 2


def test_what_was_read_ahead_takes_half_of_the_memory_and_leaves_what_was_asked_for() -> None:
    def entry() -> KeptMetadata:
        return KeptMetadata(b"", b"x" * 488, b"")  # 1,000 with what an entry takes besides

    memory: Memory[KeptMetadata] = Memory(4000)
    asked = ("study", "asked", "")
    memory.keep(asked, entry())
    for number in range(5):
        memory.keep(("study", str(number), ""), entry(), ahead=True)
    assert memory.find(asked) is not None
    assert [n for n in range(5) if memory.find(("study", str(n), "")) is not None] == [3, 4]
    memory.served(("study", "4", ""))
    memory.served(("study", "4", ""))
    memory.keep(("study", "5", ""), entry(), ahead=True)
    assert memory.find(("study", "4", "")) is not None, "it is one that was asked for now"
    assert memory.report("series") == {
        "series": 4, "bytes": 4000, "limit": 4000, "kept": 2, "asked": 0, "ahead": 6, "ahead_used": 1,
    }  # fmt: skip
