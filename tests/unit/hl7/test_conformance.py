"""Messages held against the standard: every departure with its place, and no segment left out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop.hl7.conformance import Report, examine
from interop.hl7.message import parse
from tests.hl7_messages import PATIENT, adt, header, message, orm, oru


def of(*segments: str) -> Report:
    return examine(parse(message(*segments)))


def said(report: Report, rule: str | None = None) -> list[tuple[str, str]]:
    """Place and severity of what was found."""
    return [(one.location, one.severity) for one in report.found if rule in (None, one.rule)]


ORC, OBR = "ORC|NW|P1^RIS|||||||20261120101000", "OBR|1|P1^RIS||CTCH^CT chest^L"


@pytest.mark.parametrize("raw", [orm(), oru(), adt(), adt("A04")])
def test_an_ordinary_message_has_no_error(raw: bytes) -> None:
    report = examine(parse(raw))
    assert [one for one in report.found if one.severity == "error"] == []
    assert {line.standing for line in report.segments} == {"fits"}


def test_segments_stand_as_the_structure_has_them() -> None:
    report = of(header("ORM^O01"), PATIENT, "ZPX|1", "NTE|1||note", ORC, OBR, "IPC|1|A|1.2|S", "XXX|1", "PV1|1|O")
    standings = {line.location: line.standing for line in report.segments}
    assert standings == {
        "MSH": "fits",
        "PID": "fits",
        "ZPX": "local",
        "NTE": "fits",
        "ORC": "fits",
        "OBR": "fits",
        "IPC": "unexpected",
        "XXX": "unknown",
        "PV1": "misplaced",
    }
    assert said(report, "structure") == [
        ("ZPX", "information"),
        ("IPC", "warning"),
        ("XXX", "error"),
        ("PV1", "error"),
    ]


def test_several_orders_and_their_results_fit() -> None:
    order = [ORC, OBR, "OBX|1|ST|A||b||||||F", "OBX|2|ST|A||b||||||F"]
    assert {line.standing for line in of(header("ORM^O01"), PATIENT, *order, *order).segments} == {"fits"}


def test_what_is_required_and_missing_is_said_once() -> None:
    assert said(of(header("ORM^O01"), PATIENT), "cardinality") == [("ORC", "error")]
    assert ("OBR", "error") in said(of(header("ORU^R01"), PATIENT, "OBX|1|ST|A||b||||||F"), "cardinality")
    assert said(of(header("ORM^O01"), "PID|1||||A^B", ORC, OBR), "cardinality") == [("PID-3", "error")]
    assert ("PID-5", "error") in said(of(header("ORM^O01"), "PID|1||1^^^H", ORC, OBR), "cardinality")


def test_fields_that_repeat_or_go_on_too_long() -> None:
    report = of(header("ORM^O01"), PATIENT.replace("|M", "|M~F"), ORC + "|" * 60 + "x", OBR)
    assert said(report, "cardinality") == [("PID-8", "error")]
    assert said(report, "structure") == [("ORC-69", "warning")]


@pytest.mark.parametrize(
    ("segment", "rule", "place"),
    [
        ("PID|1||1^^^H||A^B||19671321|M", "type", "PID-7.1"),
        ("PID|1||1^^^H||A^B||1967032|M", "type", "PID-7.1"),
        ("PID|x||1^^^H||A^B||1967|M", "type", "PID-1"),
        ("PID|1||1^^^H||A^B||1967|Q", "table", "PID-8"),
        ("PID|1||1^^^H^MR^H^20261341||A^B||1967|M", "type", "PID-3.7"),
        ("PID|1||1^^^H&1.2&GUID^^^^^^^^^^^^x||A^B||1967|M", "structure", "PID-3"),
        ("PID|1||" + "9" * 250 + "^^^H||A^B||1967|M", "length", "PID-3.1"),
    ],
)
def test_types_tables_and_lengths(segment: str, rule: str, place: str) -> None:
    assert place in [where for where, _ in said(of(header("ORM^O01"), segment, ORC, OBR), rule)]


@pytest.mark.parametrize(
    ("value", "good"), [("72", True), ("-7.2", True), ("abc", False), ("7,2", False), ('""', True)]
)
def test_a_value_is_of_the_type_that_obx_2_says(value: str, good: bool) -> None:
    report = of(header("ORU^R01"), PATIENT, ORC, OBR, f"OBX|1|NM|X||{value}||||||F")
    assert (said(report, "type") == []) is good


@pytest.mark.parametrize(
    ("version", "known"),
    [("2.3", True), ("2.3.1", True), ("2.8.2", True), ("2.9", False), ("", False), ("2.9.1", False)],
)
def test_versions(version: str, known: bool) -> None:
    report = of(header("ADT^A08").replace("|2.5.1", f"|{version}"), PATIENT)
    assert (said(report, "version") == []) is known
    assert report.version == (version if known else "2.5.1")


def test_a_type_without_a_structure_has_its_segments_checked_alone() -> None:
    report = of(header("ZZZ^Z01"), "PID|x||1^^^H||A^B", "ZZ1|1", "QQQ|1")
    assert report.structure is None
    assert [line.standing for line in report.segments] == ["fits", "fits", "local", "unknown"]
    assert ("PID-1", "error") in said(report)
    assert said(report, "structure")[0] == ("MSH-9", "error")


NAMES = st.lists(
    st.sampled_from(["PID", "PV1", "ORC", "OBR", "OBX", "NTE", "ZDS", "XXX", "DG1", "pid", "MSA"]), max_size=20
)


@settings(max_examples=60, deadline=None)
@given(NAMES, st.sampled_from(["ORM^O01", "ORU^R01", "ADT^A08", "OMG^O19", "ACK", "ZZZ^Z01"]))
def test_no_segment_is_ever_left_out(names: list[str], type_: str) -> None:
    parsed = parse(message(header(type_), *(f"{name}|1" for name in names)))
    report = examine(parsed)
    assert [line.location for line in report.segments] == [segment.location for segment in parsed.segments]
    assert len(report.segments) == len(names) + 1
    told = {one.location for one in report.found}
    assert (
        all(line.location in told for line in report.segments if line.standing not in ("fits",)) or not report.structure
    )
