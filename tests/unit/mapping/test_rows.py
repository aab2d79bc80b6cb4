"""Every row of every table gives a value somewhere in the cases; every code has a place to go."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from interop.errors import InteropError
from interop.fhir.names import EXT_STATION
from interop.mapping.messages import map_message, read_message
from interop.mapping.outbound import merge_message, order_message, report_message
from interop.mapping.patient_facts import Known
from interop.mapping.peers import Receiver
from interop.mapping.rows import Row
from interop.mapping.tables import MessageTable, SiteRules, Tables, compile_tables
from interop.mapping.worklist import worklist_attributes
from interop.shipped import shipped
from interop.workflow.lifecycle import EVENTS
from tests.orders import CLINICAL, ENCOUNTER, NAMING, OBSERVATIONS, ORDER, PATIENT, REPORT, RESOLVED

CASES = sorted((Path(__file__).parent / "cases").glob("*.hl7"))
ZONE = ZoneInfo("Asia/Nicosia")
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
RECEIVER = Receiver("RIS", "127.0.0.1", 1, "RIS", "HOSP", "INTEROP", "HOSP", frozenset({"ORM^O01"}))

BARE_ORDER = {
    **{name: ORDER[name] for name in ("resourceType", "status", "intent", "identifier")},
    "code": {**ORDER["code"], "coding": ORDER["code"]["coding"] * 2},
    "occurrencePeriod": {"start": "2026-11-22T10:15:00+02:00", "end": "2026-11-22T10:45:00+02:00"},
}
BARE_PATIENT = {
    "resourceType": "Patient",
    "identifier": [{"system": "x:y", "value": "1"}],
    "multipleBirthBoolean": True,
    "deceasedBoolean": False,
}
OTHER_REPORT = {
    **REPORT,
    "category": [{"coding": [{"system": "http://loinc.org", "code": "LP29684-5"}]}],
    "code": BARE_ORDER["code"],
    "effectiveDateTime": None,
    "effectivePeriod": {"start": "2026-11-22T10:15:00+02:00", "end": "2026-11-22T10:45:00+02:00"},
}


@pytest.fixture(scope="module")
def made() -> set[tuple[str, str]]:
    """Which types of message had a row of which segment table give a value."""
    seen: set[tuple[str, str]] = set()
    file: list[str] = []
    tables = compile_tables(shipped("mappings"), trace=lambda row, position: file.append(row.partition(".")[0]))
    for path in CASES:
        message = read_message(path.read_bytes().replace(b"\n", b"\r"), tables)
        file.clear()
        with contextlib.suppress(InteropError):
            map_message(message, tables, zone=ZONE, facility="IMG")
            seen |= {(message.type, one) for one in file}
    return seen


@pytest.fixture(scope="module")
def fired() -> set[str]:
    """The rows that gave a value in any case."""
    seen: set[str] = set()
    tables = compile_tables(shipped("mappings"), trace=lambda row, position: seen.add(row))
    for path in CASES:
        message = read_message(path.read_bytes().replace(b"\n", b"\r"), tables)
        try:
            map_message(message, tables, zone=ZONE, facility="IMG")
        except InteropError:
            continue  # refused cases have their own test
    to: dict[str, Any] = {
        "receiver": RECEIVER,
        "control_id": "1",
        "now": NOW,
        "zone": ZONE,
        "facility": "IMG",
        "tables": tables,
    }
    for order, patient in ((ORDER, PATIENT), (BARE_ORDER, BARE_PATIENT)):
        for type_, version in (("ORM^O01", "2.5.1"), ("ORM^O01", "2.3.1"), ("OMG^O19", "2.5.1"), ("OMI^O23", "2.5.1")):
            to["receiver"] = replace(RECEIVER, types=frozenset({type_}), version=version)
            order_message(order, patient, control="new", modality="CT", station="CT1", **to)
        station: dict[str, Any] = {"station_aet": "CT1", "modality": "CT", "start": NOW, "location": "Room 2"}
        worklist_attributes(order, patient, **station, zone=ZONE, facility="IMG", tables=tables)
    accession = {**ORDER, "identifier": [{**ORDER["identifier"][2], "system": "urn:interop:ns:HOSP:RIS"}]}
    day: dict[str, Any] = {"station_aet": "CT1", "modality": "CT", "start": date(2026, 11, 22)}
    worklist_attributes(accession, PATIENT, **day, zone=ZONE, facility="IMG", tables=tables)
    told = {**ORDER, "note": [], "patientInstruction": "come fasting"}
    worklist_attributes(told, PATIENT, **day, zone=ZONE, facility="IMG", tables=tables)
    known = Known(RESOLVED, ENCOUNTER, CLINICAL)
    worklist_attributes(NAMING, PATIENT, **day, zone=ZONE, facility="IMG", tables=tables, known=known)
    coded = {**NAMING, "requester": {"display": "Dr X"}, "locationReference": [], "locationCode": [{"text": "Room 5"}]}
    worklist_attributes(coded, PATIENT, **day, zone=ZONE, facility="IMG", tables=tables, known=known)
    to["receiver"] = replace(RECEIVER, types=frozenset({"OMI^O23"}))
    for order in (NAMING, coded):
        order_message(order, PATIENT, control="new", modality="CT", station="CT1", **to, resolved=RESOLVED)
    for report in (REPORT, OTHER_REPORT):
        report_message(report, OBSERVATIONS, PATIENT, ORDER, "1.2.3", **to)
    merge_message(PATIENT, PATIENT, **to)
    station_named = {**ORDER, "extension": [{"url": EXT_STATION, "valueString": "CT1"}]}
    order_message(
        station_named, PATIENT, control="new", **{**to, "receiver": replace(to["receiver"], lines="segments")}
    )
    to["receiver"] = replace(RECEIVER, lines="segments")
    report_message({**REPORT, "conclusion": "one\ntwo"}, OBSERVATIONS, PATIENT, ORDER, "1.2.3", **to)
    return seen


TABLES = compile_tables(shipped("mappings"))


def rows_of(tables: Tables) -> list[Row]:
    inbound = [row for table in tables.segment_tables.values() for row in table.rows]
    sites = [row for site in tables.sites for rows in site.changes.values() for row in rows]
    outbound = {row.name: row for table in tables.outbound.values() for row in table.rows}
    return [*inbound, *sites, *outbound.values(), *tables.worklist_rows]


@pytest.mark.parametrize("row", rows_of(TABLES), ids=lambda row: row.name)
def test_every_row_gives_a_value_in_some_case(row: Row, fired: set[str]) -> None:
    assert row.name in fired


@pytest.mark.parametrize(
    ("table", "row"),
    [(table, row) for table in TABLES.message_tables for row in table.rows],
    ids=lambda one: one.name,
)
def test_every_row_of_a_message_makes_something_in_some_case(
    table: MessageTable, row: Row, made: set[tuple[str, str]]
) -> None:
    assert {(type_, f"segments/{row.convert}") for type_ in table.types} & made


def test_a_row_that_no_case_exercises_would_be_seen(fired: set[str], made: set[tuple[str, str]]) -> None:
    """What the tests above hold rows against has no room for one that is not in it."""
    rows = {row.name for row in rows_of(TABLES)}
    assert fired - {name for name in fired if name.startswith("messages/")} <= rows
    assert len(rows) == len(rows_of(TABLES))  # no two rows share a name: one of them would pass for the other
    assert ("ORM^O01", "segments/TXA_DiagnosticReport") not in made


@pytest.mark.parametrize("site", TABLES.sites, ids=lambda site: site.name)
def test_every_code_of_a_site_is_found_and_allowed(site: SiteRules) -> None:
    own = [(name, row) for name, table in site.codes.items() for row in table.rows.values() if row.note == "site"]
    for name, row in own:
        assert site.codes[name].find(row.code) is row
        assert row.target in ({one.target for one in TABLES.codes[name].rows.values()} | STATUS.get(name, set()))


_RESULT = {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"}
STATUS = {
    "report_status": _RESULT | {"partial", "appended"},
    "observation_status": _RESULT,
    "gender": {"male", "female", "other", "unknown"},
    "priority": {"routine", "urgent", "asap", "stat"},
    "intent": {"order", "reflex-order"},
    "name_use": {"usual", "official", "temp", "nickname", "anonymous", "old", "maiden"},
    "address_use": {"home", "work", "temp", "old", "billing"},
    "address_type": {"postal", "physical", "both"},
    "telecom_use": {"home", "work", "temp", "old", "mobile"},
    "telecom_system": {"phone", "fax", "email", "pager", "url", "sms", "other"},
    "name_representation": {"ABC", "IDE", "SYL"},
    "step_dicom": {"SCHEDULED", "ARRIVED", "STARTED", "DISCONTINUED"},
    "priority_dicom": {"STAT", "HIGH", "ROUTINE", "MEDIUM", "LOW"},
    "gender_dicom": {"M", "F", "O"},
    "order_control": {"new", "change", "cancel", "discontinue", "hold", "release", "status", "refuse"},
    "order_status": {"change", "start", "complete", "hold", "cancel", "discontinue", "entered-in-error", "arrived"},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(STATUS))
def test_codes_become_what_their_element_allows(name: str) -> None:
    targets = {row.target for row in TABLES.codes[name].rows.values() if row.target}
    assert targets <= STATUS[name]


@pytest.mark.parametrize("table", TABLES.codes.values(), ids=lambda table: table.name)
def test_every_code_is_found_by_its_table(table: Any) -> None:
    for code, row in table.rows.items():
        system, _, bare = code.rpartition("|")
        assert table.find(bare, system) is row or code in ("", "*") or code.startswith("&")


def test_what_v2_says_fhir_can_say_back() -> None:
    """Each status that FHIR has goes out as a code that comes in again."""
    for out, into in (
        ("gender_out", "gender"),
        ("priority_out", "priority"),
        ("report_status_out", "report_status"),
        ("observation_status_out", "observation_status"),
        ("order_status_out", "order_status"),
        ("name_use_out", "name_use"),
        ("telecom_use_out", "telecom_use"),
        ("telecom_system_out", "telecom_system"),
        ("address_use_out", "address_use"),
        ("marital_status_out", "marital_status"),
        ("name_representation_out", "name_representation"),
        ("coding_system_out", "coding_system"),
        ("event_out", "order_control"),
    ):
        for row in TABLES.codes[out].rows.values():
            assert not row.target or TABLES.codes[into].find(row.target) is not None, (out, row.code)


def test_events_are_those_of_the_lifecycle() -> None:
    for name in ("order_control", "order_status"):
        events = {row.target for row in TABLES.codes[name].rows.values()} - {"status", "refuse"}
        assert events <= set(EVENTS)


def test_each_code_of_table_0119_is_an_event_or_a_refusal() -> None:
    table_0119 = (
        "AF CA CH CN CP CR DC DE DF DR FU HD HR LI MC NA NW OC OD OE OF OH OK OP OR PA PR PY RE RF RL RO RP "
        "RQ RR RU SC SN SR SS UA UC UD UF UH UM UN UR UX XO XR XX"
    )
    assert " ".join(sorted(TABLES.codes["order_control"].rows)) == table_0119
