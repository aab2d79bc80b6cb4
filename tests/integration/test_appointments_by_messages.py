"""Appointments as SIU messages tell of them, over the wire: the order's time, its hold, and what cannot follow."""

from __future__ import annotations

from typing import Any

import pytest

from interop.demo.world import eventually
from interop.fhir.query import Query
from interop.fhir.references import patient_of
from interop.fhir.scheduled_steps import steps_of
from interop.fhir.search import parse_query
from interop.fhir.validation import validate
from interop.store import Store
from tests.hl7_messages import PATIENT, header, message, orm
from tests.mllp_door import listening
from tests.real_server import RealServer, accession_of
from tests.sites import a_site


def siu(
    event: str,
    start: str = "20261125090000",
    *,
    number: str = "A1",
    placer: str = "P1",
    minutes: str = "30",
    patient: str = PATIENT,
    service: str = "CTCH^CT chest^L",
) -> bytes:
    """An SIU about one appointment."""
    sch = [""] * 28
    sch[0], sch[2], sch[9], sch[10] = "SCH", f"{number}^RIS" if number else "", minutes, "min"
    sch[11] = f"^^^{start}" if start else ""
    sch[26] = f"{placer}^RIS" if placer else ""
    ais = f"AIS|1|A|{service}|{start}"
    return message(header(f"SIU^{event}^SIU_S12"), "|".join(sch), patient, "RGS|1|A", ais, "AIL|1|A|CTROOM^1")


async def one(store: Store, type: str) -> dict[str, Any]:
    """The one resource of a type."""
    (row,) = await store.view(lambda tx: tx.search(Query(type)).rows)
    return row.resource()


async def said(peer: Any, raw: bytes) -> tuple[str, str, str]:
    """MSA-1, and severity and place of the first ERR."""
    await peer.send(raw)
    answer = await peer.answer()
    return answer.get("MSA-1"), answer.get("ERR-4"), answer.get("ERR-2")


OK = ("AA", "", "")


async def test_a_booking_moves_the_order_and_is_a_resource_of_its_own(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await said(peer, orm())
        assert await said(peer, siu("S12")) == OK
    order, appointment = await one(store, "ServiceRequest"), await one(store, "Appointment")
    validate(appointment)
    assert order["occurrenceDateTime"] == "2026-11-25T09:00:00+02:00"
    assert (appointment["status"], appointment["start"], appointment["end"]) == (
        "booked",
        "2026-11-25T09:00:00+02:00",
        "2026-11-25T09:30:00+02:00",
    )
    assert appointment["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    assert [one["actor"] for one in appointment["participant"]] == [order["subject"], {"display": "CTROOM 1"}]
    assert patient_of(appointment) == order["subject"]["reference"]
    for criteria in (("identifier", "A1"), ("patient", order["subject"]["reference"]), ("status", "booked")):
        query = parse_query("Appointment", [criteria], a_site().zone)
        assert len(await store.view(lambda tx, query=query: tx.search(query).rows)) == 1  # type: ignore[misc]


async def test_its_course(store: Store) -> None:
    """Booked, moved, changed, cancelled, booked again, missed, discontinued, deleted: the order follows."""
    course = []
    async with listening(store) as (_, connect):
        peer = await connect()
        await said(peer, orm())
        for event, start in (
            ("S12", "20261125090000"),
            ("S13", "20261126100000"),
            ("S14", "20261126103000"),
            ("S15", ""),
            ("S12", "20261127080000"),
            ("S26", ""),
            ("S13", "20261128080000"),
            ("S16", ""),
            ("S14", "20261129080000"),
            ("S17", ""),
        ):
            assert await said(peer, siu(event, start)) == OK
            order, appointment = await one(store, "ServiceRequest"), await one(store, "Appointment")
            (row,) = await store.view(lambda tx: tx.find_orders())
            course.append((appointment["status"], order["status"], row.scheduled, order["occurrenceDateTime"][5:16]))
            held = [e["valueCodeableConcept"]["text"] for e in order["extension"] if "valueCodeableConcept" in e]
            assert len(held) == (order["status"] == "on-hold")
    assert course == [
        ("booked", "active", True, "11-25T09:00"),
        ("booked", "active", True, "11-26T10:00"),
        ("booked", "active", True, "11-26T10:30"),
        ("cancelled", "on-hold", False, "11-26T10:30"),
        ("booked", "active", True, "11-27T08:00"),
        ("noshow", "on-hold", False, "11-27T08:00"),
        ("booked", "active", True, "11-28T08:00"),
        ("cancelled", "on-hold", False, "11-28T08:00"),
        ("booked", "active", True, "11-29T08:00"),
        ("entered-in-error", "on-hold", False, "11-29T08:00"),
    ]


async def test_another_booking_after_a_cancelled_one_releases_the_order_too(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        for raw in (orm(), siu("S12"), siu("S15"), siu("S12", number="A2")):
            assert await said(peer, raw) == OK
    assert (await one(store, "ServiceRequest"))["status"] == "active"


async def test_a_hold_that_was_asked_for_stays(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        for raw in (orm(), siu("S12"), orm("HD"), siu("S15"), siu("S12", number="A2")):
            assert await said(peer, raw) == OK
    assert (await one(store, "ServiceRequest"))["status"] == "on-hold"


async def test_an_order_that_has_begun_or_ended_is_left_alone_and_that_is_said(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        for raw in (orm(), siu("S12"), orm("SC", status="IP")):
            assert await said(peer, raw) == OK
        assert (await said(peer, siu("S15")))[:2] == ("AA", "W")
        await said(peer, orm("SC", status="CM"))
        assert (await said(peer, siu("S13", "20261129080000")))[:2] == ("AA", "W")
    order = await one(store, "ServiceRequest")
    assert (order["status"], order["occurrenceDateTime"][5:16]) == ("completed", "11-25T09:00")


async def test_the_order_is_found_by_its_service_where_no_number_is_given(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await said(peer, orm())
        await said(peer, orm(placer="P2", code="CTAB^CT abdomen^L"))
        assert await said(peer, siu("S12", placer="", service="CTAB^CT abdomen^L")) == OK
        assert await said(peer, siu("S15", "", placer="", service="")) == OK  # known by its appointment then
    rows = await store.view(lambda tx: tx.find_orders())
    assert {row.placer and row.placer.value: row.status for row in rows} == {"P1": "active", "P2": "on-hold"}


async def test_an_appointment_without_an_order_is_kept_and_said(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        assert await said(peer, siu("S12", placer="NEVER")) == ("AA", "W", "SCH^1^26^1")
        assert await said(peer, siu("S15", "", placer="")) == ("AA", "W", "SCH^1^26^1")
    appointment = await one(store, "Appointment")
    assert (appointment["status"], "basedOn" in appointment) == ("cancelled", False)


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (siu("S12", number=""), ("AE", "E", "SCH^1^2^1")),
        (siu("S12", ""), ("AE", "E", "SCH^1^11^1^4")),
        (siu("S12", patient="PID|1||5^^^HOSP^MR||Other^One"), ("AR", "E", "PID^1^3^1")),
        (siu("S14", number="OWN", patient="PID|1||5^^^HOSP^MR||Other^One", placer=""), ("AR", "E", "SCH^1^2^1")),
        (message(header("SIU^S12"), PATIENT), ("AE", "E", "SCH^1")),
        (message(header("SIU^S18"), PATIENT), ("AR", "E", "MSH^1^9^1")),
    ],
    ids=["no number", "no time", "another's order", "another's appointment", "no SCH", "unknown event"],
)
async def test_what_cannot_be_booked_is_refused(store: Store, raw: bytes, answer: tuple[str, str, str]) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await said(peer, orm())
        await said(peer, siu("S12", number="OWN"))
        assert await said(peer, raw) == answer
    assert len(await store.view(lambda tx: tx.search(Query("Appointment")).rows)) == 1


@pytest.mark.parametrize("event", ["S18", "S19", "S20", "S21", "S22", "S23", "S24"])
async def test_an_event_about_a_part_of_one_is_refused_with_the_way_out(store: Store, event: str) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await said(peer, orm())
        await peer.send(siu(event))
        answer = await peer.answer()
    assert (answer.get("MSA-1"), answer.get("ERR-3.1")) == ("AR", "201")
    assert ("S14" in answer.get("ERR-8")) == (event not in ("S23", "S24"))
    assert "not supported" in answer.get("ERR-8")


async def test_an_appointment_for_one_of_several_steps_moves_that_one(store: Store) -> None:
    """By its service; where that does not tell, nothing moves and the sender hears of it."""
    groups = []
    for step, code in (("S1", "HEAD"), ("S2", "CHEST")):
        fields = orm(accession="ACC1", code=f"WHOLE^Whole body^L^{code}^{code}^L").decode().split("\r")[3].split("|")
        fields[20] = step
        groups += ["ORC|NW|P1^RIS", "|".join(fields)]
    course = []
    async with listening(store) as (_, connect):
        peer = await connect()
        assert await said(peer, message(header("ORM^O01"), PATIENT, *groups)) == OK
        for event, start, service, answer in (
            ("S12", "20261125090000", "CHEST^Chest^L", OK),
            ("S15", "", "CHEST^Chest^L", OK),
            ("S13", "20261126090000", "CHEST^Chest^L", OK),
            ("S13", "20261127090000", "WHOLE^Whole body^L", ("AA", "W", "AIS^1^3^1")),
        ):
            assert await said(peer, siu(event, start, service=service)) == answer
            order = await one(store, "ServiceRequest")
            course.append([(each.status, each.start[5:13]) for each in steps_of(order)])
    still = ("active", "11-21T08")
    assert course == [
        [still, ("active", "11-25T09")],
        [still, ("on-hold", "11-25T09")],
        [still, ("active", "11-26T09")],
        [still, ("active", "11-26T09")],
    ]


def test_the_worklist_follows_the_appointment(shared_server: RealServer) -> None:
    patient = "PID|1||A700^^^HOSP^MR||Appointed^Anna||19700101|F"
    assert shared_server.send(orm(placer="APPT1", patient=patient)).get("MSA-1") == "AA"
    accession = accession_of(shared_server.order("APPT1"))
    for event, start, shown in (
        ("S12", "20261125091500", ["091500"]),
        ("S13", "20261125101500", ["101500"]),
        ("S15", "", []),
        ("S12", "20261126111500", ["111500"]),
        ("S26", "", []),
    ):
        sent = siu(event, start, number="APPT1", placer="APPT1", patient=patient)
        assert shared_server.send(sent).get("MSA-1") == "AA"
        eventually(f"the worklist shows {shown}", lambda want=shown: shared_server.starts(accession) == want)
    (appointment,) = shared_server.found("Appointment?identifier=APPT1")
    assert appointment["status"] == "noshow"
