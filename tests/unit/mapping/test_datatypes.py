"""Data types one by one, where the cases leave doubt."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from interop.errors import InvalidContentError
from interop.hl7.message import parse
from interop.mapping.context import Contained, Context
from interop.mapping.datatypes import spoken
from interop.mapping.inbound import CONVERTERS
from interop.mapping.results import decimal, media_type
from interop.mapping.tables import compile_tables
from interop.mapping.times import dtm, fhir_instant, fhir_to_dtm
from interop.shipped import shipped

TABLES = compile_tables(shipped("mappings"))
ZONE = ZoneInfo("Asia/Nicosia")


def converted(name: str, field: str, units: str = "") -> tuple[Any, list[str]]:
    raw = f"MSH|^~\\&|RIS|HOSP|||1||ORU^R01|1|P|2.5.1||||||UNICODE UTF-8\rOBX|1|XX|C^Title^L||{field}|{units}\r"
    value = parse(raw.encode()).all("OBX")[0].value(5)
    context = Context(zone=ZONE, facility="IMG", sender="HOSP", authorities=TABLES.authorities, codes=TABLES.codes)
    found = CONVERTERS[name](value, context)
    return found, [issue.location or "" for issue in context.issues]


SILENT = [name for name in CONVERTERS if name not in ("id_to_boolean", "nm_to_integer", "nm_to_quantity", "tm_to_time")]
STRUCTURED = [
    name for name in SILENT if name.startswith(("cwe", "cx", "ei", "ndl", "nr", "pl", "xad", "xcn", "xpn", "xtn"))
]


@pytest.mark.parametrize("name", SILENT)
def test_nothing_becomes_nothing(name: str) -> None:
    found, issues = converted(name, "")
    assert not found or name == "ed_to_attachment"  # an empty document is a document
    assert issues == []


@pytest.mark.parametrize("name", STRUCTURED)
def test_components_without_content_become_nothing(name: str) -> None:
    assert converted(name, "^ ^^^^ ^") == (None, [])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026", ("2026", None)),
        ("202611", ("2026-11", None)),
        ("20261121", ("2026-11-21", None)),
        ("2026112109", ("2026-11-21", "2026-11-21T09:00:00+02:00")),
        ("202611210930", ("2026-11-21", "2026-11-21T09:30:00+02:00")),
        ("20260721093015", ("2026-07-21", "2026-07-21T09:30:15+03:00")),
        ("20261121093015.1234", ("2026-11-21", "2026-11-21T09:30:15.1234+02:00")),
        ("20261121093015-0530", ("2026-11-21", "2026-11-21T09:30:15-05:30")),
        ("20261121093015.5+0000", ("2026-11-21", "2026-11-21T09:30:15.5+00:00")),
        ("20261121+0200", ("2026-11-21", None)),
        ("00080818183002.1-0700", ("0008-08-18", "0008-08-18T18:30:02.1-07:00")),
        ("99991231235959-1200", ("9999-12-31", "9999-12-31T23:59:59-12:00")),
        ("", None),
        ("0", None),
        ("00000000", None),
        ("20261341", None),
        ("20260230", None),
        ("20261121250000", None),
        ("2026-11-21", None),
        ("20261121093015+9999", None),
    ],
)
def test_a_dtm_gets_its_zone_and_keeps_its_precision(text: str, moment: tuple[str, str | None] | None) -> None:
    found = dtm(text, ZONE)
    assert (found and (found.date, found.instant)) == moment


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026", "2026"),
        ("2026-11", "202611"),
        ("2026-11-21", "20261121"),
        ("2026-11-21T09:30:15+02:00", "20261121093015+0200"),
        ("2026-11-21T09:30:15.123456Z", "20261121093015.1234+0000"),
        ("2026-11-21T09:30:15", "20261121093015+0200"),
        ("0008-08-18T18:30:02-07:00", "00080818183002-0700"),
        ("2026-13-21T09:30:15Z", ""),
        ("soon", ""),
        ("", ""),
    ],
)
def test_fhir_times_as_dtm(text: str, written: str) -> None:
    assert fhir_to_dtm(text, ZONE) == written


def test_a_fhir_start_is_an_instant_or_a_day() -> None:
    assert fhir_instant("2026-11-21T09:30:15Z", ZONE) == datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)
    assert fhir_instant("2026-11-21", ZONE) == date(2026, 11, 21)
    assert fhir_instant("2026-11", ZONE) is None
    assert fhir_instant("2026-02-30", ZONE) is None


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("1.10", "1.10"),
        ("+5", "5"),
        ("-0.5", "-0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("007", "7"),
        ("0", "0"),
        ("-.25", "-0.25"),
        ("1e5", None),
        ("", None),
        ("1,5", None),
        ("--1", None),
        ("١", None),
    ],
)
def test_numbers_keep_their_digits(text: str, digits: str | None) -> None:
    found = decimal(text)
    assert (found.text if found is not None else None) == digits


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (
            "Doe&van^Jane^Q^Jr^Dr^MD^L",
            {"use": "official", "family": "Doe", "given": ["Jane", "Q"], "prefix": ["Dr"], "suffix": ["Jr", "MD"]},
        ),
        ("^Jane", {"given": ["Jane"]}),
        ("Doe^^^^^^L", {"use": "official", "family": "Doe"}),
        ("Doe^^^^^^K", {"family": "Doe"}),
        ('""^Jane', {"given": ["Jane"]}),
        ("O\\T\\Hara", {"family": "O&Hara"}),
    ],
)
def test_names(field: str, expected: dict[str, Any]) -> None:
    assert converted("xpn_to_humanname", field) == (expected, [])


def test_spoken_names() -> None:
    assert spoken({"prefix": ["Dr"], "given": ["A", "B"], "family": "C", "suffix": ["Jr"]}) == "Dr A B C Jr"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("D1^Doe^Jane^^^Dr^^^HIS", ({"system": "urn:interop:ns:HOSP:HIS", "value": "D1"}, "Dr Jane Doe")),
        ("^Doe^Jane", (None, "Jane Doe")),
        ("D1", ({"system": "urn:interop:ns:HOSP:person", "value": "D1"}, "D1")),
    ],
)
def test_practitioners(field: str, expected: tuple[Any, str]) -> None:
    found, _ = converted("xcn_to_practitioner", field)
    assert isinstance(found, Contained)
    assert found.resource["resourceType"] == "Practitioner"
    assert (found.resource.get("identifier", [None])[0], found.display) == expected


def test_a_performer_is_read_from_ndl_and_from_xcn() -> None:
    for field in ("T1&Tech&Tina&&&&&&EMR", "T1^Tech^Tina"):
        found, _ = converted("ndl_to_practitioner", field)
        assert found.display == "Tina Tech"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (
            "R05^Cough^I10",
            {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "R05", "display": "Cough"}]},
        ),
        ("^just text", {"text": "just text"}),
        (
            "R05^Cough^I10^^^^^^spoken",
            {
                "coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "R05", "display": "Cough"}],
                "text": "spoken",
            },
        ),
        (
            "M^Male^HL70001",
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0001", "code": "M", "display": "Male"}]},
        ),
        ("1^One^http://x.example/cs", {"coding": [{"system": "http://x.example/cs", "code": "1", "display": "One"}]}),
        ("1^One^99ABC", {"coding": [{"system": "urn:interop:codes:HOSP:99ABC", "code": "1", "display": "One"}]}),
        ("1^One", {"coding": [{"code": "1", "display": "One"}]}),
    ],
)
def test_codes(field: str, expected: dict[str, Any]) -> None:
    assert converted("cwe_to_codeableconcept", field) == (expected, [])


@pytest.mark.parametrize(
    ("kind", "subtype", "media"),
    [
        ("application", "pdf", "application/pdf"),
        ("AP", "PDF", "application/pdf"),
        ("IM", "JPEG", "image/jpeg"),
        ("TEXT", "PLAIN", "text/plain"),
        ("application/pdf", "", "application/pdf"),
        ("", "", "application/octet-stream"),
        ("multipart", "x-hl7-cda-level-one", "multipart/x-hl7-cda-level-one"),
        ("image", "JPG", "image/jpeg"),
    ],
)
def test_media_types(kind: str, subtype: str, media: str) -> None:
    assert media_type(kind, subtype) == media


@pytest.mark.parametrize("field", ["^AP^PDF^Base64^JV~", "^AP^PDF^Base64^JVBé", "^AP^PDF^Hex^4Z", "^AP^PDF^UUENCODE^x"])
def test_a_document_that_cannot_be_read_refuses_the_report(field: str) -> None:
    with pytest.raises(InvalidContentError) as caught:
        converted("ed_to_attachment", field)
    assert caught.value.issues[0].location == "OBX-5.5"


def test_base64_broken_over_lines_is_joined() -> None:
    found, _ = converted("ed_to_attachment", "^AP^PDF^base64^JVBE\\.br\\Ri0x")
    assert found == {"contentType": "application/pdf", "data": "JVBERi0x", "title": "Title"}


@pytest.mark.parametrize(
    ("name", "field", "units", "expected"),
    [
        (
            "nm_to_quantity",
            "1.50",
            "cm^centimetre^UCUM",
            {"value": "1.50", "unit": "centimetre", "system": "http://unitsofmeasure.org", "code": "cm"},
        ),
        ("nm_to_quantity", "1", "cm", {"value": "1", "unit": "cm"}),
        ("nm_to_quantity", "1", "cm^centi^L", {"value": "1", "unit": "centi"}),
        ("nm_to_quantity", "1", "^centi", {"value": "1", "unit": "centi"}),
        ("sn_to_quantity", "=^5", "", {"value": "5"}),
        ("sn_to_quantity", ">=^5", "", {"value": "5", "comparator": ">="}),
        ("sn_to_quantity", "^5^+", "", None),
        ("sn_to_quantity", "<>^5", "", None),
        ("sn_to_string", "^5^+", "", "5+"),
        ("sn_to_range", "^1^-^2", "", {"low": {"value": "1"}, "high": {"value": "2"}}),
        ("nr_to_range", "^2", "", {"high": {"value": "2"}}),
        ("tm_to_time", "093015", "", "09:30:15"),
        ("tm_to_time", "25", "", None),
    ],
)
def test_results(name: str, field: str, units: str, expected: Any) -> None:
    found, _ = converted(name, field, units)

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(part) for key, part in value.items()}
        return getattr(value, "text", value)

    assert plain(found) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("+357 22 1^PRN^PH", {"system": "phone", "value": "+357 22 1", "use": "home"}),
        ("^^^^357^22^123^4", {"system": "phone", "value": "+357 22 123 x4"}),
        ("a@b.example^NET", {"system": "email", "value": "a@b.example"}),
        ("^NET^X.400^a@b.example", {"system": "email", "value": "a@b.example"}),
        ("22 1^WPN^FX^a@b.example", {"system": "fax", "value": "22 1", "use": "work"}),
        ("99^PRN^CP", {"system": "phone", "value": "99", "use": "mobile"}),
        ("^^PH^^^^^^^^^22 5", {"system": "phone", "value": "22 5"}),
    ],
)
def test_telecoms(field: str, expected: dict[str, Any]) -> None:
    assert converted("xtn_to_contactpoint", field) == (expected, [])


@pytest.mark.parametrize(
    ("name", "field", "system"),
    [
        ("cx_to_identifier", "1^^^EMR^MR", "urn:interop:ns:HOSP:EMR"),
        ("cx_to_identifier", "1", "urn:interop:ns:HOSP:patient"),
        ("cx_to_identifier", "1^^^^PI", "urn:interop:ns:HOSP:patient"),
        ("cx_to_identifier", "1^^^&&^MR", "urn:interop:ns:HOSP:patient"),
        ("cx_to_identifier", "1^^^CYID^NI", "urn:oid:2.16.840.1.113883.2.40.1"),
        ("cx_to_identifier", "1^^^^SS", None),
        ("cx_to_identifier", "1^^^^NI", None),
        ("cx_to_identifier", "1^^^HOSP^VN", None),
        ("cx_to_identifier", "1^^^HOSP^an", None),
        ("cx_to_other_identifier", "1", None),
        ("cx_to_other_identifier", "1^^^OLD", "urn:interop:ns:HOSP:OLD"),
        ("cx_to_other_identifier", "1^^^OLD^AN", None),
        ("st_to_ssn", "123-45-6789", None),
    ],
)
def test_only_numbers_that_name_one_patient_have_a_system(name: str, field: str, system: str | None) -> None:
    found, _ = converted(name, field)
    assert found.get("system") == system


def of_segment(name: str, line: str, field: int) -> tuple[Any, list[str]]:
    """What a converter makes of a field in a segment of its own."""
    value = parse(f"MSH|^~\\&|RIS|HOSP|||1||ORM^O01|1|P|2.5.1\r{line}\r".encode()).segments[1].value(field)
    context = Context(zone=ZONE, facility="IMG", sender="HOSP", authorities=TABLES.authorities, codes=TABLES.codes)
    return CONVERTERS[name](value, context), [issue.location or "" for issue in context.issues]


@pytest.mark.parametrize(
    ("line", "minutes", "issues"),
    [
        ("SCH|||||||||30", 30, []),
        ("SCH|||||||||30|min", 30, []),
        ("SCH|||||||||1|H", 60, []),
        ("SCH|||||||||90|s", 2, []),
        ("SCH|||||||||2|fortnights", None, ["SCH-9"]),
        ("SCH|||||||||x|min", None, ["SCH-9"]),
    ],
)
def test_a_duration_is_minutes(line: str, minutes: int | None, issues: list[str]) -> None:
    assert of_segment("nm_to_minutes", line, 9) == (minutes, issues)


def test_a_diagnosis_keeps_its_own_system_and_words() -> None:
    coding = {"system": "http://hl7.org/fhir/sid/icd-10", "code": "K35.8"}
    assert of_segment("dg1_to_reason", "DG1|1|I10|K35.8|Appendicitis", 3)[0] == {
        "coding": [coding],
        "text": "Appendicitis",
    }
    assert of_segment("dg1_to_reason", "DG1|1|SCT|K35.8^^I10", 3)[0] == {"coding": [coding]}
    assert of_segment("dg1_to_reason", "DG1|1||^Appendicitis|", 3)[0] == {"text": "Appendicitis"}


def test_an_allergy_is_said_with_what_is_known_of_it() -> None:
    for line, said in (
        ("AL1|1|DA|^Penicillin|SV|rash~fever", "Allergy: Penicillin (severe, rash, fever)"),
        ("AL1|1|DA|70618|U", "Allergy: 70618"),
        ("AL1|1|DA|70618|X", "Allergy: 70618 (X)"),
    ):
        assert of_segment("al1_to_reference", line, 3)[0] == {"type": "AllergyIntolerance", "display": said}


def test_an_insurance_is_its_names_and_its_policy() -> None:
    line = "IN1|1|PLAN1^Basic|INS1|National" + "|" * 32 + "POL-7"
    assert of_segment("in1_to_reference", line, 4)[0] == {
        "type": "Coverage",
        "identifier": {"value": "POL-7"},
        "display": "National, Basic, policy POL-7",
    }
    assert of_segment("in1_to_reference", "IN1|1|PLAN1", 2)[0] == {"type": "Coverage", "display": "PLAN1"}
