"""Where mapped values come from is what the tables did, not a guess: held against the messages themselves."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from interop.fhir.json import dumps
from interop.hl7.message import Value
from interop.mapping.explained import SERVER, Explaining, Where
from interop.mapping.messages import read_message
from interop.mapping.origins import Origins, Said, SaidValue, said
from interop.mapping.preview import preview
from interop.mapping.row_code import CompiledRows
from interop.mapping.tables import compile_tables
from interop.shipped import shipped
from tests.unit.mapping.test_cases import CASES, raw_of

ZONE = ZoneInfo("Asia/Nicosia")
TABLES = compile_tables(shipped("mappings"))
EXPLAINING = Explaining(shipped("mappings"), zone=ZONE, facility="IMG")
ORDER = b"""MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20261121100000||ORM^O01|M1|P|2.5.1|||||||UNICODE UTF-8
PID|1||P100^^^HOSP^MR||Nikolaou^Eleni^M||19710915|F
PV1|1|O|WARD5^12^A
ORC|NW|PL1^EMR|FI1^RIS|||||||||D12^Requesting^Rob^^^Dr
OBR|1|PL1^EMR|FI1^RIS|24627-2^CT Chest^LN||||||||||||||AC\\T\\1||||||CT|||^^^20261122101500
DG1|1|I10|R05^Cough
""".replace(b"\n", b"\r")


START = datetime(2026, 11, 22, 10, 15, tzinfo=ZONE)


def planned(order: Any, patient: Any) -> Where | None:
    return Where("CT", START, [("CT1", "Room 1"), ("CT2", "")], "")


def elements_of(raw: bytes) -> dict[str, dict[str, Any]]:
    told = EXPLAINING.explain(raw, None, planned)
    return {f"{one['resource']}.{line['path']}": line for one in told["elements"] for line in one["elements"]}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_explained_preview_is_the_preview(path: Path) -> None:
    told = EXPLAINING.explain(raw_of(path), None, lambda order, patient: None)
    ordinary = preview(read_message(raw_of(path), TABLES), TABLES, zone=ZONE, facility="IMG")
    assert dumps({name: told[name] for name in ordinary}) == dumps(ordinary)


@pytest.mark.parametrize("path", [path for path in CASES if not path.stem.startswith("refused")], ids=lambda p: p.stem)
def test_each_position_holds_what_it_is_said_to_give(path: Path) -> None:
    """A text that says where it stands stands there; every other position is one that the message has a segment for."""
    message = read_message(raw_of(path), TABLES)
    names = {segment.location for segment in message.segments}
    told = EXPLAINING.explain(raw_of(path), None, lambda order, patient: None)
    lines = [line for one in told["elements"] for line in one["elements"]]
    known = [line for line in lines if line["from"] != SERVER]
    assert len(known) > len(lines) * 0.6
    for line in known:
        segment, _, field = line["from"].partition("-")
        assert segment in names, line
        if line.get("verbatim"):
            texts = [message.get(line["from"])]
            if "." not in field and "[" not in field:
                texts += [message.get(f"{line['from']}[{n}]") for n in range(2, 5)]
            value = str(line["value"])  # of a text in several repetitions it is the first that is named
            assert any(value == text.strip() or value.startswith(f"{text.strip()}\n") for text in texts), line


def test_elements_know_their_components() -> None:
    found = {path: line["from"] for path, line in elements_of(ORDER).items()}
    for path, position in {
        "Patient.identifier[0].value": "PID-3.1",
        "Patient.name[0].family": "PID-5.1",
        "Patient.name[0].given[1]": "PID-5.3",
        "Patient.birthDate": "PID-7",
        "Patient.gender": "PID-8",
        "ServiceRequest.identifier[0].value": "ORC-2.1",
        "ServiceRequest.identifier[2].value": "OBR-18",  # an escape was read: it is that field still
        "ServiceRequest.code.coding[0].code": "OBR-4.1",
        "ServiceRequest.code.coding[0].system": "OBR-4",  # a function made it of OBR-4.3
        "ServiceRequest.occurrenceDateTime": "OBR-27.4",
        "ServiceRequest.authoredOn": "MSH-7",
        "ServiceRequest.contained[0].name[0].family": "ORC-12.2",
        "ServiceRequest.reasonCode[0].coding[0].code": "DG1-3.1",
        "ServiceRequest.status": SERVER,
        "ServiceRequest.subject.reference": SERVER,
    }.items():
        assert found[path] == position, path


def test_rows_are_named_and_what_their_targets_fix_is_marked() -> None:
    found = elements_of(ORDER)
    assert found["ServiceRequest.identifier[2].value"]["row"] == (
        "segments/ORC_OBR_ServiceRequest.toml row 3 (identifier[ACSN])"
    )
    assert found["ServiceRequest.identifier[2].type.coding[0].code"]["fixed"] is True
    assert "fixed" not in found["ServiceRequest.identifier[2].value"]
    assert found["ServiceRequest.contained[0].id"]["fixed"] is True


def test_a_worklist_attribute_leads_to_its_element_and_its_field() -> None:
    told = EXPLAINING.explain(ORDER, None, planned)
    (order,) = told["worklist"]
    assert [item["station"] for item in order["items"]] == ["CT1", "CT2"]
    found = {line["keyword"]: (line["element"], line["from"]) for line in order["items"][0]["attributes"]}
    step = "ScheduledProcedureStepSequence."
    assert found["AccessionNumber"] == ("ServiceRequest.identifier[2].value", "OBR-18")
    assert found["PatientID"] == ("Patient.identifier[0].value", "PID-3.1")
    assert found["PatientName"] == ("Patient", "PID-5.1, PID-5.2, PID-5.3")
    assert found["IssuerOfPatientID"] == ("Patient.identifier[0]", "PID-3")
    assert found[f"{step}Modality"] == ("ServiceRequest.orderDetail[0].coding[0].code", "OBR-24")
    assert found[f"{step}ScheduledProcedureStepStartDate"] == ("ServiceRequest.occurrenceDateTime", "OBR-27.4")
    assert found[f"{step}ScheduledStationAETitle"] == ("list of modalities", SERVER)
    assert found["RequestedProcedurePriority"] == ("codes/priority_dicom", SERVER)
    values = {line["keyword"]: line["value"] for line in order["items"][0]["attributes"]}
    assert values["StudyInstanceUID"] == "(assigned when it comes in)"


def test_what_would_wait_says_why_and_a_cancel_has_no_item() -> None:
    waiting = EXPLAINING.explain(ORDER, None, lambda order, patient: Where(None, START, [], "no modality"))
    assert waiting["worklist"] == [{"order": "NW new", "missing": "no modality"}]
    assert EXPLAINING.explain(ORDER.replace(b"ORC|NW", b"ORC|CA"), None, planned)["worklist"] == []


def test_messages_are_carried_out_by_tables_that_know_nothing_of_this() -> None:
    """Only what is compiled to be explained pays for it."""
    rows = TABLES.segment_tables["PID_Patient"].rows
    ordinary, traced = CompiledRows("x", rows, TABLES.codes), CompiledRows("x", rows, TABLES.codes, Origins())
    assert ordinary.run.__globals__["Value"] is Value
    assert traced.run.__globals__["Value"] is SaidValue
    message = read_message(ORDER, TABLES)
    assert not isinstance(message.all("PID")[0].value(5).word(1), Said)
    assert isinstance(said(message).all("PID")[0].value(5).word(1), Said)


def test_one_message_after_another_has_its_own_origins() -> None:
    first = elements_of(ORDER)
    other = elements_of(ORDER.replace(b"|AC\\T\\1|", b"||"))
    assert "OBR-18" not in {line["from"] for line in other.values()}
    assert elements_of(ORDER) == first
