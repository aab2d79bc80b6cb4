"""The worklist is what the database says, whatever happened on the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from interop.access.agent import system_agent
from interop.errors import UnavailableError
from interop.jobs import (
    Outcome,
    UndeliverableError,
    Wanted,
    WorklistItems,
    WorklistJobs,
    reconcile,
    worklist_items,
)
from interop.store import Job, Store, Tx
from interop.workflow import orders
from interop.workflow.site import Site
from tests.hl7_messages import PATIENT, header, message, orm
from tests.hospital import Hospital, a_patient, an_order, images_of
from tests.sites import a_site


@dataclass
class Folder:
    """Files by order and station."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    full_for: set[str] = field(default_factory=set)

    def make_all(
        self, changes: Sequence[tuple[str, Mapping[str, bytes], Collection[str] | None]]
    ) -> list[bool | UnavailableError]:
        return [self._make(*change) for change in changes]

    def _make(
        self, order_id: str, files: Mapping[str, bytes], absent: Collection[str] | None
    ) -> bool | UnavailableError:
        if order_id in self.full_for:
            return UnavailableError("the worklist folder cannot be written: No space left on device")
        before = self.files.get(order_id, {})
        kept = {} if absent is None else {key: one for key, one in before.items() if key not in absent}
        self.files[order_id] = kept | dict(files)
        if not self.files[order_id]:
            del self.files[order_id]
        return self.files.get(order_id, {}) != before

    def name(self, order_id: str, key: str) -> str:
        return f"{order_id}~{key}"

    async def names(self) -> Sequence[str]:
        return [f"{id}~{key}" for id, files in self.files.items() for key in files]

    async def sweep(self) -> int:
        return 0


async def work_off(hospital: Hospital, folder: Folder) -> int:
    """Run all that is owed; how many jobs there were."""
    jobs = await hospital.store.claim(["worklist"], 100, 60)
    for job, outcome in zip(jobs, await outcomes(hospital.store, hospital.site, folder, *jobs), strict=True):
        assert not isinstance(outcome, Exception)
        if outcome is not None:
            await hospital.store.unit(outcome.agent, outcome.keep)
        await hospital.store.finish(job)
    return len(jobs)


async def outcomes(store: Store, site: Site, folder: Folder, *jobs: Job) -> list[Outcome | Exception | None]:
    return await WorklistJobs(store, site, WorklistItems(store, site, folder))(jobs)


def item(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


async def test_an_order_is_shown_on_each_of_its_stations(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await work_off(hospital, folder)
    assert set(folder.files[row.id]) == {"CT1", "CT2"}
    shown = item(folder.files[row.id]["CT2"])
    step = shown.ScheduledProcedureStepSequence[0]
    assert str(shown.PatientName) == "Παπαδόπουλος^Νίκος"
    assert (shown.PatientID, shown.AccessionNumber) == ("100234", row.accession and row.accession.value)
    assert (shown.StudyInstanceUID, shown.RequestedProcedureID) == (row.study_uid, row.procedure_id)
    assert (step.ScheduledStationAETitle, step.Modality) == ("CT2", "CT")
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == ("20261121", "083000")
    assert step.ScheduledProcedureStepID == row.step_id


async def test_a_change_is_shown_and_the_newest_wins(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await hospital.send(orm("XO", start="20261122090000"))
    await hospital.send(orm("XO", start="20261123100000"))
    assert await work_off(hospital, folder) == 1  # three changes, one job: what is shown is rendered when it runs
    step = item(folder.files[row.id]["CT1"]).ScheduledProcedureStepSequence[0]
    assert step.ScheduledProcedureStepStartDate == "20261123"


@pytest.mark.parametrize("end", ["cancel", "hold", "images", "deleted"])
async def test_what_is_not_to_be_done_leaves_the_worklist(store: Store, end: str) -> None:
    hospital, folder = Hospital(store), Folder()
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await work_off(hospital, folder)
    if end == "images":
        await hospital.register(images_of(row, 1))
    elif end == "deleted":
        await hospital.delete("ServiceRequest", row.id)
    else:
        await hospital.send(orm({"cancel": "CA", "hold": "HD"}[end]))
    await work_off(hospital, folder)
    assert folder.files == {}


async def test_an_order_that_is_released_comes_back(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    row = await hospital.row((await hospital.send(orm())).orders[0])
    for raw in (orm("HD"), orm("RL")):
        await hospital.send(raw)
        await work_off(hospital, folder)
    assert set(folder.files) == {row.id}


async def test_a_cancel_is_not_held_back_by_a_write_that_failed(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await work_off(hospital, folder)
    await hospital.send(orm("XO", start="20261122090000"))
    (failing,) = await store.claim(["worklist"], 1, 60)
    await store.retry(failing, "the folder was full", 3600)
    await hospital.send(orm("CA"))
    assert await work_off(hospital, folder) == 1
    assert row.id not in folder.files


async def test_the_name_of_the_requester_is_shown(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    doctor = await hospital.post({"resourceType": "Practitioner", "name": [{"family": "Ιωάννου", "given": ["Άννα"]}]})
    stored = await hospital.post(an_order(await hospital.patient(), requester={"reference": doctor.reference}))
    await work_off(hospital, folder)
    assert str(item(folder.files[stored.id]["CT1"]).RequestingPhysician) == "Ιωάννου^Άννα"


@pytest.mark.parametrize(
    ("occurrence", "day", "hour"),
    [("2026-11-25", "20261125", ""), (None, "20261120", "101000")],
    ids=["a day", "no time: when it was written"],
)
async def test_orders_without_an_hour(store: Store, occurrence: str | None, day: str, hour: str) -> None:
    hospital, folder = Hospital(store), Folder()
    order = an_order(await hospital.patient(), authoredOn="2026-11-20T10:10:00+02:00")
    order |= {"occurrenceDateTime": occurrence}
    stored = await hospital.post({name: value for name, value in order.items() if value is not None})
    await work_off(hospital, folder)
    step = item(folder.files[stored.id]["CT1"]).ScheduledProcedureStepSequence[0]
    assert step.ScheduledProcedureStepStartDate == day
    assert (step.get("ScheduledProcedureStepStartTime") or "") == hour


async def test_an_order_that_no_item_can_hold_is_buried_and_shown_nowhere(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    stored = await hospital.post(an_order(await hospital.patient("N" * 65)))  # LO holds 64 characters
    (job,) = await store.claim(["worklist"], 1, 60)
    folder.files[stored.id] = {"CT1": b"old"}
    (outcome,) = await outcomes(store, hospital.site, folder, job)
    assert isinstance(outcome, UndeliverableError)
    assert folder.files == {}


async def test_an_order_that_cannot_be_written_takes_no_other_along(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    ids = [(await hospital.send(orm(placer=f"Q{n}"))).orders[0] for n in range(3)]
    unwritable = (await hospital.post(an_order(await hospital.patient("N" * 65)))).id
    folder.full_for = {ids[1]}
    jobs = await store.claim(["worklist"], 100, 60)
    found = {
        job.key: outcome for job, outcome in zip(jobs, await outcomes(store, hospital.site, folder, *jobs), strict=True)
    }
    assert isinstance(found[unwritable], UndeliverableError)
    assert isinstance(found[ids[1]], UnavailableError)
    assert not isinstance(found[ids[1]], UndeliverableError)
    assert "No space left" in str(found[ids[1]])
    assert set(folder.files) == {ids[0], ids[2]}
    assert isinstance(found[ids[0]], Outcome)


@pytest.mark.parametrize(
    ("lacks", "missing"),
    [("identifier", "the patient has no identifier"), ("name", "the patient has no name")],
)
async def test_a_patient_whom_no_modality_could_tell_waits_until_known(store: Store, lacks: str, missing: str) -> None:
    hospital, folder = Hospital(store), Folder()
    whole = a_patient()
    patient = await hospital.post({name: value for name, value in whole.items() if name != lacks})
    stored = await hospital.post(an_order(patient.reference))
    await work_off(hospital, folder)
    row = await hospital.row(stored.id)
    assert (row.scheduled, row.missing, folder.files) == (False, missing, {})
    await hospital.put({**whole, "id": patient.id})
    await work_off(hospital, folder)
    row = await hospital.row(stored.id)
    assert (row.scheduled, row.missing, row.step) == (True, "", "scheduled")
    assert str(item(folder.files[stored.id]["CT1"]).PatientName) == "Παπαδόπουλος^Νίκος"


async def test_a_new_station_shows_the_orders_that_are_here_already(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await work_off(hospital, folder)
    site = a_site()
    more = replace(site, stations=(*site.stations, replace(site.stations[0], aet="CT3")))
    await reconcile(store, more, folder)
    await work_off(Hospital(store, more), folder)
    assert set(folder.files[row.id]) == {"CT1", "CT2", "CT3"}


async def test_a_station_that_is_listed_no_more_shows_nothing_more(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await work_off(hospital, folder)
    site = a_site()
    fewer = replace(site, stations=site.stations[1:])
    await reconcile(store, fewer, folder)
    await work_off(Hospital(store, fewer), folder)
    assert set(folder.files[row.id]) == {"CT2"}


def steps_of_one_order(control: str, *ids: str) -> bytes:
    """An ORM^O01 with an order group for each of these step ids, first CT and then MR."""
    groups = []
    for id, modality in zip(ids, ("CT", "MR"), strict=False):
        obr = ["OBR", "1", "P1^RIS", "", "WHOLE^Whole body^L", *[""] * 31]
        obr[18], obr[20], obr[24] = "ACC1", id, modality
        groups += [f"ORC|{control}|P1^RIS", f"TQ1|1||||||2026112{len(groups) // 3 + 1}083000", "|".join(obr)]
    return message(header("ORM^O01"), PATIENT, *groups)


async def test_each_step_of_an_order_has_its_items_until_it_is_cancelled(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    id = (await hospital.send(steps_of_one_order("NW", "S1", "S2"))).orders[0]
    await work_off(hospital, folder)
    assert set(folder.files[id]) == {"S1|CT1", "S1|CT2", "S2|MR1"}
    shown = [dcmread(BytesIO(content)).ScheduledProcedureStepSequence[0] for content in folder.files[id].values()]
    told = {(s.ScheduledProcedureStepID, s.Modality, s.ScheduledProcedureStepStartDate) for s in shown}
    assert told == {("S1", "CT", "20261121"), ("S2", "MR", "20261122")}
    assert await reconcile(store, hospital.site, folder) == 0
    await hospital.send(steps_of_one_order("CA", "S1"))
    await work_off(hospital, folder)
    assert set(folder.files[id]) == {"S2|MR1"}
    assert await reconcile(store, hospital.site, folder) == 0
    await hospital.send(steps_of_one_order("CA", ""))
    await work_off(hospital, folder)
    assert folder.files == {}


async def test_an_order_that_gets_a_second_step_leaves_no_file_behind(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    id = (await hospital.send(steps_of_one_order("NW", "S1"))).orders[0]
    await work_off(hospital, folder)
    assert set(folder.files[id]) == {"CT1", "CT2"}
    await hospital.send(steps_of_one_order("NW", "S1", "S2"))
    await work_off(hospital, folder)
    assert set(folder.files[id]) == {"S1|CT1", "S1|CT2", "S2|MR1"}
    folder.files[id].pop("S2|MR1")
    assert await reconcile(store, hospital.site, folder) == 1
    await work_off(hospital, folder)
    assert set(folder.files[id]) == {"S1|CT1", "S1|CT2", "S2|MR1"}


async def test_a_job_of_an_order_that_never_was_removes_what_is_there(store: Store) -> None:
    folder = Folder({"gone": {"CT1": b""}})
    from datetime import UTC, datetime

    job = Job(1, "worklist", "gone", {"order": "gone", "thorough": True}, 1, datetime.now(UTC))
    assert isinstance((await outcomes(store, a_site(), folder, job))[0], Outcome)
    assert folder.files == {}


@pytest.mark.parametrize(("attempt", "left"), [(1, {"CT1", "CT2", "US1"}), (2, {"CT1", "CT2"})])
async def test_a_new_order_has_no_files_of_other_stations_unless_an_attempt_left_one(
    store: Store, attempt: int, left: set[str]
) -> None:
    hospital = Hospital(store)
    row = await hospital.row((await hospital.send(orm())).orders[0])
    (job,) = await store.claim(["worklist"], 100, 60)
    folder = Folder({row.id: {"US1": b""}})
    await outcomes(store, hospital.site, folder, replace(job, attempt=attempt))
    assert set(folder.files[row.id]) == left


async def test_an_order_that_was_changed_is_new_no_more(store: Store) -> None:
    hospital = Hospital(store)
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await hospital.send(orm("XO", start="20261122090000"))
    folder = Folder({row.id: {"US1": b""}})
    await work_off(hospital, folder)
    assert set(folder.files[row.id]) == {"CT1", "CT2"}


async def test_a_new_order_whose_stations_are_others_now_is_new_no_more(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    row = await hospital.row((await hospital.send(orm())).orders[0])
    (job,) = await store.claim(["worklist"], 100, 60)
    site = a_site()
    fewer = replace(site, stations=site.stations[1:])
    await store.unit(system_agent("worklist"), lambda tx: orders.reconsider(tx, fewer))
    folder.files[row.id] = {"US1": b""}
    await outcomes(store, fewer, folder, job)
    assert set(folder.files[row.id]) == {"CT2"}


async def test_an_order_that_cannot_be_read_harms_no_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital, folder = Hospital(store), Folder()
    shown = (await hospital.send(orm())).orders[0]
    broken = (await hospital.send(orm(placer="P2"))).orders[0]
    read = worklist_items._read

    def failing(tx: Tx, site: Site, id: str) -> object:
        if id == broken:
            raise KeyError(id)
        return read(tx, site, id)

    monkeypatch.setattr(worklist_items, "_read", failing)
    wanted = [Wanted(shown, False), Wanted(broken, False)]
    made = await WorklistItems(store, hospital.site, folder).write(wanted)
    assert [(one.changed, one.lasting) for one in made] == [(True, False), (False, False)]
    assert made[1].fault.startswith("KeyError")
    assert set(folder.files) == {shown}
