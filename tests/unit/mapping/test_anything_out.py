"""Whatever text a resource holds: the messages out keep their structure, and what was in a field comes back from it."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from interop.errors import InvalidContentError
from interop.hl7.framing import frame
from interop.hl7.message import parse
from interop.mapping.outbound import merge_message, order_message, report_message
from interop.mapping.peers import Receiver
from interop.mapping.tables import compile_tables
from interop.mapping.worklist import worklist_attributes
from interop.shipped import shipped
from tests.orders import OBSERVATIONS, ORDER, PATIENT, REPORT

TABLES = compile_tables(shipped("mappings"))
TO: dict[str, Any] = {
    "receiver": Receiver("RIS", "h", 1, "RIS", "HOSP", "INTEROP", "HOSP", frozenset({"ORM^O01"})),
    "control_id": "1",
    "now": datetime(2026, 11, 21, 8, 0, tzinfo=UTC),
    "zone": ZoneInfo("Asia/Nicosia"),
    "facility": "IMG",
    "tables": TABLES,
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    st.sampled_from('|^~\\&\r\n\x0b\x1c\x00\u2028"#TX0 ='), min_size=1, max_size=12
)
STRUCTURE = frozenset({"url", "system", "reference", "id", "resourceType", "data", "contentType", "status"})


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every text in the resource that is somebody's data."""
    if isinstance(value, dict):
        return [one for name, part in value.items() if name not in STRUCTURE for one in places(part, (*path, name))]
    if isinstance(value, list):
        return [one for at, part in enumerate(value) for one in places(part, (*path, at))]
    return [path] if isinstance(value, str) else []


def changed(resource: dict[str, Any], texts: list[tuple[int, str]]) -> dict[str, Any]:
    result = deepcopy(resource)
    found = places(result)
    for number, text in texts:
        *path, last = found[number % len(found)]
        place: Any = result
        for step in path:
            place = place[step]
        place[last] = text
    return result


CHANGES = st.lists(st.tuples(st.integers(0, 200), TEXT), max_size=5)


def names(raw: bytes) -> list[str]:
    message = parse(raw)
    assert message.issues == ()
    frame(raw)
    return [segment.name for segment in message.segments]


@given(order=CHANGES, patient=CHANGES)
@settings(max_examples=300, deadline=None)
def test_an_order_with_any_texts_keeps_its_structure(
    order: list[tuple[int, str]], patient: list[tuple[int, str]]
) -> None:
    request, person = changed(ORDER, order), changed(PATIENT, patient)
    found = names(order_message(request, person, control="new", **TO))
    assert re.fullmatch("MSH PID PV1 ORC (TQ1 )?OBR NTE NTE( ZDS)?", " ".join(found))


@given(order=CHANGES, patient=CHANGES, lines=st.sampled_from(["repeat", "escape", "segments"]))
@settings(max_examples=200, deadline=None)
def test_an_imaging_order_and_a_merge_with_any_texts_keep_their_structure(
    order: list[tuple[int, str]], patient: list[tuple[int, str]], lines: str
) -> None:
    to = {**TO, "receiver": replace(TO["receiver"], types=frozenset({"OMI^O23"}), lines=lines)}
    request, person = changed(ORDER, order), changed(PATIENT, patient)
    found = names(order_message(request, person, control="new", **to))
    assert re.fullmatch("MSH PID PV1 ORC (TQ1 )?OBR (NTE )*IPC( IPC)?", " ".join(found))
    assert re.fullmatch("MSH EVN PID MRG", " ".join(names(merge_message(PATIENT, person, **to))))


@given(report=CHANGES, results=CHANGES)
@settings(max_examples=300, deadline=None)
def test_a_report_with_any_texts_keeps_its_structure(
    report: list[tuple[int, str]], results: list[tuple[int, str]]
) -> None:
    observations = changed({"all": OBSERVATIONS}, results)["all"]
    raw = report_message(changed(REPORT, report), observations, PATIENT, ORDER, "1.2.3", **TO)
    assert re.fullmatch(r"MSH PID PV1 ORC OBR( OBX)+", " ".join(names(raw)))


@given(text=TEXT)
@settings(max_examples=300, deadline=None)
def test_a_name_reaches_the_receiver_as_it_is(text: str) -> None:
    person = {**PATIENT, "name": [{"family": text, "given": [text], "prefix": [text]}]}
    message = parse(order_message(ORDER, person, control="new", **TO))
    assert [message.get(f"PID-5.{part}") for part in (1, 2, 5)] == [text] * 3


@given(order=CHANGES, patient=CHANGES)
@settings(max_examples=300, deadline=None)
def test_a_worklist_item_has_no_controls_but_line_ends(
    order: list[tuple[int, str]], patient: list[tuple[int, str]]
) -> None:
    station: dict[str, Any] = {"station_aet": "CT1", "modality": "CT", "start": TO["now"]}
    where: dict[str, Any] = {name: TO[name] for name in ("zone", "facility", "tables")}
    try:
        found = worklist_attributes(changed(ORDER, order), changed(PATIENT, patient), **station, **where)
    except InvalidContentError as error:  # never cut: what is longer than its VR is refused, with the reason
        if "at most" not in error.text:
            raise
        return
    described = (
        "PatientName",
        "RequestedProcedureDescription",
        "ReasonForTheRequestedProcedure",
        "RequestingPhysician",
    )
    for keyword in described:
        assert not re.search(r"[\x00-\x1f\x7f\\]", found.get(keyword, "")), keyword
