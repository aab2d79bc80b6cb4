"""What a message as a whole becomes, and when it is refused."""

from __future__ import annotations

import timeit
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from interop.errors import InteropError, InvalidContentError, UnmappedCodeError, UnsupportedError
from interop.fhir.query import Identity
from interop.hl7.message import parse
from interop.mapping.messages import Mapped, map_message, read_message
from interop.mapping.preview import preview
from interop.mapping.tables import compile_tables
from interop.shipped import shipped

TABLES = compile_tables(shipped("mappings"))
ZONE = ZoneInfo("Asia/Nicosia")
MSH = "MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20261121100000||{}|C1|P|2.5.1\r"
ORM = MSH.format("ORM^O01")
ORU = MSH.format("ORU^R01")
PID = "PID|1||P1^^^HOSP^MR||Doe^Jane\r"
OBR = "OBR|1|PL1^EMR||CT^CT^L\r"


def mapped(text: str) -> Mapped:
    return map_message(parse(text.encode()), TABLES, zone=ZONE, facility="IMG")


@pytest.mark.parametrize(
    ("text", "error", "location", "ack", "code"),
    [
        (ORM + "ORC|NW\r" + OBR, InvalidContentError, "PID", "AE", "100"),
        (ORM + PID, InvalidContentError, "ORC", "AE", "100"),
        (ORM + PID + OBR, InvalidContentError, "OBR", "AE", "100"),
        (ORM + PID + "ORC|NW|PL1\r", InvalidContentError, "ORC", "AE", "100"),
        (ORM + PID + "ORC|NW|PL1\r" + OBR + "ORC|\r", InvalidContentError, "ORC[2]-1", "AE", "101"),
        (ORM + PID + "ORC|QQ|PL1\r" + OBR, UnmappedCodeError, "ORC-1", "AE", "103"),
        (ORM + PID + "ORC|SC|PL1|||QQ\r", UnmappedCodeError, "ORC-5", "AE", "103"),
        (ORM + PID + "ORC|AF|PL1\r", UnsupportedError, "ORC-1", "AR", "103"),
        (ORM + PID + PID + "ORC|NW|PL1\r" + OBR, UnsupportedError, "PID[2]", "AR", "207"),
        (ORM + PID + "ORC|NW|PL1\r" + OBR + PID, UnsupportedError, "PID[2]", "AR", "100"),
        (ORU + PID + OBR + PID + OBR, UnsupportedError, "PID[2]", "AR", "100"),  # the second report is another's
        (ORM + "ORC|CA|PL1\r" + PID, UnsupportedError, "PID", "AR", "100"),
        (ORM + 'PID|1||""\rORC|NW|PL1\r' + OBR, InvalidContentError, "PID-3", "AE", "101"),
        (ORM + PID + "ORC|NW|PL1\rOBR|1|PL1\r", InvalidContentError, "OBR-4", "AE", "101"),
        (ORU + PID, InvalidContentError, "OBR", "AE", "100"),
        (ORU + PID + "ORC|RE|PL1\r", InvalidContentError, "ORC", "AE", "100"),
        (ORU + PID + "OBR|1\r", InvalidContentError, "OBR-4", "AE", "101"),
        (ORU + PID + OBR + "ZDS|not.a.uid\r", InvalidContentError, "ZDS-1", "AE", "102"),
        (ORM + PID + "ORC|NW|PL1\r" + OBR + "ZDS|1.02.3\r", InvalidContentError, "ZDS-1", "AE", "102"),
        (MSH.format("ORU^W01"), UnsupportedError, "MSH-9", "AR", "201"),
        (MSH.format("ZZZ^Z01"), UnsupportedError, "MSH-9", "AR", "200"),
        (MSH.format("ACK"), UnsupportedError, "MSH-9", "AR", "200"),
    ],
)
def test_a_refusal_says_why_and_where(text: str, error: type[InteropError], location: str, ack: str, code: str) -> None:
    with pytest.raises(error) as caught:
        mapped(text)
    issue = caught.value.issues[0]
    assert (issue.location, caught.value.ack_code, issue.hl7_code) == (location, ack, code)


def test_orders_and_reports_carry_their_numbers() -> None:
    orders = mapped(ORM + PID + "ORC|NW|PL1^EMR|FI1\r" + OBR + "ORC|CA|PL2^EMR\r").orders
    assert [(order.control, order.event, order.index) for order in orders] == [("NW", "new", 1), ("CA", "cancel", 2)]
    report = mapped(ORU + PID + "OBR|1|PL1^EMR|FI1^RIS|CT^CT^L||||||||||||||ACC1|||||||F\r").reports[0]
    assert report.placer == Identity("urn:interop:ns:HOSP:EMR", "PL1")
    assert report.filler == Identity("urn:interop:ns:HOSP:RIS", "FI1")
    assert report.accession == Identity("urn:interop:IMG:accession", "ACC1")
    assert (report.study_uid, report.control, report.index) == (None, None, 1)


def test_a_cancel_says_nothing_of_what_it_does_not_speak_of() -> None:
    (order,) = mapped(ORM + PID + "ORC|CA|PL1^EMR\r").orders
    assert set(order.service_request) == {"resourceType", "identifier"}


def test_what_is_emptied_is_named() -> None:
    text = MSH.format("ADT^A08") + 'PID|1||P1^^^HOSP^MR|""|""||""|||""|""\r'
    assert mapped(text).cleared == ("Patient.name", "Patient.birthDate", "Patient.address")


def test_what_is_emptied_and_said_elsewhere_is_not() -> None:
    text = MSH.format("ADT^A08") + 'PID|1||P1^^^HOSP^MR||Doe^Jane||||""|||""|+357 1\r'
    assert mapped(text).cleared == ()


def test_orders_name_what_they_empty() -> None:
    (order,) = mapped(
        ORM + PID + 'ORC|XO|PL1^EMR\rTQ1|1||||||||""\rOBR|1|""||CT^CT^L||||||||||||||""|||||||||||||""\r'
    ).orders
    assert order.event == "change"
    text = ORM + PID + 'ORC|XO|PL1^EMR\rTQ1|1||||||""||""\rOBR|1|PL1^EMR||CT^CT^L||||||||||||||""|||||||||||||""\r'
    assert mapped(text).cleared == (
        "ServiceRequest.priority",
        "ServiceRequest.occurrenceDateTime",
        "ServiceRequest.reasonCode",
    )


def test_the_report_of_a_preview_can_be_followed() -> None:
    text = ORU + PID + OBR + "OBX|1|NM|1^x^L||1|||||||F\r"
    shown = preview(parse(text.encode()), TABLES, zone=ZONE, facility="IMG")
    resources = {entry["fullUrl"]: entry["resource"] for entry in shown["bundle"]["entry"]}
    report = next(one for one in resources.values() if one["resourceType"] == "DiagnosticReport")
    assert resources[report["result"][0]["reference"]]["resourceType"] == "Observation"
    assert resources[report["subject"]["reference"]]["resourceType"] == "Patient"
    assert shown["answer"] == "AA"


def test_the_site_file_gives_the_character_set_of_silent_messages() -> None:
    text = "MSH|^~\\&|EXAMPLE_RIS|EXAMPLE|X|Y|20261121||ADT^A08|C1|P|2.3\rPID|1||1||Νίκος\r"
    message = read_message(text.encode("iso8859-7"), TABLES)
    assert message.charset == "8859/7"
    assert message.get("PID-5") == "Νίκος"
    other = read_message(text.replace("EXAMPLE_RIS", "RIS").encode("iso8859-7"), TABLES)
    assert other.charset == "WINDOWS-1252"
    assert other.issues


def test_the_time_of_a_site_is_its_own() -> None:
    text = ORM.replace("RIS|HOSP", "EXAMPLE_RIS|EXAMPLE") + PID + "ORC|NW|PL1\rTQ1|1||||||20260722100000\r" + OBR
    found = map_message(parse(text.encode()), TABLES, zone=ZoneInfo("UTC"), facility="IMG")
    assert found.orders[0].service_request["occurrenceDateTime"] == "2026-07-22T10:00:00+03:00"


def test_mapping_an_order_stays_cheap() -> None:
    """The goal is 250 µs on a quiet machine; a loaded one gets four times that."""
    case = Path(__file__).parent / "cases" / "orm-nw-everything.hl7"
    message = parse(case.read_bytes().replace(b"\n", b"\r"))

    def run() -> None:
        map_message(message, TABLES, zone=ZONE, facility="IMG")

    assert min(timeit.repeat(run, number=100, repeat=9)) / 100 < 1000e-6
