"""Orders whose planned time is long past leave the worklist, and come back with another time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interop.fhir import names
from interop.fhir.scheduled_steps import steps_of
from interop.jobs import expire, reconcile
from interop.store import Store
from tests.hl7_messages import orm
from tests.hospital import Hospital, an_order
from tests.sites import a_site
from tests.unit.jobs.test_worklist import Folder, work_off

DAYS = 7
MODALITY = "http://dicom.nema.org/resources/ontology/DCM"


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")


def hl7(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%d%H%M%S")


def expiring(store: Store) -> Hospital:
    return Hospital(store, replace(a_site(), worklist_days=DAYS))


async def placed(store: Store, **more: Any) -> str:
    """An order as it stood before anything of its kind was past: at a site that lets all stay."""
    hospital = Hospital(store)
    order = an_order(await hospital.patient(), **more)
    return (await hospital.post({name: value for name, value in order.items() if value is not None})).id


@pytest.mark.parametrize(
    ("planned", "stays"),
    [
        ({"occurrenceDateTime": ago(DAYS + 1)}, False),
        ({"occurrenceDateTime": ago(DAYS - 1)}, True),
        ({"occurrenceDateTime": ago(-30)}, True),
        ({"occurrenceDateTime": ago(DAYS + 2)[:10]}, False),
        ({"occurrenceDateTime": None, "authoredOn": ago(DAYS + 1)}, False),
        ({"occurrenceDateTime": None, "authoredOn": ago(1)}, True),
        ({"occurrenceDateTime": None, "occurrencePeriod": {"start": ago(30), "end": ago(1)}}, True),
        ({"occurrenceDateTime": None, "occurrencePeriod": {"start": ago(30), "end": ago(DAYS + 1)}}, False),
        ({"occurrenceDateTime": None, "occurrenceTiming": {"event": [ago(30), ago(-1)]}}, True),
    ],
)
async def test_an_order_stays_for_some_days_after_its_time(store: Store, planned: dict[str, Any], stays: bool) -> None:
    id = await placed(store, **planned)
    hospital, folder = expiring(store), Folder()
    await work_off(hospital, folder)
    assert set(folder.files) == {id}
    assert await expire(store, hospital.site) == (0 if stays else 1)
    await work_off(hospital, folder)
    row = await hospital.row(id)
    assert (row.status, row.step, row.scheduled) == ("active", "scheduled" if stays else "", stays)
    assert (set(folder.files) == {id}) is stays
    assert row.missing == ("" if stays else f"it was planned for more than {DAYS} days ago")
    assert await expire(store, hospital.site) == 0
    assert await reconcile(store, hospital.site, folder) == 0  # a start does not bring it back


async def test_another_time_brings_it_back_and_so_does_the_patient(store: Store) -> None:
    hospital, folder = expiring(store), Folder()
    order = (await hospital.send(orm(start=hl7(DAYS + 1)))).orders[0]
    late = (await hospital.send(orm(placer="P2", start=hl7(DAYS + 1)))).orders[0]
    await work_off(hospital, folder)
    assert folder.files == {}  # told when its time was past
    await hospital.send(orm("XO", start=hl7(-1)))
    await hospital.send(orm("SC", "P2", status="AR", start=""))
    await work_off(hospital, folder)
    assert set(folder.files) == {order, late}
    assert await expire(store, hospital.site) == 0


async def test_a_site_that_says_nothing_shows_it_for_ever(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    order = (await hospital.send(orm(start="20010101083000"))).orders[0]
    await work_off(hospital, folder)
    assert set(folder.files) == {order}


async def test_of_several_steps_the_one_whose_time_is_past_leaves(store: Store) -> None:
    def step(id: str, modality: str, start: str) -> dict[str, Any]:
        parts = [
            {"url": "id", "valueIdentifier": {"value": id}},
            {"url": "modality", "valueCoding": {"system": MODALITY, "code": modality}},
            {"url": "start", "valueDateTime": start},
        ]
        return {"url": names.EXT_SCHEDULED_STEP, "extension": parts}

    id = await placed(store, extension=[step("S1", "CT", ago(DAYS + 1)), step("S2", "MR", ago(-1))])
    hospital, folder = expiring(store), Folder()
    assert await expire(store, hospital.site) == 1
    await work_off(hospital, folder)
    assert set(folder.files[id]) == {"S2|MR1"}
    steps = steps_of(await hospital.get("ServiceRequest", id))
    assert [(one.number, one.step) for one in steps] == [("S1", ""), ("S2", "scheduled")]


async def test_many_are_looked_at_a_few_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interop.jobs.expiring._TOGETHER", 2)
    hospital = Hospital(store)
    for number in range(5):
        await hospital.send(orm(placer=f"N{number}", start=hl7(DAYS + 1)))
    await hospital.send(orm(placer="now", start=hl7(0)))
    assert await expire(store, expiring(store).site) == 5
