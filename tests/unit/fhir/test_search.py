"""Index rows of resources and queries from strings: https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.errors import UnsupportedError
from interop.fhir.folding import fold
from interop.fhir.parameters import Source, parameters, source_of
from interop.fhir.profile import accepted_types
from interop.fhir.query import Clause, DateValue, IndexRow, Query, ReferenceValue, TokenValue
from interop.fhir.search import index_rows, known_parameters, parse_query
from interop.fhir.times import EARLIEST, LATEST, bounds

BASE = "http://test/fhir"


def rows(resource: dict[str, Any]) -> set[IndexRow]:
    return set(index_rows(resource, UTC))


def token(param: str, value: str, system: str = "") -> IndexRow:
    return IndexRow(param, "token", system, value)


def reference(param: str, type: str, id: str) -> IndexRow:
    return IndexRow(param, "reference", type, id)


def date(param: str, text: str) -> IndexRow:
    low, high = bounds(text, UTC)
    return IndexRow(param, "date", low=low, high=high)


def test_rows_of_an_order() -> None:
    order = {
        "resourceType": "ServiceRequest",
        "meta": {"tag": [{"system": "urn:t", "code": "x"}], "profile": ["http://p|1"]},
        "extension": [
            {"url": "urn:interop:StructureDefinition:order-step", "valueCode": "arrived"},
            {"url": "urn:other", "valueCode": "no"},
        ],
        "identifier": [{"system": "urn:s", "value": "1"}, {"value": "2"}, {"system": "urn:s"}],
        "status": "active",
        "intent": "order",
        "category": [{"coding": [{"system": "urn:c", "code": "a"}, {"code": "b"}]}, {"text": "only text"}],
        "subject": {"reference": "Patient/p/_history/3"},
        "basedOn": [{"reference": "ServiceRequest/s"}, {"reference": "#inside"}, {"reference": "urn:uuid:1"}],
        "occurrenceTiming": {"event": ["2026-01-02"], "repeat": {"boundsPeriod": {"start": "2026-01-01"}}},
        "authoredOn": "2026-01-01T10:00:00Z",
        "requester": {"identifier": {"system": "urn:n", "value": "dr"}},
        "requisition": {"value": "r"},
    }
    assert rows(order) == {
        token("_tag", "x", "urn:t"),
        token("_profile", "http://p|1"),
        token("step", "arrived"),
        token("identifier", "1", "urn:s"),
        token("identifier", "2"),
        token("status", "active"),
        token("intent", "order"),
        token("category", "a", "urn:c"),
        token("category", "b"),
        IndexRow("category:text", "string", "", "only text"),
        reference("subject", "Patient", "p"),
        reference("based-on", "ServiceRequest", "s"),
        token("based-on:present", ""),
        reference("based-on", "", "urn:uuid:1"),
        token("identifier:present", ""),
        date("occurrence", "2026-01-02"),
        IndexRow("occurrence", "date", low=bounds("2026-01-01", UTC)[0], high=LATEST),
        date("authored", "2026-01-01T10:00:00Z"),
        token("requester:identifier", "dr", "urn:n"),
        token("requisition", "r"),
    }


def test_rows_of_a_patient() -> None:
    patient = {
        "resourceType": "Patient",
        "active": False,
        "name": [{"text": "Mr  Νίκος", "family": "O'Brien", "given": ["Ann", None], "prefix": ["Dr"]}],
        "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "a@b"}, {"system": "phone"}],
        "birthDate": "1970",
    }
    assert rows(patient) == {
        token("active", "false"),
        IndexRow("family", "string", "", "o'brien\x1fO'Brien"),
        IndexRow("given", "string", "", "ann\x1fAnn"),
        *(IndexRow("name", "string", "", text) for text in ("mr νικοσ\x1fMr  Νίκος", "dr\x1fDr")),
        token("telecom", "1", "phone"),
        token("telecom", "a@b", "email"),
        token("telecom:present", ""),
        date("birthdate", "1970"),
    }


def test_what_others_index_is_not_indexed_twice() -> None:
    assert source_of("ServiceRequest", "patient") == Source(("subject",), "Patient")
    assert source_of("Patient", "phone") == Source(("telecom",), "phone")
    assert source_of("Patient", "name") == Source(("name", "family", "given"))
    assert source_of("Observation", "combo-code:text") == Source(("code:text", "component-code:text"))
    assert source_of("Encounter", "practitioner:identifier") == Source(("practitioner:identifier",))
    assert source_of("Nothing", "code") == Source(("code",))


def test_a_subject_that_is_no_patient_is_no_patient() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "subject": {"reference": "Group/g"},
        "effectivePeriod": {"end": "2026"},
    }
    assert rows(report) == {
        reference("subject", "Group", "g"),
        IndexRow("date", "date", low=EARLIEST, high=bounds("2026", UTC)[1]),
    }


def test_rows_of_a_study_reach_into_its_series() -> None:
    study = {
        "resourceType": "ImagingStudy",
        "endpoint": [{"reference": "Endpoint/1"}],
        "series": [
            {"uid": "1.2", "modality": {"system": "urn:d", "code": "CT"}, "endpoint": [{"reference": "Endpoint/2"}]},
            {"uid": "1.3", "modality": {"system": "urn:d", "code": "MR"}},
        ],
    }
    assert rows(study) == {
        reference("endpoint", "Endpoint", "1"),
        reference("endpoint", "Endpoint", "2"),
        token("series", "1.2"),
        token("series", "1.3"),
        token("modality", "CT", "urn:d"),
        token("modality", "MR", "urn:d"),
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Παπαδόπουλος", "ΠΑΠΑΔΟΠΟΥΛΟΣ"),
        ("Νίκος", "νικοσ"),
        ("Ϊάκωβος", "ιακωβος"),
        ("Évora", "EVORA"),
        ("Straße", "STRASSE"),
        ("Müller", "muller"),
        ("  two   words ", "Two Words"),
        ("ｆｕｌｌ", "full"),
        ("Иванов", "ИВАНОВ"),
    ],
)
def test_folding(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_folding_keeps_what_differs() -> None:
    assert fold("山田") != fold("山口")
    assert fold("Papa") != fold("Mama")


@given(st.text(max_size=150))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def query(type: str, *params: tuple[str, str], **more: Any) -> Query:
    return parse_query(type, params, more.pop("zone", UTC), base_url=BASE, **more)


def clause(type: str, name: str, value: str) -> Clause:
    return query(type, (name, value)).clauses[0]


TOKENS = [
    ("a", TokenValue(None, "a")),
    ("s|a", TokenValue("s", "a")),
    ("|a", TokenValue("", "a")),
    ("s|", TokenValue("s", None)),
    (r"s|a\|b", TokenValue("s", "a|b")),
    (r"a\,b", TokenValue(None, "a,b")),
    (r"a\\", TokenValue(None, "a\\")),
    (r"a\$b", TokenValue(None, "a$b")),
    ("s|a|b", TokenValue("s", "a|b")),
]


@pytest.mark.parametrize(("text", "value"), TOKENS)
def test_tokens(text: str, value: TokenValue) -> None:
    assert clause("Patient", "identifier", text) == Clause("identifier", "token", (value,))


REFERENCES = [
    ("patient", "x", ReferenceValue("Patient", "x")),
    ("patient", "Patient/x", ReferenceValue("Patient", "x")),
    ("patient", f"{BASE}/Patient/x", ReferenceValue("Patient", "x")),
    ("subject", "x", ReferenceValue(None, "x")),
    ("subject", "Group/x", ReferenceValue("Group", "x")),
    ("subject", "http://other/fhir/Patient/x", ReferenceValue(None, "http://other/fhir/Patient/x")),
    ("subject", "urn:uuid:1", ReferenceValue(None, "urn:uuid:1")),
    ("subject:Patient", "x", ReferenceValue("Patient", "x")),
    ("subject:Patient", "Patient/x", ReferenceValue("Patient", "x")),
]


@pytest.mark.parametrize(("name", "text", "value"), REFERENCES)
def test_references(name: str, text: str, value: ReferenceValue) -> None:
    assert clause("ServiceRequest", name, text) == Clause(name.split(":")[0], "reference", (value,))


def test_references_by_identifier() -> None:
    value = (TokenValue("s", "v"),)
    assert clause("ServiceRequest", "requester:identifier", "s|v") == Clause("requester:identifier", "token", value)
    assert clause("AuditEvent", "agent:identifier", "s|v") == Clause("agent", "token", value)


@pytest.mark.parametrize("prefix", ["", "eq", "ne", "lt", "le", "gt", "ge", "sa", "eb", "ap"])
def test_dates(prefix: str) -> None:
    low, high = bounds("2026-05", UTC)
    value = DateValue(prefix or "eq", low, high)
    assert clause("ServiceRequest", "authored", f"{prefix}2026-05") == Clause("authored", "date", (value,))
    assert clause("Patient", "_lastUpdated", f"{prefix}2026-05") == Clause("_lastUpdated", "last-updated", (value,))


def test_dates_are_in_the_zone_of_the_site() -> None:
    zone = ZoneInfo("Asia/Nicosia")
    value = query("Patient", ("birthdate", "2026-01-01"), zone=zone).clauses[0].values[0]
    assert value == DateValue("eq", *bounds("2026-01-01", zone))


def test_approximately_is_a_tenth_of_the_distance_from_now() -> None:
    now = datetime(2026, 1, 11, tzinfo=UTC)
    low, high = bounds("2026-01-01", UTC)
    day = 86_400_000_000
    value = query("Patient", ("birthdate", "ap2026-01-01"), now=now).clauses[0].values[0]
    assert value == DateValue("ap", low - day, high + day)


def test_alternatives_and_conjunction() -> None:
    asked = query("Patient", ("gender", "male,female"), ("name", "Νίκ"), ("_id", "a,b"))
    assert asked.clauses == (
        Clause("gender", "token", (TokenValue(None, "male"), TokenValue(None, "female"))),
        Clause("name", "string", ("νικ",)),
        Clause("_id", "id", ("a", "b")),
    )


def test_the_system_of_a_code_goes_without_saying() -> None:
    system = "http://hl7.org/fhir/request-status"
    assert clause("ServiceRequest", "status", f"{system}|active").values == (TokenValue(None, "active"),)
    assert clause("ServiceRequest", "status", "urn:other|active").values == (TokenValue("urn:other", "active"),)


def test_controls() -> None:
    assert query("Patient") == Query("Patient", (), 50, "_id", None, False)
    asked = query("Patient", ("_count", "7"), ("_sort", "-_lastUpdated"), ("_cursor", "t"), ("_total", "accurate"))
    assert asked == Query("Patient", (), 7, "-_lastUpdated", "t", True)
    assert query("Patient", ("_count", "99999")).count == 1000
    assert query("Patient", ("_summary", "count")) == Query("Patient", count=0, total=True, summary="count")
    assert query("Patient", ("_format", "json"), ("_pretty", "true")) == Query("Patient")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nothing", "x"),
        ("name:above", "x"),
        ("identifier:of-type", "x"),
        ("_id:not", "x"),
        ("_has:Observation:code:code", "x"),
        ("_has:Observation:patient", "x"),
        ("_has:AuditEvent:patient:type", "x"),
        ("gender.name", "x"),
        ("organization:Patient.name", "x"),
        ("organization.nothing", "x"),
        ("_include", "x"),
        ("identifier", ""),
        ("identifier", ","),
        ("identifier", "|"),
        ("birthdate", "1.1.1970"),
        ("birthdate", "xx1970"),
        ("birthdate", ""),
        ("name", "\u0301"),
        ("name", "a\0"),
        ("_count", "-1"),
        ("_count", "x"),
        ("_count", "1.5"),
        ("_sort", "nothing"),
        ("_sort", "name,-name"),
        ("_sort", ""),
        ("_total", "maybe"),
        ("_summary", "all"),
        ("link", "a b"),
        ("identifier", ",".join("x" * 300)),
    ],
)
def test_what_is_not_understood_is_refused(name: str, text: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        query("Patient", (name, text))
    assert caught.value.status == 400


def test_an_unknown_parameter_is_told_the_known_ones() -> None:
    with pytest.raises(UnsupportedError) as caught:
        query("ServiceRequest", ("accession", "1"))
    for name in known_parameters("ServiceRequest"):
        assert name in caught.value.text


def test_every_accepted_type_has_compiled_parameters() -> None:
    for type, accepted in accepted_types().items():
        assert tuple(parameters(type)) == accepted.search
        for parameter in parameters(type).values():
            assert parameter.readers or parameter.source.params != (parameter.code,)
            assert parameter.definition


NAMES = st.sampled_from([*known_parameters("ServiceRequest"), "_count", "_sort", "_cursor", "x"]) | st.text(max_size=12)
VALUES = st.text(max_size=30) | st.text(alphabet="0123456789-T:Z.+,|\\ geltapsq", max_size=25)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_any_parameters_are_a_query_or_a_refusal(params: list[tuple[str, str]]) -> None:
    with suppress(UnsupportedError):
        assert parse_query("ServiceRequest", params, ZoneInfo("Asia/Nicosia")).type == "ServiceRequest"
