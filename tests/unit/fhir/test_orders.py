"""The facts of an imaging order, read from a ServiceRequest and written back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from interop.fhir.names import DCM, IDENTIFIER_TYPES, V2_0203
from interop.fhir.orders import (
    STEPS,
    order_facts,
    planned_day,
    study_uid_of,
    with_identifier,
    with_stations,
    with_step,
    with_study_uid,
)
from interop.fhir.profile import extension_rules
from interop.fhir.query import Identity
from interop.fhir.validation import validate

PLAIN: dict[str, Any] = {
    "resourceType": "ServiceRequest",
    "status": "active",
    "intent": "order",
    "subject": {"reference": "Patient/p"},
    "code": {"text": "CT"},
}


def typed(code: str, value: str, system: str | None = "urn:s", types: str = V2_0203) -> dict[str, Any]:
    identifier: dict[str, Any] = {"type": {"coding": [{"system": types, "code": code}]}, "value": value}
    return {**identifier, "system": system} if system else identifier


def modality(code: str) -> list[dict[str, Any]]:
    return [{"coding": [{"system": DCM, "code": code}]}]


def test_all_facts() -> None:
    order = {
        **PLAIN,
        "identifier": [
            typed("PLAC", "P1"),
            typed("FILL", "F1", None),
            typed("ACSN", "A1"),
            typed("ACSN", "A2"),
            typed("RPID", "R1", types=IDENTIFIER_TYPES),
            typed("SPSID", "S1", types=IDENTIFIER_TYPES),
            typed("RPID", "no", types=V2_0203),
            {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"},
            {"value": "untyped"},
        ],
        "orderDetail": [{"text": "x"}, *modality("121011"), *modality("CT")],
        "occurrenceDateTime": "2026-01-01T10:00:00+02:00",
        "authoredOn": "2026-01-01",
        "extension": [
            {"url": "urn:interop:StructureDefinition:order-step", "valueCode": "arrived"},
            {"url": "urn:interop:StructureDefinition:station-ae", "valueString": "CT1"},
            {"url": "urn:interop:StructureDefinition:station-ae", "valueString": "CT2"},
        ],
        "doNotPerform": True,
    }
    facts = order_facts(order, ZoneInfo("Asia/Nicosia"))
    assert facts.placer == Identity("urn:s", "P1")
    assert facts.filler == Identity("", "F1")
    assert facts.accession == Identity("urn:s", "A1")
    assert facts.procedure_id == Identity("urn:s", "R1")
    assert facts.step_id == Identity("urn:s", "S1")
    assert facts.study_uid == "1.2.3"
    assert facts.modality == "CT"
    assert facts.start == datetime(2026, 1, 1, 8, tzinfo=UTC)
    assert facts.authored == datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert facts.stations == ("CT1", "CT2")
    assert (facts.step, facts.status, facts.intent, facts.patient) == ("arrived", "active", "order", "Patient/p")
    assert facts.do_not_perform
    assert facts.imaging


def test_an_order_that_says_nothing() -> None:
    facts = order_facts(PLAIN, UTC)
    assert not facts.imaging
    assert (facts.placer, facts.accession, facts.study_uid, facts.modality, facts.start, facts.step) == (None,) * 6


@pytest.mark.parametrize(
    ("system", "code", "imaging"),
    [
        ("http://snomed.info/sct", "363679005", True),
        ("http://snomed.info/sct", "108252007", False),
        ("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", True),
        ("http://terminology.hl7.org/CodeSystem/v2-0074", "CUS", True),
        ("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB", False),
        ("urn:other", "RAD", False),
    ],
)
def test_a_category_says_imaging(system: str, code: str, imaging: bool) -> None:
    order = {**PLAIN, "category": [{"coding": [{"system": system, "code": code}]}]}
    assert order_facts(order, UTC).imaging is imaging


@pytest.mark.parametrize(
    "when",
    [
        {"occurrenceDateTime": "2026-01-01"},
        {"occurrencePeriod": {"start": "2026-01-01", "end": "2026-02-01"}},
        {"occurrenceTiming": {"event": ["2026-01-01", "2026-01-02"]}},
        {"occurrenceTiming": {"repeat": {"boundsPeriod": {"start": "2026-01-01"}}}},
    ],
)
def test_the_start_in_each_of_its_forms(when: dict[str, Any]) -> None:
    assert order_facts({**PLAIN, **when}, UTC).start == datetime(2026, 1, 1, tzinfo=UTC)
    assert planned_day({**PLAIN, **when}) == date(2026, 1, 1), "the day is all that is planned, and not midnight"


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"occurrenceDateTime": "2026-01"},
        {"occurrenceDateTime": "2026-01-01T08:00:00Z"},
        {"occurrencePeriod": {"end": "2026-02-01"}},
        {"occurrencePeriod": {"start": "2026-01-01T08:00:00Z", "end": "2026-02-01"}},
    ],
)
def test_a_time_or_less_than_a_day_is_no_planned_day(when: dict[str, Any]) -> None:
    assert planned_day({**PLAIN, **when}) is None


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("PLAC", "placer"),
        ("FILL", "filler"),
        ("ACSN", "accession"),
        ("RPID", "procedure_id"),
        ("SPSID", "step_id"),
    ],
)
def test_identifiers_are_written_as_they_are_read(kind: str, field: str) -> None:
    one, other = Identity("urn:a", "1"), Identity("urn:b", "2")
    order = with_identifier({**PLAIN, "identifier": [{"value": "mine"}]}, kind, one)
    validate(order)
    assert getattr(order_facts(order, UTC), field) == one
    assert with_identifier(order, kind, one) is order
    changed = with_identifier(order, kind, other)
    assert getattr(order_facts(changed, UTC), field) == other
    assert len(changed["identifier"]) == 2
    assert "identifier" not in PLAIN


def test_study_uid_step_and_stations_are_written_as_they_are_read() -> None:
    order = with_stations(with_step(with_study_uid(PLAIN, "1.2.3"), "scheduled"), ("CT1", "CT2"))
    validate(order)
    facts = order_facts(order, UTC)
    assert (facts.study_uid, facts.step, facts.stations) == ("1.2.3", "scheduled", ("CT1", "CT2"))
    assert study_uid_of(with_study_uid(order, "1.9")) == "1.9"
    assert with_study_uid(order, "1.2.3") is order
    moved = with_step(order, "arrived")
    assert order_facts(moved, UTC).step == "arrived"
    assert order_facts(moved, UTC).stations == ("CT1", "CT2")
    assert with_stations(with_step(order, None), ()) == with_study_uid(PLAIN, "1.2.3")


def test_the_steps_are_those_of_the_code_system() -> None:
    assert extension_rules()["urn:interop:StructureDefinition:order-step"].codes == frozenset(STEPS)
