"""What one receiver has otherwise than another: the type and version of its orders, and how fields are written."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import hl7apy.parser
import pytest
from hl7apy.consts import VALIDATION_LEVEL

from interop.demo import actors
from interop.fhir import names
from interop.fhir.json import loads
from interop.fhir.validation import validate
from interop.hl7.conformance import examine
from interop.hl7.message import Message, parse
from interop.mapping.messages import map_message
from interop.mapping.outbound import merge_message
from interop.mapping.peers import Receiver
from tests.orders import ORDER, PATIENT, REPORT, concept
from tests.unit.mapping.test_round_trip import NOW, ORDERS, RECEIVER, TABLES, ZONE, _sorted, back, order_out, report_out
from tests.unit.mapping.test_round_trip import to as taking

Resource = dict[str, Any]
NUMBERS = actors.Numbers("123456789")
EVENTS = ("new", "change", "cancel", "hold", "release", "images-available")


def errors(message: Message) -> list[tuple[str, str]]:
    """What the standard of its version has against it."""
    return [(one.location, one.text) for one in examine(message).found if one.severity == "error"]


def merge_out(receiver: Receiver = RECEIVER) -> Message:
    prior = {"identifier": [{**PATIENT["identifier"][0], "value": "OLD"}], "name": PATIENT["name"][:1]}
    raw = merge_message(
        PATIENT, prior, receiver=receiver, control_id="X3", now=NOW, zone=ZONE, facility="IMG", tables=TABLES
    )
    return parse(raw)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("type_", ORDERS)
def test_orders_have_the_structure_of_the_standard(type_: str, event: str) -> None:
    message = order_out(control=event, receiver=taking(type_))
    assert errors(message) == []
    odd = {line.location: line.standing for line in examine(message).segments if line.standing != "fits"}
    assert (
        odd
        == {
            "ORM^O01": {"TQ1": "unexpected", "ZDS": "local"},  # sent all the same: many read it there
            "OMG^O19": {"ZDS": "local"},
            "OMI^O23": {},
        }[type_]
    )


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6"])
def test_each_version_gets_what_it_knows(version: str) -> None:
    receiver = replace(RECEIVER, version=version)
    order = order_out(receiver=receiver)
    for message in (order, report_out(receiver=receiver), merge_out(receiver)):
        assert message.get("MSH-12") == version
        assert bool(message.get("MSH-9.3")) == (version != "2.3")
        assert [one for one in errors(message) if "-" not in one[0]] == []  # no segment that it does not have
    assert bool(order.all("TQ1")) == (version >= "2.5")
    assert order.get("ORC-7") == "^^^20261122101500+0200^^S"
    found = back(order).orders[0].service_request
    assert (found["occurrenceDateTime"], found["priority"]) == (ORDER["occurrenceDateTime"], ORDER["priority"])


@pytest.mark.parametrize("type_", ORDERS[1:])
def test_hl7apy_finds_the_groups_of_each_order(type_: str) -> None:
    """It finds none in an ORM, and does not know ZDS; an OMI it validates strictly."""
    message = order_out({**ORDER, "note": [{"text": "short"}]}, receiver=taking(type_))
    lines = [segment.line for segment in message.segments if segment.name != "ZDS"]
    theirs = hl7apy.parser.parse_message("\r".join(lines), find_groups=True)
    shown = theirs.to_er7()
    for name in ("PID", "ORC", "TQ1", "OBR", "NTE", *(["IPC"] if type_ == "OMI^O23" else [])):
        assert f"\r{name}|" in shown, name  # what has no place in the structure is left out by it
    if type_ == "OMI^O23":
        strict = hl7apy.parser.parse_message("\r".join(lines), validation_level=VALIDATION_LEVEL.STRICT)
        assert strict.validate()


def test_a_merge_is_valid_and_comes_back() -> None:
    message = merge_out()
    assert errors(message) == []
    theirs = hl7apy.parser.parse_message(
        "\r".join(segment.line for segment in message.segments), validation_level=VALIDATION_LEVEL.STRICT
    )
    assert theirs.validate()
    (merge,) = map_message(message, TABLES, zone=ZONE, facility="IMG").merges
    assert merge.prior["identifier"][0]["value"] == "OLD"
    assert merge.prior["name"][0]["family"] == "Παπαδόπουλος"
    assert [one["value"] for one in merge.survivor["identifier"]] == [one["value"] for one in PATIENT["identifier"]]


def test_an_imaging_order_says_where_and_how_in_ipc() -> None:
    order = deepcopy(ORDER)
    order["orderDetail"].append(concept("urn:interop:codes:HOSP:L", "CONTRAST", "With contrast"))
    order["extension"].append({"url": names.EXT_STATION, "valueString": "CT2"})
    message = order_out(order, receiver=taking("OMI^O23"))
    first, second = message.all("IPC")
    assert [first.value(number).text() for number in (1, 2, 3, 4)] == [
        "IMG0000000000001",
        "RP1",
        "1.2.826.0.1.3680043.9.7.1",
        "SPS1",
    ]
    assert (first.value(5).text(1), first.value(6).text(1), first.value(9).text()) == (
        "CT",
        "CTPROT-LONGER-THAN-16",
        "CT2",
    )
    assert (second.value(4).text(), second.value(6).text(1)) == ("SPS1", "CONTRAST")
    assert errors(message) == []
    found = back(message).orders[0].service_request
    assert _sorted(found["orderDetail"]) == _sorted(order["orderDetail"])
    assert {"url": names.EXT_STATION, "valueString": "CT2"} in found["extension"]


def test_an_imaging_order_names_the_only_station_and_a_modality_by_the_table() -> None:
    order = {**ORDER, "orderDetail": []}
    message = order_out(order, receiver=taking("OMI^O23"), modality="CT", station="CT1")
    assert (message.get("IPC-5"), message.get("IPC-6"), message.get("IPC-9")) == ("CT", "", "CT1")


def demo_order() -> tuple[Resource, Resource]:
    """The EMR's patient and order, with the numbers that the server gives it."""
    patient, order = (entry["resource"] for entry in _entries())
    numbered = deepcopy(ORDER["identifier"][2:])
    return patient, {**order, "identifier": [*order["identifier"], *numbered]}


def _entries() -> list[Any]:
    bundle: Any = actors.order_bundle(NUMBERS, datetime(2026, 11, 22, 8, 0, tzinfo=UTC))
    entries: list[Any] = loads(_dumped(bundle))["entry"]
    return entries


def _dumped(value: Any) -> bytes:
    from interop.fhir.json import dumps

    return dumps(value)


NOT_IN_V2 = {"resourceType", "id", "status", "subject", "meta", "text"}


@pytest.mark.parametrize("type_", ORDERS)
def test_the_demos_order_comes_back(type_: str) -> None:
    patient, order = demo_order()
    mapped = back(order_out(order, patient, receiver=taking(type_)))
    (found,) = mapped.orders
    compared(order, found.service_request)
    assert mapped.patient is not None
    compared(patient, mapped.patient)


def test_the_demos_ris_order_and_report_come_back() -> None:
    start = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    raw = actors.ct_order(NUMBERS, "NW", "D1", start, placer=NUMBERS.ct_placer, accession=NUMBERS.ct_accession)
    first = map_message(parse(raw.encode()), TABLES, zone=ZONE, facility="IMG")
    assert first.patient is not None
    order = {**first.orders[0].service_request, "status": "active"}
    for type_ in ORDERS:
        again = back(order_out(order, first.patient, receiver=taking(type_)))
        compared(order, again.orders[0].service_request)
        assert again.patient is not None
        compared(first.patient, again.patient)
    raw = actors.ct_report(NUMBERS, "D2", start + timedelta(hours=2))
    (report,) = map_message(parse(raw.encode()), TABLES, zone=ZONE, facility="IMG").reports
    (found,) = back(report_out(report.report, list(report.observations), order, patient=first.patient)).reports
    compared(report.report, found.report)
    assert [_sorted(one) for one in found.observations] == [_sorted(one) for one in report.observations]
    assert report.report["presentedForm"][0]["data"] == found.report["presentedForm"][0]["data"]


def test_the_demos_fhir_report_comes_back() -> None:
    report: Any = actors.echo_report("ServiceRequest/1", "Patient/1", datetime(2026, 11, 22, 8, 0, tzinfo=UTC))
    patient, order = demo_order()
    (found,) = back(report_out(report, [], order, patient=patient)).reports
    compared({name: value for name, value in report.items() if name != "basedOn"}, found.report)
    assert found.study_uid == "1.2.826.0.1.3680043.9.7.1"


def compared(before: Resource, after: Resource) -> None:
    """Each element that the tables speak of is there again."""
    for name, value in before.items():
        if name in NOT_IN_V2:
            continue
        assert name in after, name
        assert kept(_sorted(_bare(value)), _sorted(_bare(after[name]))), name


def kept(before: Any, after: Any) -> bool:
    """Whether nothing of it is missing; v2 may say more (a name without a use is one of type L, the legal one)."""
    if isinstance(before, dict):
        return isinstance(after, dict) and all(
            name in after and kept(part, after[name]) for name, part in before.items()
        )
    if isinstance(before, list):
        return isinstance(after, list) and all(any(kept(one, other) for other in after) for one in before)
    return bool(before == after)


def _bare(value: Any) -> Any:
    """Without words that only our code tables add, and the order's step, which is the server's."""
    if isinstance(value, list):
        return [_bare(one) for one in value if not (isinstance(one, dict) and one.get("url") == names.EXT_STEP)]
    if isinstance(value, dict):
        return {name: _bare(part) for name, part in value.items() if name != "display"}
    return value


def test_segments_left_out_and_header_fields_set() -> None:
    receiver = replace(RECEIVER, omit=frozenset({"ZDS", "NTE"}), msh={11: "T", 15: "AL", 21: "RAD-4^IHE"})
    message = order_out(receiver=receiver)
    assert [segment.name for segment in message.segments] == ["MSH", "PID", "PV1", "ORC", "TQ1", "OBR"]
    assert (message.get("MSH-11"), message.get("MSH-15"), message.get("MSH-21.2")) == ("T", "AL", "IHE")


@pytest.mark.parametrize(("end", "bytes_"), [("\n", b"\nPID"), ("\r\n", b"\r\nPID")])
def test_segments_end_as_the_receiver_wants_them(end: str, bytes_: bytes) -> None:
    message = order_out(receiver=replace(RECEIVER, segment_end=end))
    assert bytes_ in message.raw
    assert back(message).orders


def test_lines_of_a_text_in_three_ways() -> None:
    notes = {lines: order_out(receiver=replace(RECEIVER, lines=lines)) for lines in ("repeat", "escape", "segments")}
    shown = {lines: [segment.field(3) for segment in one.all("NTE")] for lines, one in notes.items()}
    assert shown == {
        "repeat": ["first line~second \\F\\ line", "another note"],
        "escape": ["first line\\.br\\second \\F\\ line", "another note"],
        "segments": ["first line", "second \\F\\ line", "another note"],
    }
    report = {**REPORT, "conclusion": "one\ntwo"}
    for lines, expected in (
        ("repeat", [("TX", "", "one~two")]),
        ("escape", [("FT", "", "one\\.br\\two")]),
        ("segments", [("TX", "1", "one"), ("TX", "2", "two")]),
    ):
        message = report_out(report, [], receiver=replace(RECEIVER, lines=lines))
        found = [one for one in message.all("OBX") if one.value(3).text(1) == "19005-8"]
        assert [(one.field(2), one.field(4), one.field(5)) for one in found] == expected
        assert back(message).reports[0].report["conclusion"].split("\n")[0] == "one"


def test_times_without_an_offset_are_the_sites() -> None:
    order = {**ORDER, "occurrenceDateTime": "2026-11-22T08:15:00Z"}
    message = order_out(order, receiver=replace(RECEIVER, offsets=False))
    assert (message.get("MSH-7"), message.get("TQ1-7"), message.get("PID-7")) == (
        "20261121100000",
        "20261122101500",
        "19580403113000",
    )
    found = back(message).orders[0].service_request
    assert found["occurrenceDateTime"] == "2026-11-22T10:15:00+02:00"
    validate({**found, "status": "active", "subject": {"reference": "Patient/p1"}})
