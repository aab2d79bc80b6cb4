"""Images stored in the real Orthanc become an ImagingStudy that grows with them, on either database."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom

from interop.archive_feed import ArchiveFeed
from interop.archive_feed.feed import Pace
from interop.archive_feed.image_types import Heads
from interop.archive_feed.orthanc_stock import OrthancStock
from interop.archive_feed.reading import Reader
from interop.dicom.values import dataset_of
from interop.orthanc.child import PrivateOrthanc
from interop.orthanc.client import OrthancClient
from interop.orthanc.storage import Storage
from interop.store import Store
from interop.testing.images import study_images
from interop.testing.modality import store as c_store
from interop.workflow.studies import register
from tests.sites import a_site

SITE = a_site()
PACE = Pace(counting=0.3, longest_backoff=0.5)
NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)


def images(study: str, count: int, *, modality: str = "CT", patient: str = "P1") -> list[pydicom.Dataset]:
    """The objects of one new series."""
    item = dataset_of(
        {
            "PatientName": "Παπαδόπουλος^Νίκος",
            "PatientID": patient,
            "StudyInstanceUID": study,
            "RequestedProcedureDescription": "Αξονική θώρακος",
            "ScheduledProcedureStepSequence": [{"Modality": modality}],
        }
    )
    item.SpecificCharacterSet = "ISO_IR 192"
    return list(study_images(item, aet="CT1", images=count, now=NOW))


async def put(orthanc: PrivateOrthanc, datasets: list[pydicom.Dataset]) -> None:
    """C-STORE them on one association, beside the running feed."""
    await asyncio.to_thread(
        c_store, datasets, host="127.0.0.1", port=orthanc.dicom_port, called_aet=orthanc.aet, calling_aet="STORESCU"
    )


@asynccontextmanager
async def feeding(store: Store, client: OrthancClient, *, heads: Heads | None = None) -> AsyncIterator[ArchiveFeed]:
    feed = ArchiveFeed(store, SITE, client, register, pace=PACE, heads=heads)
    task = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.health.compared is not None or feed.health.error is not None)
        yield feed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], Any], within: float = 15.0) -> Any:
    deadline = time.monotonic() + within
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


async def study(store: Store, uid: str) -> dict[str, Any] | None:
    """The ImagingStudy as an app reads it."""

    def find(tx: Any) -> dict[str, Any] | None:
        found = tx.by_identifier("ImagingStudy", "urn:dicom:uid", f"urn:oid:{uid}")
        return found[0].resource() if found else None

    return await store.view(find)


async def has(store: Store, uid: str, instances: int) -> dict[str, Any] | None:
    found = await study(store, uid)
    return found if found is not None and found["numberOfInstances"] == instances else None


async def test_a_study_is_complete_within_a_second_of_its_last_image(orthanc: PrivateOrthanc, store: Store) -> None:
    async with orthanc.client() as client, feeding(store, client):
        await put(orthanc, images("2.25.1", 60))
        began = time.monotonic()
        found = await until(lambda: has(store, "2.25.1", 60))
        assert time.monotonic() - began < 1.0
    assert found["status"] == "available"
    assert found["description"] == "Αξονική θώρακος"
    assert found["started"] == "2026-11-21T10:15:00+00:00"
    assert "basedOn" not in found
    assert found["endpoint"]
    (series,) = found["series"]
    assert series["modality"]["code"] == "CT"
    assert sorted(each["number"] for each in series["instance"]) == list(range(1, 61))
    assert {each["sopClass"]["code"] for each in series["instance"]} == {"urn:oid:1.2.840.10008.5.1.4.1.1.2"}


async def test_images_are_called_by_their_type_where_the_archives_files_can_be_read(
    orthanc: PrivateOrthanc, store: Store
) -> None:
    made = [*images("2.25.31", 3), *images("2.25.31", 1, modality="DX")]
    made[1].ImageType = ["DERIVED", "SECONDARY", "MPR"]
    heads = Storage(orthanc.folder / "storage").heads
    async with orthanc.client() as client, feeding(store, client, heads=heads):
        await put(orthanc, made)
        found = await until(lambda: has(store, "2.25.31", 4))
        stated = await OrthancStock(client, Reader(client, SITE.zone, heads=heads)).whole("2.25.31")
    shown = {each["uid"]: each["title"] for series in found["series"] for each in series["instance"]}
    assert shown == {each.SOPInstanceUID: "\\".join(each.ImageType).rstrip("\\") for each in made}
    assert stated is not None
    assert {each.sop_instance_uid: each.title for series in stated.series for each in series.instances} == shown


async def test_a_study_shows_while_its_images_still_arrive(orthanc: PrivateOrthanc, store: Store) -> None:
    series = images("2.25.2", 30)
    seen: set[int] = set()

    async def slowly() -> None:
        for start in range(0, 30, 5):
            await put(orthanc, series[start : start + 5])
            await asyncio.sleep(0.3)

    async with orthanc.client() as client, feeding(store, client):
        sending = asyncio.create_task(slowly())
        while not sending.done():
            found = await study(store, "2.25.2")
            seen.add(found["numberOfInstances"] if found else 0)
            await asyncio.sleep(0.02)
        await sending
        await until(lambda: has(store, "2.25.2", 30))
    assert len(seen - {0, 30}) >= 2


async def test_storescu_of_two_series_and_a_cine_make_one_study(
    orthanc: PrivateOrthanc, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "objects"
    folder.mkdir()
    made = [*images("2.25.3", 2), *images("2.25.3", 3), *images("2.25.3", 4, modality="US")]
    for number, dataset in enumerate(made):
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    async with orthanc.client() as client, feeding(store, client):
        await asyncio.to_thread(
            subprocess.run,
            ["storescu", "-aet", "STORESCU", "-aec", orthanc.aet, "+sd", "127.0.0.1", str(orthanc.dicom_port), folder],
            check=True,
            env={"TCP_NODELAY": "1"},
            timeout=30,
        )
        found = await until(lambda: has(store, "2.25.3", 6))
    assert sorted(series["modality"]["code"] for series in found["series"]) == ["CT", "CT", "US"]
    assert sorted(series["numberOfInstances"] for series in found["series"]) == [1, 2, 3]


async def test_images_stored_while_the_server_was_away_are_found(orthanc: PrivateOrthanc, store: Store) -> None:
    await put(orthanc, images("2.25.4", 2))
    async with orthanc.client() as client:
        async with feeding(store, client):
            await until(lambda: has(store, "2.25.4", 2))
        await put(orthanc, images("2.25.4", 3))
        await put(orthanc, images("2.25.5", 1))
        async with feeding(store, client):
            await until(lambda: has(store, "2.25.4", 5))
            await until(lambda: has(store, "2.25.5", 1))


async def test_orthanc_killed_amid_a_study_loses_nothing(orthanc: PrivateOrthanc, store: Store) -> None:
    async with orthanc.client() as client, feeding(store, client) as feed:
        await put(orthanc, images("2.25.6", 3))
        await orthanc.stop(grace=0.0)
        await until(lambda: not feed.health.reachable)
        assert feed.health.error is not None
        await orthanc.start()
        await until(lambda: feed.health.reachable)
        await put(orthanc, images("2.25.6", 2))
        await until(lambda: has(store, "2.25.6", 5))
        await until(lambda: feed.health.error is None)


async def test_a_study_deleted_in_orthanc_is_cancelled_and_comes_back_when_stored_again(
    orthanc: PrivateOrthanc, store: Store
) -> None:
    series = images("2.25.7", 2)
    await put(orthanc, [*series, *images("2.25.8", 1)])
    async with orthanc.client() as client, feeding(store, client):
        await until(lambda: has(store, "2.25.7", 2))
        for id in await client.find_studies("2.25.7"):
            await client.delete_study(id)
        found = await until(lambda: has(store, "2.25.7", 0))
        assert found["status"] == "cancelled"
        assert "series" not in found
        assert await has(store, "2.25.8", 1)
        await put(orthanc, series)
        found = await until(lambda: has(store, "2.25.7", 2))
        assert found["status"] == "available"


async def test_an_object_stored_later_under_another_patient_moves_nothing(
    orthanc: PrivateOrthanc, store: Store
) -> None:
    async with orthanc.client() as client, feeding(store, client) as feed:
        await put(orthanc, images("2.25.9", 2, patient="P1"))
        first = await until(lambda: has(store, "2.25.9", 2))
        await put(orthanc, images("2.25.9", 1, patient="P2"))
        after = await until(lambda: has(store, "2.25.9", 3))
        assert after["subject"] == first["subject"]
        assert len(await client.find_studies("2.25.9")) == 2
        assert (await feed.compare()).mended == ()
