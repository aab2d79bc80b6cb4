"""The feed against an archive that does what Orthanc does: forgets, restarts, deletes, and is sometimes not there."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from interop.archive_feed import ArchiveFeed
from interop.archive_feed.consuming import FIRST
from interop.archive_feed.feed import Pace
from interop.archive_feed.reconciling import known_holdings
from interop.dicom.study import StudyFacts
from interop.errors import InvalidContentError, UnavailableError
from interop.fhir.query import IndexRow
from interop.store import SeriesPart, Store, Tx, open_store
from interop.workflow.archives import read_status

CT = "1.2.840.10008.5.1.4.1.1.2"
SITE: Any = SimpleNamespace(zone=UTC)
PACE = Pace(growing=0.02, idle=0.02, standby=0.05, longest_backoff=0.1, counting=0.1, comparing=3600.0, telling=0.1)


@dataclass
class FakeArchive:
    """Orthanc's REST interface over a list of images."""

    images: dict[str, dict[str, Any]] = field(default_factory=dict)  # instance id -> tags and ids
    log: list[tuple[int, str]] = field(default_factory=list)
    sequence: int = 0
    down: bool = False
    asked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], Awaitable[object]] | None = None  # what happens, once, before it says its last change

    def store(
        self, study: str, series: str, number: int, *, patient: str = "P1", modality: str = "CT", side: str = ""
    ) -> None:
        instance = f"i-{patient}-{series}-{number}".replace(".", "-")
        self.images[instance] = {
            "study_id": f"s-{patient}-{study}".replace(".", "-"),
            "series_id": f"e-{patient}-{series}".replace(".", "-"),
            "tags": {
                "0008,0016": CT,
                "0008,0018": f"{series}.{number}",
                "0008,0060": modality,
                "0010,0020": patient,
                "0020,000d": study,
                "0020,000e": series,
                "0020,0013": str(number),
                "0020,0062": side,
            },
        }
        self.sequence += 1
        self.log.append((self.sequence, instance))

    def delete(self, study: str, *, patient: str = "", instance: str = "") -> None:
        """As Orthanc deletes: its changes vanish, and none says so."""
        gone = {
            id
            for id, image in self.images.items()
            if image["tags"]["0020,000d"] == study
            and patient in ("", image["tags"]["0010,0020"])
            and instance in ("", image["tags"]["0008,0018"])
        }
        self.images = {id: image for id, image in self.images.items() if id not in gone}
        self.log = [(sequence, id) for sequence, id in self.log if id not in gone]

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise UnavailableError("down")

    def _ids(self, level: str, study: str | None = None) -> list[str]:
        return list(
            dict.fromkeys(image[level] for image in self.images.values() if study in (None, image["tags"]["0020,000d"]))
        )

    async def changes(self, since: int, limit: int = 1000) -> dict[str, Any]:
        self._answer("changes")
        rows = [(sequence, id) for sequence, id in self.log if sequence > since]
        return {
            "Changes": [{"Seq": s, "ID": id, "ChangeType": "NewInstance"} for s, id in rows[:limit]],
            "Done": len(rows) <= limit,
            "Last": rows[:limit][-1][0] if rows else since,
        }

    async def last_change(self) -> int:
        self._answer("last")
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            await happens()
        return self.sequence

    async def statistics(self) -> dict[str, Any]:
        self._answer("statistics")
        return {
            "CountInstances": len(self.images),
            "CountSeries": len(self._ids("series_id")),
            "CountStudies": len(self._ids("study_id")),
            "TotalDiskSize": "1",
        }

    async def resources(self, ids: Sequence[str], level: str | None = None) -> list[dict[str, Any]]:
        self._answer(f"resources {len(ids)} {level}")
        found = []
        for id in ids:
            if id in self.images:
                found.append(self._instance(id))
            elif id.startswith("e-"):
                found.append(self._series(id))
            elif level == "Series":
                found += [self._series(s) for s in self._ids("series_id") if self._study_of(s) == id]
            else:
                found.append(self._study(id))
        return found

    def _instance(self, id: str) -> dict[str, Any]:
        image = self.images[id]
        return {
            "ID": id,
            "ParentSeries": image["series_id"],
            "MainDicomTags": {tag: image["tags"][tag] for tag in ("0008,0018", "0020,0013")},
            "Metadata": {"SopClassUid": CT},
        }

    def _study_of(self, series: str) -> str:
        return next(str(i["study_id"]) for i in self.images.values() if i["series_id"] == series)

    def _series(self, id: str) -> dict[str, Any]:
        instances = [key for key, image in self.images.items() if image["series_id"] == id]
        return {"ID": id, "ParentStudy": self._study_of(id), "Instances": instances}

    def _study(self, id: str, *, short: bool = True) -> dict[str, Any]:
        mine = [image for image in self.images.values() if image["study_id"] == id]
        tags = mine[0]["tags"]
        return {
            "ID": id,
            "Series": list(dict.fromkeys(image["series_id"] for image in mine)),
            "MainDicomTags": {"0020,000d" if short else "StudyInstanceUID": tags["0020,000d"]},
            "PatientMainDicomTags": {"0010,0020" if short else "PatientID": tags["0010,0020"]},
        }

    async def tags(self, instance: str) -> dict[str, Any] | None:
        self._answer("tags")
        return self.images[instance]["tags"] if instance in self.images else None

    async def find_studies(self, study_uid: str) -> list[str]:
        self._answer("find")
        return self._ids("study_id", study_uid)

    async def list_resources(self, level: str, since: int, limit: int) -> list[dict[str, Any]]:
        self._answer("list")
        return [self._study(id, short=False) for id in self._ids("study_id")][since : since + limit]


class Registry:
    """What register() was told, and an ImagingStudy as plain as can be."""

    def __init__(self) -> None:
        self.told: list[StudyFacts] = []
        self.refuse: Exception | None = None

    def register(self, tx: Tx, _site: object, facts: StudyFacts) -> Any:
        if self.refuse is not None:
            raise self.refuse
        self.told.append(facts)
        parts = [
            SeriesPart(series.uid, {"uid": series.uid}, [{"uid": i.sop_instance_uid} for i in series.instances])
            for series in facts.series
        ]
        found = tx.by_identifier("ImagingStudy", "urn:dicom:uid", f"urn:oid:{facts.study_uid}")
        study: dict[str, Any] = {
            "resourceType": "ImagingStudy",
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{facts.study_uid}"}],
            "status": "cancelled" if facts.whole and not facts.series else "available",
        }
        if found:
            study["id"] = found[0].id
        before = tx.study_instances(found[0].id) if found else {}
        after: dict[str, set[str]] = {} if facts.whole else {uid: set(uids) for uid, uids in before.items()}
        for series in facts.series:
            after.setdefault(series.uid, set()).update(i.sop_instance_uid for i in series.instances)
        study["numberOfSeries"] = len(after)
        study["numberOfInstances"] = sum(map(len, after.values()))
        tx.put_study(study, parts, [uid for uid in before if uid not in after])
        known = {uid for uids in before.values() for uid in uids}
        again = any(i.sop_instance_uid in known for series in facts.series for i in series.instances)
        return SimpleNamespace(again=again and not facts.whole)

    @property
    def images(self) -> list[int]:
        return [sum(len(series.instances) for series in facts.series) for facts in self.told]


def index(resource: dict[str, Any], _zone: tzinfo) -> list[IndexRow]:
    if resource["resourceType"] != "ImagingStudy":
        return []
    rows = [IndexRow("identifier", "token", each["system"], each["value"]) for each in resource["identifier"]]
    return [*rows, IndexRow("status", "token", "http://hl7.org/fhir/imagingstudy-status", resource["status"])]


@pytest.fixture
async def store(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Store]:
    shutil.copyfile(sqlite_template, tmp_path / "interop.db")
    opened = await open_store(f"sqlite:///{tmp_path / 'interop.db'}", zone=UTC, index=index)
    yield opened
    await opened.close()


@pytest.fixture
def archive() -> FakeArchive:
    return FakeArchive()


@pytest.fixture
def registry() -> Registry:
    return Registry()


Running = Callable[..., Any]


@pytest.fixture
def running(store: Store, archive: FakeArchive, registry: Registry) -> Running:
    @asynccontextmanager
    async def run(owner: str = "elsewhere/1/1") -> AsyncIterator[ArchiveFeed]:
        feed = ArchiveFeed(store, SITE, archive, registry.register, pace=PACE, owner=owner)
        task = asyncio.create_task(feed.run())
        try:
            yield feed
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return run


async def until(holds: Callable[[], bool | Awaitable[bool]], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while True:
        result = holds()
        if result if isinstance(result, bool) else await result:
            return
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


async def compared(feed: ArchiveFeed) -> None:
    await until(lambda: feed.health.compared is not None)


async def holdings(store: Store, uid: str) -> tuple[int, int] | None:
    known = await store.view(lambda tx: known_holdings(tx, uid))
    return None if known is None else (known.series, known.instances)


async def test_a_study_is_whole_and_quiet_within_a_second_of_its_last_image(
    running: Running, archive: FakeArchive, registry: Registry, store: Store
) -> None:
    async with running() as feed:
        await compared(feed)
        for number in range(60):
            archive.store("1.2", "1.2.1", number)
        began = time.monotonic()
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
        assert time.monotonic() - began < 1.0
    assert await holdings(store, "1.2") == (1, 60)
    assert registry.images[0] == 60


async def test_a_study_shows_while_it_grows_and_only_what_is_new_is_read(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    async with running() as feed:
        await compared(feed)
        archive.store("1.2", "1.2.1", 0)
        await until(lambda: registry.images == [1])
        for number in range(1, 20):
            archive.store("1.2", "1.2.1", number)
            await asyncio.sleep(0.01)
        await until(lambda: registry.told[-1].quiet)
    assert sum(registry.images) == 20
    assert archive.asked.count("tags") == 1  # one for the series, however many images
    read = [int(asked.split()[1]) for asked in archive.asked if asked.endswith("None")]
    assert sum(read) == 20


async def test_of_which_side_each_mammogram_is_is_read(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    async with running() as feed:
        await compared(feed)
        for number, side in enumerate("LRLR"):
            archive.store("1.2", "1.2.1", number, modality="MG", side=side)
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
    told = {one.number: one.laterality for facts in registry.told for s in facts.series for one in s.instances}
    assert told == {0: "L", 1: "R", 2: "L", 3: "R"}


async def test_what_was_there_before_the_first_start_is_found(
    running: Running, archive: FakeArchive, registry: Registry, store: Store
) -> None:
    for number in range(3):
        archive.store("1.2", "1.2.1", number)
        archive.store("1.3", "1.3.1", number)
    async with running() as feed:
        await compared(feed)
    assert await holdings(store, "1.2") == await holdings(store, "1.3") == (1, 3)
    assert all(facts.whole and facts.quiet for facts in registry.told)
    assert len(registry.told) == 2


async def test_what_came_while_the_server_was_away_is_read_from_the_cursor(
    running: Running, archive: FakeArchive, registry: Registry, store: Store
) -> None:
    async with running() as feed:
        await compared(feed)
        archive.store("1.2", "1.2.1", 0)
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
    archive.store("1.2", "1.2.1", 1)
    async with running():
        await until(lambda: sum(registry.images) == 2)
    assert await holdings(store, "1.2") == (1, 2)


async def test_a_restart_between_growing_and_quiet_still_tells_quiet(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    async with running() as feed:
        await compared(feed)
        archive.store("1.2", "1.2.1", 0)
        await until(lambda: registry.images == [1])
    assert not registry.told[-1].quiet
    async with running():
        await until(lambda: registry.told[-1].quiet)


async def test_a_deleted_study_is_noticed_though_no_change_says_so(
    running: Running, archive: FakeArchive, registry: Registry, store: Store
) -> None:
    archive.store("1.2", "1.2.1", 0)
    archive.store("1.3", "1.3.1", 0)
    async with running() as feed:
        await compared(feed)
        archive.delete("1.2")
        await until(lambda: registry.told[-1] == StudyFacts("1.2", whole=True, quiet=True))
    assert await holdings(store, "1.2") is None
    assert await holdings(store, "1.3") == (1, 1)


async def test_a_study_deleted_while_the_server_was_away_is_noticed(
    running: Running, archive: FakeArchive, store: Store
) -> None:
    archive.store("1.2", "1.2.1", 0)
    async with running() as feed:
        await compared(feed)
    archive.delete("1.2")
    async with running() as feed:
        await compared(feed)
    assert await holdings(store, "1.2") is None


async def test_an_archive_that_begins_anew_is_read_anew(
    running: Running, archive: FakeArchive, registry: Registry, store: Store
) -> None:
    archive.store("1.2", "1.2.1", 0)
    archive.store("1.2", "1.2.1", 1)
    async with running() as feed:
        await compared(feed)
    archive.delete("1.2")
    archive.sequence = 0
    archive.store("1.3", "1.3.1", 0)
    async with running() as feed:
        await compared(feed)
        archive.store("1.4", "1.4.1", 0)
        await until(lambda: registry.told[-1].study_uid == "1.4")
    assert await holdings(store, "1.2") is None
    assert await holdings(store, "1.3") == (1, 1)


async def test_the_archive_down_is_said_and_outlived(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    archive.down = True
    async with running() as feed:
        await until(lambda: feed.health.error == "down")
        assert not feed.health.reachable
        archive.down = False
        await until(lambda: feed.health.reachable)
        archive.store("1.2", "1.2.1", 0)
        await until(lambda: registry.images == [1])
        archive.down = True
        await until(lambda: not feed.health.reachable)
        await until(lambda: registry.told[-1].quiet)  # what was read is not held back
        assert feed.health.error == "down"


async def test_a_comparison_that_ends_while_the_feed_says_how_it_is_is_said_too(
    store: Store, archive: FakeArchive, running: Running
) -> None:
    async def said() -> bool:
        status = await store.view(lambda tx: read_status(tx, FIRST))
        return status is not None and status.compared_studies == 1

    async with running() as feed:
        await compared(feed)
        archive.store("1.2", "1.2.1", 1)
        archive.meanwhile = feed.compare
        await until(lambda: archive.meanwhile is None)
        await until(said)


async def test_a_database_that_cannot_write_is_tried_again(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    async with running() as feed:
        await compared(feed)
        registry.refuse = UnavailableError("full")
        archive.store("1.2", "1.2.1", 0)
        await until(lambda: feed.health.error == "full")
        registry.refuse = None
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
    assert sum(registry.images) == 1


async def test_a_study_that_is_refused_holds_no_other_back_and_is_tried_by_comparison(
    running: Running, archive: FakeArchive, registry: Registry, store: Store
) -> None:
    async with running() as feed:
        await compared(feed)
        registry.refuse = InvalidContentError("no")
        archive.store("1.2", "1.2.1", 0)
        await until(lambda: feed.health.error == "InvalidContentError")
        registry.refuse = None
        archive.store("1.3", "1.3.1", 0)
        await until(lambda: any(facts.study_uid == "1.3" for facts in registry.told))
        await until(lambda: any(facts.study_uid == "1.2" for facts in registry.told))
    assert await holdings(store, "1.2") == (1, 1)


async def test_of_two_workers_one_consumes_and_the_other_takes_over(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    async with running("elsewhere/1/1") as one:
        await compared(one)
        async with running("elsewhere/2/2") as two:
            await until(lambda: two.health.role == "standby")
            archive.store("1.2", "1.2.1", 0)
            await until(lambda: bool(registry.told) and registry.told[-1].quiet)
            assert sum(registry.images) == 1
    async with running("elsewhere/2/2") as two:
        await until(lambda: two.health.role == "consumer")
        archive.store("1.2", "1.2.1", 1)
        await until(lambda: sum(registry.images) == 2)


async def test_the_same_study_under_another_patient_does_not_move_it(
    running: Running, archive: FakeArchive, registry: Registry, store: Store
) -> None:
    async with running() as feed:
        await compared(feed)
        archive.store("1.2", "1.2.1", 0, patient="P1")
        archive.store("1.2", "1.2.2", 0, patient="P1")
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
        archive.store("1.2", "1.2.3", 0, patient="")
        archive.store("1.2", "1.2.4", 0, patient="P2")
        await until(lambda: sum(registry.images) == 4 and registry.told[-1].quiet)
        assert {facts.patient_id for facts in registry.told} == {"P1"}
        before = len(registry.told)
        assert (await feed.compare()).mended == ()
        assert len(registry.told) == before
    assert await holdings(store, "1.2") == (4, 4)


async def test_a_patient_corrected_in_the_archive_is_corrected_here(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    archive.store("1.2", "1.2.1", 0, patient="WRONG")
    async with running() as feed:
        await compared(feed)
    archive.delete("1.2")
    archive.store("1.2", "1.2.1", 0, patient="RIGHT")
    archive.log.clear()
    async with running() as feed:
        await compared(feed)
    assert registry.told[-1].patient_id == "RIGHT"


async def test_a_study_that_the_archive_gives_to_another_patient_is_followed(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    async with running() as feed:
        await compared(feed)
        archive.store("1.2", "1.2.1", 0, patient="P1")
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
        archive.store("1.2", "1.2.1", 0, patient="P2")
        await until(lambda: registry.told[-1].quiet and registry.told[-1].whole)
        assert {(facts.patient_id, facts.moved) for facts in registry.told} == {("P1", False)}
        archive.delete("1.2", patient="P1")
        await until(lambda: registry.told[-1].patient_id == "P2")
        assert registry.told[-1].moved
        assert (await feed.compare()).mended == ()


async def test_an_image_stored_anew_has_its_study_read_anew(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    async with running() as feed:
        await compared(feed)
        archive.store("1.2", "1.2.1", 0)
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
        assert registry.told[-1].description is None
        archive.store("1.2", "1.2.1", 0)
        for image in archive.images.values():
            image["tags"]["0008,1030"] = "Thorax"
        await until(lambda: registry.told[-1].description == "Thorax" and registry.told[-1].whole)


async def test_a_deletion_is_noticed_behind_what_came_meanwhile(
    running: Running, archive: FakeArchive, registry: Registry, store: Store
) -> None:
    async with running() as feed:
        await compared(feed)
        archive.store("1.2", "1.2.1", 0)
        archive.store("1.2", "1.2.1", 1)
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
        counted = archive.asked.count("statistics")
        await until(lambda: archive.asked.count("statistics") > counted + 1)
        archive.store("1.3", "1.3.1", 0)
        archive.delete("1.2", instance="1.2.1.1")

        async def gone() -> bool:
            return await holdings(store, "1.2") == (1, 1)

        await until(gone)


async def test_an_archive_that_begins_anew_while_it_is_watched_is_read_on(
    running: Running, archive: FakeArchive, registry: Registry, store: Store
) -> None:
    async with running() as feed:
        await compared(feed)
        for number in range(5):
            archive.store("1.2", "1.2.1", number)
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
        archive.delete("1.2")
        archive.sequence = 0
        await until(lambda: registry.told[-1].whole and not registry.told[-1].series)
        archive.store("1.3", "1.3.1", 0)
        await until(lambda: any(facts.study_uid == "1.3" and not facts.whole for facts in registry.told))


async def test_what_only_a_later_series_says_of_the_study_is_said_of_it(
    running: Running, archive: FakeArchive, registry: Registry
) -> None:
    async with running() as feed:
        await compared(feed)
        archive.store("1.2", "1.2.1", 0)
        await until(lambda: bool(registry.told) and registry.told[-1].quiet)
        archive.store("1.2", "1.2.2", 0)
        archive.images["i-P1-1-2-2-0"]["tags"]["0008,0050"] = "A1"
        archive.store("1.2", "1.2.1", 1)
        await until(lambda: sum(registry.images) == 3 and registry.told[-1].quiet)
        assert {facts.accession for facts in registry.told[2:]} == {"A1"}
