"""What modalities say that they do: N-CREATE and N-SET over real associations, and what becomes of the order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from interop.dimse import DimseProvider
from interop.fhir.query import Query
from tests.dimse_door import MPPS, associated
from tests.hl7_messages import header, message
from tests.hospital import Hospital, an_order, images_of

Tell = Callable[..., Any]


def begun(study_uid: str = "", accession: str = "", **more: Any) -> Dataset:
    step = Dataset()
    step.SpecificCharacterSet = "ISO_IR 192"
    scheduled = Dataset()
    scheduled.StudyInstanceUID = study_uid or None
    scheduled.AccessionNumber = accession
    scheduled.ScheduledProcedureStepID = ""
    step.ScheduledStepAttributesSequence = [scheduled]
    step.PatientName = "Παπαδόπουλος^Νίκος"
    step.PatientID = "100234"
    step.PerformedProcedureStepID = "P1"
    step.PerformedStationAETitle = "CT1"
    step.PerformedProcedureStepStartDate = "20261121"
    step.PerformedProcedureStepStartTime = "083500"
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    step.Modality = "CT"
    step.PerformedSeriesSequence = []
    for keyword, value in more.items():
        setattr(step, keyword, value)
    return step


def ended(status: str, reason: str = "") -> Dataset:
    change = Dataset()
    change.PerformedProcedureStepStatus = status
    change.PerformedProcedureStepEndDate = "20261121"
    change.PerformedProcedureStepEndTime = "084500"
    if reason:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = reason, "DCM", "why"
        change.PerformedProcedureStepDiscontinuationReasonCodeSequence = [code]
    return change


@pytest.fixture
def create(provider: DimseProvider) -> Tell:
    def tell(step: Dataset, uid: str | None) -> Dataset:
        with associated(provider.port) as association:
            return association.send_n_create(step, MPPS, uid)[0]

    async def work(step: Dataset, uid: str | None) -> Dataset:
        return await asyncio.to_thread(tell, step, uid)

    return work


@pytest.fixture
def change(provider: DimseProvider) -> Tell:
    def tell(step: Dataset, uid: str, calling: str) -> Dataset:
        with associated(provider.port, calling) as association:
            return association.send_n_set(step, MPPS, uid)[0]

    async def work(step: Dataset, uid: str, calling: str = "CT1") -> Dataset:
        return await asyncio.to_thread(tell, step, uid, calling)

    return work


async def an_order_of(hospital: Hospital, placer: str = "P1") -> Any:
    stored = await hospital.post(an_order(await hospital.patient(), placer))
    return await hospital.row(stored.id)


def two_steps(number: str) -> bytes:
    """An ORM^O01 of a CT and an MR, of the patient with the order's number."""
    groups = []
    for step, modality, start in (("ST1", "CT", "20261121083000"), ("ST2", "MR", "20261122100000")):
        obr = [""] * 25
        obr[0], obr[1], obr[2], obr[4] = "OBR", "1", f"{number}^RIS", f"WHOLE^Whole body^L^{step}P^Protocol {step}^L"
        obr[18], obr[20], obr[24] = f"A{number}", step, modality
        groups += [f"ORC|NW|{number}^RIS", f"TQ1|1||||||{start}", "|".join(obr)]
    return message(header("ORM^O01"), f"PID|1||{number}^^^HOSP^MR||Παπαδόπουλος^Νίκος||19670321|M", *groups)


def of_step(number: str, step: str) -> Dataset:
    """The beginning of one of those."""
    made = begun(accession=f"A{number}", PatientID=number)
    made.ScheduledStepAttributesSequence[0].ScheduledProcedureStepID = step
    return made


async def at(hospital: Hospital, id: str) -> tuple[str, str, bool]:
    row = await hospital.row(id)
    return row.status, row.step, row.scheduled


async def test_a_performed_step_moves_its_order(hospital: Hospital, create: Tell, change: Tell) -> None:
    order, uid = await an_order_of(hospital), generate_uid()
    assert (await create(begun(order.study_uid), uid)).Status == 0
    assert await at(hospital, order.id) == ("active", "in-progress", False)
    assert (await change(ended("COMPLETED"), uid)).Status == 0
    assert await at(hospital, order.id) == ("active", "in-progress", False)
    kept = await hospital.store.view(lambda tx: tx.performed_step(uid))
    assert kept is not None
    assert (kept.state, kept.order_id, kept.station) == ("COMPLETED", order.id, "CT1")
    assert kept.content["00100010"]["Value"] == [{"Alphabetic": "Παπαδόπουλος^Νίκος"}]
    assert kept.content["00400251"]["Value"] == ["084500"]
    late = await change(ended("DISCONTINUED"), uid)
    assert (late.Status, late.ErrorID) == (0x0110, 0xA710)
    rows = await _audited(hospital)
    assert [(row.event.subtype, row.event.outcome) for row in rows] == [
        ("n-create", "0"),
        ("n-set", "0"),
        ("n-set", "4"),
    ]
    assert rows[0].event.patient == f"Patient/{order.patient_id}"


@pytest.mark.parametrize(
    ("reason", "state"),
    [("110513", ("revoked", "cancelled", False)), ("110514", ("active", "scheduled", True))],
)
async def test_a_discontinued_step(
    hospital: Hospital, create: Tell, change: Tell, reason: str, state: tuple[str, str, bool]
) -> None:
    order, uid = await an_order_of(hospital), generate_uid()
    accession = order.accession.value
    assert (await create(begun(accession=accession), uid)).Status == 0
    assert (await change(ended("DISCONTINUED", reason), uid)).Status == 0
    assert await at(hospital, order.id) == state


async def test_a_step_that_nobody_scheduled_is_kept(hospital: Hospital, create: Tell) -> None:
    uid = generate_uid()
    assert (await create(begun(), uid)).Status == 0
    kept = await hospital.store.view(lambda tx: tx.performed_step(uid))
    assert kept is not None
    assert (kept.state, kept.order_id) == ("IN PROGRESS", None)
    (row,) = await _audited(hospital)
    assert row.event.detail == f"MPPS {uid} IN PROGRESS: unscheduled"


async def test_what_cannot_be_is_refused_by_the_standards_codes(hospital: Hospital, create: Tell, change: Tell) -> None:
    uid = generate_uid()
    assert (await create(begun(PerformedProcedureStepStatus="COMPLETED"), uid)).Status == 0x0106
    lacking = begun()
    del lacking.PerformedProcedureStepID
    assert (await create(lacking, uid)).Status == 0x0120
    assert (await create(begun(Modality=""), uid)).Status == 0x0121
    assert (await create(begun(), None)).Status == 0x0117
    assert (await change(ended("COMPLETED"), uid)).Status == 0x0112
    assert (await create(begun(), uid)).Status == 0
    assert (await create(begun(), uid)).Status == 0x0111
    assert (await change(ended("DONE"), uid)).Status == 0x0106
    other = ended("IN PROGRESS")
    other.PatientID = "OTHER"
    assert (await change(other, uid)).Status == 0
    kept = await hospital.store.view(lambda tx: tx.performed_step(uid))
    assert kept is not None
    assert kept.content["00100020"]["Value"] == ["100234"]
    refused = [row.event.detail for row in await _audited(hospital) if row.event.outcome == "4"]
    assert len(refused) == 7
    assert refused[3] == "MPPS without a UID: the SOP Instance UID is missing"


async def test_a_step_of_a_closed_order_is_kept_and_moves_nothing(hospital: Hospital, create: Tell) -> None:
    order, uid = await an_order_of(hospital), generate_uid()
    stored = await hospital.get("ServiceRequest", order.id)
    await hospital.put({**stored, "status": "revoked"})
    assert (await create(begun(order.study_uid), uid)).Status == 0
    assert await at(hospital, order.id) == ("revoked", "cancelled", False)


async def test_of_several_steps_the_very_one_moves(hospital: Hospital, create: Tell, change: Tell, find: Tell) -> None:
    await hospital.send(two_steps("S1"))

    async def shown(**keys: Any) -> list[str]:
        items, _ = await find("CT1", **keys)
        return [item.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID for item in items]

    assert await shown() == ["ST1", "ST2"]
    assert await shown(Modality="MR") == ["ST2"]
    assert await shown(ScheduledProcedureStepStartDate="20261122") == ["ST2"]
    uid = generate_uid()
    assert (await create(of_step("S1", "ST2"), uid)).Status == 0
    assert await shown() == ["ST1"]
    kept = await hospital.store.view(lambda tx: tx.performed_step(uid))
    assert kept is not None
    assert kept.order_id is not None
    order_id = kept.order_id
    steps = await hospital.store.view(lambda tx: tx.order_steps(order_id))
    assert [(one.step_id, one.step) for one in steps] == [("ST1", "scheduled"), ("ST2", "in-progress")]
    assert await at(hospital, order_id) == ("active", "in-progress", True)
    assert (await change(ended("DISCONTINUED", "110514"), uid)).Status == 0
    assert await shown() == ["ST1", "ST2"]
    assert await at(hospital, order_id) == ("active", "scheduled", True)  # it can be cancelled again


@pytest.mark.parametrize("by", ["images", "another step"])
async def test_a_wrong_choice_takes_back_no_more_than_its_own_step(
    hospital: Hospital, create: Tell, change: Tell, by: str
) -> None:
    order = (await hospital.send(two_steps("S2"))).orders[0]
    if by == "images":  # that tell no step: the order has begun, and neither step
        study = images_of(await hospital.row(order), 1, patient_id="S2")
        await hospital.register(replace(study, series=(replace(study.series[0], modality="OT"),)))
    else:
        await create(of_step("S2", "ST1"), generate_uid())
    uid = generate_uid()
    await create(of_step("S2", "ST2"), uid)
    assert (await change(ended("DISCONTINUED", "110514"), uid)).Status == 0
    assert await at(hospital, order) == ("active", "in-progress", True)


async def test_a_step_of_another_patient_moves_no_order(hospital: Hospital, create: Tell, change: Tell) -> None:
    order, uid = await an_order_of(hospital), generate_uid()
    before = await at(hospital, order.id)
    assert (await create(begun(order.study_uid, PatientID="999999"), uid)).Status == 0
    assert (await change(ended("DISCONTINUED"), uid)).Status == 0
    assert await at(hospital, order.id) == before
    kept = await hospital.store.view(lambda tx: tx.performed_step(uid))
    assert kept is not None
    assert (kept.state, kept.order_id) == ("DISCONTINUED", None)
    assert "another patient" in str((await _audited(hospital))[0].event.detail)


async def test_a_step_is_ended_by_the_station_that_created_it(hospital: Hospital, create: Tell, change: Tell) -> None:
    order, uid = await an_order_of(hospital), generate_uid()
    assert (await create(begun(order.study_uid), uid)).Status == 0
    before = await hospital.store.view(lambda tx: tx.performed_step(uid))
    refused = await change(ended("DISCONTINUED"), uid, "MR1")  # of the same address
    assert refused.Status == 0x0124
    assert refused.ErrorComment == "only CT1, which created the step, may change it"
    assert await hospital.store.view(lambda tx: tx.performed_step(uid)) == before
    assert await at(hospital, order.id) == ("active", "in-progress", False)
    row = (await _audited(hospital))[-1]
    assert (row.event.subtype, row.event.outcome, row.agent.who) == ("n-set", "4", "MR1")
    assert uid in str(row.event.detail)
    assert (await change(ended("COMPLETED"), uid)).Status == 0
    assert (await change(ended("COMPLETED"), uid, "MR1")).Status == 0x0124


@pytest.mark.parametrize(
    ("day", "status"),
    [("20261126", 0), ("2026.11.26", 0), ("", 0), ("2026-11-26", 0x0106), ("20261131", 0x0106), ("today", 0x0106)],
)
async def test_what_is_no_date_is_refused_by_name(
    hospital: Hospital, create: Tell, change: Tell, day: str, status: int
) -> None:
    uid, step = generate_uid(), begun()
    step.add(DataElement("PatientBirthDate", "DA", day, validation_mode=IGNORE))
    born = await create(step, uid)
    assert born.Status == status
    if status:
        assert born.ErrorComment == "PatientBirthDate is no date, YYYYMMDD"
        assert (await create(begun(), uid)).Status == 0
    item, end = Dataset(), ended("COMPLETED")
    item.add(DataElement("ContentDate", "DA", day, validation_mode=IGNORE))
    end.PerformedSeriesSequence = [item]
    told = await change(end, uid)
    assert told.Status == status
    kept = await hospital.store.view(lambda tx: tx.performed_step(uid))
    assert kept is not None
    if status:
        assert told.ErrorComment == "ContentDate is no date, YYYYMMDD"
        assert kept.state == "IN PROGRESS"
        assert (await _audited(hospital))[-1].event.outcome == "4"
    else:
        assert kept.state == "COMPLETED"


async def _audited(hospital: Hospital) -> list[Any]:
    rows = await hospital.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=100)))
    return sorted((row for row in rows if row.event.kind == "performed-step"), key=lambda row: row.recorded)
