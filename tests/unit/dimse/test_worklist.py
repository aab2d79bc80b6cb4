"""What modalities get for what they ask, over real associations and from the database."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from interop.dimse import DimseProvider, Limits, responses, worklist
from interop.fhir.query import Query
from tests.dimse_door import MWL, asked, associated
from tests.hospital import Hospital, an_order
from tests.orders import PREGNANT, kilograms, measured

Find = Callable[..., Awaitable[Any]]
MR_HEAD = {"coding": [{"system": "http://loinc.org", "code": "24590-2", "display": "MR Head"}]}


def details(code: str) -> dict[str, Any]:
    return {"orderDetail": [{"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": code}]}]}


def named(text: str, ideographic: str = "") -> dict[str, Any]:
    family, given = text.split("^")
    names = [{"family": family, "given": [given]}]
    if ideographic:
        url = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
        family, given = ideographic.split("^")
        names.append({"family": family, "given": [given], "extension": [{"url": url, "valueCode": "IDE"}]})
    return {"name": names}


async def ordered(hospital: Hospital, number: str, modality: str, name: str = "Παπαδόπουλος^Νίκος", **more: Any) -> Any:
    patient = await hospital.patient(number, **named(name, more.pop("ideographic", "")))
    return await hospital.post(an_order(patient, f"P{number}", **details(modality), **more))


async def test_scheduled_steps_are_found_by_what_the_standard_lets_ask(hospital: Hospital, find: Find) -> None:
    await ordered(hospital, "1", "CT")
    await ordered(hospital, "2", "MR", occurrenceDateTime="2026-11-22T14:00:00+02:00")
    cancelled = await ordered(hospital, "3", "CT")
    await hospital.put({**cancelled.resource(), "status": "revoked"})
    items, status = await find()
    assert status.Status == 0
    assert [item.PatientID for item in items] == ["1", "2"]
    step = items[0].ScheduledProcedureStepSequence[0]
    assert (step.Modality, step.ScheduledStationAETitle) == ("CT", "CT1")
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == ("20261121", "083000")
    accession, uid = items[0].AccessionNumber, items[0].StudyInstanceUID
    for keys, found in (
        ({"Modality": "CT"}, ["1"]),
        ({"Modality": ["CT", "MR"]}, ["1", "2"]),
        ({"ScheduledStationAETitle": "MR1"}, ["2"]),
        ({"ScheduledStationAETitle": "MR*"}, ["2"]),
        ({"PatientID": "1"}, ["1"]),
        ({"PatientID": "?"}, ["1", "2"]),
        ({"PatientID": "9"}, []),
        ({"AccessionNumber": accession}, ["1"]),
        ({"StudyInstanceUID": uid}, ["1"]),
        ({"ScheduledProcedureStepStartDate": "20261122"}, ["2"]),
        ({"ScheduledProcedureStepStartDate": "20261122-"}, ["2"]),
        ({"ScheduledProcedureStepStartDate": "-20261121"}, ["1"]),
        ({"ScheduledProcedureStepStartDate": "20261121-20261122"}, ["1", "2"]),
        (
            {
                "ScheduledProcedureStepStartDate": "20261121-20261122",
                "ScheduledProcedureStepStartTime": "090000-120000",
            },
            [],
        ),
        ({"PatientName": "*"}, ["1", "2"]),
        ({"SpecificCharacterSet": "ISO_IR 192", "PatientName": "ΠΑΠΑΔΟΠΟΥΛΟΣ*"}, ["1", "2"]),
        ({"SpecificCharacterSet": "ISO_IR 126", "PatientName": "παπαδόπουλος^ΝΙΚΟΣ"}, ["1", "2"]),
        ({"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Παπαδόπουλος"}, []),
    ):
        items, status = await find(**keys)
        assert ([item.PatientID for item in items], status.Status) == (found, 0), keys


async def test_each_station_reads_its_own_character_set(hospital: Hospital, find: Find) -> None:
    await ordered(hospital, "1", "CT")
    await ordered(hospital, "2", "CT", "Yamada^Tarou", ideographic="山田^太郎")
    for station, charset, names in (
        ("CT1", "ISO_IR 192", ["Παπαδόπουλος^Νίκος", "Yamada^Tarou=山田^太郎"]),
        ("MR1", "ISO_IR 126", ["Παπαδόπουλος^Νίκος", "Yamada^Tarou"]),
        ("US1", ["", "ISO 2022 IR 87"], ["Papadopoulos^Nikos", "Yamada^Tarou=山田^太郎"]),
        ("XA1", "ISO_IR 100", ["Papadopoulos^Nikos", "Yamada^Tarou"]),
    ):
        items, _ = await find(station)
        assert [item.SpecificCharacterSet for item in items] == [charset] * 2
        assert [str(item.PatientName) for item in items] == names, station
    items, _ = await find("US1", SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="山田*")
    assert [item.PatientID for item in items] == ["2"]


async def test_a_key_that_no_item_has_is_said_and_a_wrong_one_refused(
    hospital: Hospital, provider: DimseProvider, find: Find
) -> None:
    await ordered(hospital, "1", "CT")

    def statuses() -> list[int]:
        with associated(provider.port) as association:
            query = asked()
            query.EthnicGroup = "any"
            return [status.Status for status, _ in association.send_c_find(query, MWL)]

    assert await asyncio.to_thread(statuses) == [0xFF01, 0x0000]
    query = asked()
    query.ScheduledProcedureStepSequence[0].add_new(0x00400002, "LO", "tomorrow")

    def refused() -> Any:
        with associated(provider.port) as association:
            return list(association.send_c_find(query, MWL))[-1][0]

    status = await asyncio.to_thread(refused)
    assert status.Status == 0xA900
    assert "ScheduledProcedureStepStartDate" in status.ErrorComment


async def test_findscu_reads_the_answers(hospital: Hospital, provider: DimseProvider, tmp_path: Path) -> None:
    await ordered(hospital, "1", "CT")
    folder = tmp_path / "answers"
    folder.mkdir()
    command = ["findscu", "-W", "-X", "-od", str(folder), "-aet", "MR1", "-aec", "INTEROP"]
    for key in ("PatientName", "PatientID", "ScheduledProcedureStepSequence[0].Modality=CT"):
        command += ["-k", key]
    for transfer in ("-xi", "-xe"):
        await asyncio.to_thread(
            subprocess.run, [*command, transfer, "127.0.0.1", str(provider.port)], check=True, timeout=30
        )
        (file,) = folder.iterdir()
        item = pydicom.dcmread(file)
        assert str(item.PatientName) == "Παπαδόπουλος^Νίκος"
        assert item.SpecificCharacterSet == "ISO_IR 126"
        assert set(item.dir()) == {"SpecificCharacterSet", "PatientName", "PatientID", "ScheduledProcedureStepSequence"}
        file.unlink()


async def test_only_listed_stations_are_answered(hospital: Hospital, provider: DimseProvider) -> None:
    def answer(calling: str, called: str = "INTEROP") -> tuple[bool, int | None]:
        with associated(provider.port, calling, called) as association:
            if association.is_established:
                return association.send_c_echo().Status == 0, None
            primitive = association.acceptor.primitive
            return False, primitive.diagnostic

    assert await asyncio.to_thread(answer, "CT1") == (True, None)
    assert await asyncio.to_thread(answer, "NOBODY") == (False, 3)
    assert await asyncio.to_thread(answer, "NOBODY") == (False, 3)
    assert await asyncio.to_thread(answer, "FAR") == (False, 3)
    assert await asyncio.to_thread(answer, "CT1", "OTHER") == (False, 7)
    rows = await _audited(hospital, "association-refused")
    assert sorted((row.agent.who, row.event.outcome) for row in rows) == [("CT1", "4"), ("FAR", "4"), ("NOBODY", "4")]


async def test_a_question_is_audited_before_its_answers(hospital: Hospital, find: Find) -> None:
    await find(Modality="CT")
    await find(Modality="CT")
    (row,) = await _audited(hospital, "c-find-mwl")
    assert (row.agent.who, row.agent.kind, row.event.query) == ("CT1", "peer", "Modality=CT")


async def test_there_is_a_limit_to_associations(hospital: Hospital) -> None:
    small = DimseProvider(hospital.store, hospital.site, "127.0.0.1", 0, "INTEROP", limits=Limits(associations=1))
    await small.start()

    def second() -> tuple[int, int]:
        with associated(small.port) as first:
            assert first.is_established
            for _ in range(5):  # pynetdicom as the caller loses a refusal that the closing of the connection overtakes
                with associated(small.port, "MR1") as other:
                    assert not other.is_established
                    primitive = other.acceptor.primitive
                if primitive is not None:
                    return primitive.result, primitive.diagnostic
        raise AssertionError("no refusal arrived")

    assert await asyncio.to_thread(second) == (2, 2)
    await small.stop()


async def test_a_station_may_have_enough(
    hospital: Hospital, provider: DimseProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "FLUSH", 512)
    monkeypatch.setattr(worklist, "Responses", _UntilTheStationSpeaks)
    patient = await hospital.patient("1")
    for number in range(20):
        await hospital.post(an_order(patient, f"P{number}", **details("CT")))

    def ask() -> tuple[int, int]:
        with associated(provider.port) as association:
            answers = association.send_c_find(asked(), MWL, msg_id=7)
            next(answers)
            context = next(one for one in association.accepted_contexts if one.abstract_syntax == MWL)
            association.send_c_cancel(7, context.context_id)
            rest = [status.Status for status, _ in answers]
            return rest[-1], len(rest)

    status, count = await asyncio.to_thread(ask)
    assert status == 0xFE00
    assert count < 19


async def test_a_changed_patient_is_shown_at_once(hospital: Hospital, find: Find) -> None:
    order = await ordered(hospital, "1", "CT")
    await find()
    patient = order.resource()["subject"]["reference"].removeprefix("Patient/")
    await hospital.put({**await hospital.get("Patient", patient), **named("Newname^Nina")})
    items, _ = await find()
    assert [str(item.PatientName) for item in items] == ["Newname^Nina"]


async def test_a_measurement_that_comes_later_is_shown_at_once_and_found(hospital: Hospital, find: Find) -> None:
    order = await ordered(hospital, "1", "CT", supportingInfo=[{"display": "x" * 60 + " clip"}])
    await find()
    subject = order.resource()["subject"]
    await hospital.post(measured("82810-3", PREGNANT) | {"subject": subject})
    await hospital.post(measured("29463-7", kilograms("82.5")) | {"subject": subject})
    items, _ = await find(PregnancyStatus=None, PatientWeight=None, MedicalAlerts=None)
    assert [(item.PregnancyStatus, item.PatientWeight, list(item.MedicalAlerts)) for item in items] == [
        (3, 82.5, ["x" * 60, "clip"])
    ]
    for alert, found in (("clip", 1), ("x*", 1), ("y*", 0)):
        items, _ = await find(MedicalAlerts=alert)
        assert len(items) == found, alert


class _UntilTheStationSpeaks(responses.Responses):
    """Goes on only when the station's C-CANCEL has come: how many answers fit into the wire's buffers says nothing."""

    def flush(self) -> None:
        super().flush()
        patience = time.monotonic() + 60
        while not self._association.dimse.cancel_req and time.monotonic() < patience:
            time.sleep(0.01)


async def _audited(hospital: Hospital, subtype: str) -> list[Any]:
    rows = await hospital.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=100)))
    return [row for row in rows if row.event.subtype == subtype]
