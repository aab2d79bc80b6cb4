"""Visits: one Encounter for each visit number, in the state that ADT last told."""

from __future__ import annotations

import pytest

from interop.fhir.query import Query
from interop.fhir.search import parse_query
from tests.hl7_messages import PATIENT, header, message
from tests.hospital import MR, Hospital, Resource

VISIT = "urn:interop:ns:HOSP:HOSP"


def adt(event: str, number: str = "V1", *, pv1: dict[int, str] | None = None, patient: str = PATIENT) -> bytes:
    """An ADT about a visit, with these fields of PV1 besides."""
    fields = ["PV1", "1", "I", *[""] * 42]
    if number:
        fields[19] = f"{number}^^^HOSP^VN"
    for position, text in (pv1 or {}).items():
        fields[position] = text
    pid = f"{patient}||||||||||ACC1^^^HOSP^AN" if number == "" else patient
    return message(header(f"ADT^{event}"), f"EVN|{event}|20261121093000", pid, "|".join(fields))


async def visit(hospital: Hospital, number: str = "V1") -> Resource:
    """The one visit with that number."""
    (found,) = await hospital.found("Encounter", VISIT, number)
    return found


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("A01", "in-progress"),
        ("A02", "in-progress"),
        ("A03", "finished"),
        ("A04", "arrived"),
        ("A05", "planned"),
        ("A06", "in-progress"),
        ("A07", "arrived"),
        ("A08", "unknown"),
        ("A11", "cancelled"),
        ("A12", "in-progress"),
        ("A13", "in-progress"),
        ("A28", "unknown"),
        ("A31", "unknown"),
        ("A38", "cancelled"),
    ],
)
async def test_each_event_makes_the_visit_what_it_says(hospital: Hospital, event: str, status: str) -> None:
    reply = await hospital.send(adt(event))
    assert reply.code == "AA"
    found = await visit(hospital)
    (patient,) = await hospital.found("Patient", MR, "100234")
    assert (found["status"], found["subject"]["reference"]) == (status, f"Patient/{patient['id']}")
    noted = [(issue.severity, issue.location) for issue in reply.issues]
    assert noted == ([("warning", "PV1-19")] if event in ("A03", "A11", "A12", "A13", "A38") else [])


async def test_a_stay_from_its_plan_to_its_end(hospital: Hospital) -> None:
    course = []
    for event in ("A05", "A04", "A01", "A08", "A03", "A08", "A13", "A03", "A11"):
        assert (await hospital.send(adt(event))).code == "AA"
        course.append((await visit(hospital))["status"])
    assert course == [
        "planned",
        "arrived",
        "in-progress",
        "in-progress",
        "finished",
        "finished",
        "in-progress",
        "finished",
        "cancelled",
    ]


async def test_a_discharge_has_an_end_and_its_cancelling_takes_it_back(hospital: Hospital) -> None:
    await hospital.send(adt("A01"))
    await hospital.send(adt("A03"))
    period = (await visit(hospital))["period"]
    assert (period["start"], period["end"]) == ("2026-11-21T09:30:00+02:00", "2026-11-21T09:30:00+02:00")
    await hospital.send(adt("A13"))
    assert (await visit(hospital))["period"] == {"start": "2026-11-21T09:30:00+02:00"}


async def test_an_admission_told_late_does_not_open_what_has_ended(hospital: Hospital) -> None:
    await hospital.send(adt("A03"))
    reply = await hospital.send(adt("A01"))
    assert (reply.code, [issue.code for issue in reply.issues]) == ("AA", ["business-rule"])
    assert (await visit(hospital))["status"] == "finished"


async def test_a_cancelled_admission_may_begin_again(hospital: Hospital) -> None:
    for event in ("A01", "A11", "A01"):
        await hospital.send(adt(event))
    assert (await visit(hospital))["status"] == "in-progress"


async def test_an_update_moves_the_patient_and_leaves_what_it_does_not_speak_of(hospital: Hospital) -> None:
    await hospital.send(adt("A01", pv1={3: "W5^12^A", 7: "A1^Attending^Anna", 10: "MED"}))
    await hospital.send(adt("A08", pv1={3: "W7^1^B", 6: "W5^12^A", 10: '""'}))
    found = await visit(hospital)
    assert [(one["location"]["display"], one["status"]) for one in found["location"]] == [
        ("W7 1 B", "active"),
        ("W5 12 A", "completed"),
    ]
    assert (found["participant"][0]["individual"]["reference"], found["contained"][0]["id"]) == (
        "#participant",
        "participant",
    )
    assert "serviceType" not in found
    await hospital.send(adt("A08", pv1={7: '""'}))
    assert "contained" in await visit(hospital)  # whom the visit has is not emptied by one kind of doctor


async def test_the_account_names_a_visit_that_has_no_number(hospital: Hospital) -> None:
    await hospital.send(adt("A01", ""))
    await hospital.send(adt("A03", ""))
    assert (await visit(hospital, "ACC1"))["status"] == "finished"


async def test_a_visit_without_any_number_is_not_kept_and_said(hospital: Hospital) -> None:
    for event, severity in (("A01", "information"), ("A03", "warning"), ("A11", "warning")):
        reply = await hospital.send(message(header(f"ADT^{event}"), f"EVN|{event}|20261121", PATIENT, "PV1|1|O"))
        assert (reply.code, [issue.severity for issue in reply.issues]) == ("AA", [severity])
    assert not await hospital.store.view(lambda tx: tx.search(Query("Encounter")).rows)


async def test_a_visit_of_another_patient_is_refused(hospital: Hospital) -> None:
    await hospital.send(adt("A01"))
    reply = await hospital.send(adt("A08", patient="PID|1||5^^^HOSP^MR||Other^One"))
    assert (reply.code, reply.issues[0].location) == ("AR", "PV1-19")
    assert not await hospital.found("Patient", MR, "5")


@pytest.mark.parametrize(
    "criteria",
    [
        {"identifier": "V1"},
        {"status": "in-progress"},
        {"class": "IMP"},
        {"date": "ge2026-11-21"},
        {"patient": ""},
        {"subject": ""},
    ],
)
async def test_visits_are_found(hospital: Hospital, criteria: dict[str, str]) -> None:
    await hospital.send(adt("A01"))
    await hospital.send(adt("A05", "V2", patient="PID|1||5^^^HOSP^MR||Other^One", pv1={2: "P"}))
    (patient,) = await hospital.found("Patient", MR, "100234")
    params = [(name, value or f"Patient/{patient['id']}") for name, value in criteria.items()]
    query = parse_query("Encounter", params, hospital.site.zone)
    found = await hospital.store.view(lambda tx: [row.resource() for row in tx.search(query).rows])
    assert [one["identifier"][0]["value"] for one in found] == ["V1"]


async def test_a_merge_takes_the_visits_along(hospital: Hospital) -> None:
    await hospital.send(adt("A01"))
    raw = message(header("ADT^A40"), "PID|1||200^^^HOSP^MR||A^B", "MRG|100234^^^HOSP^MR")
    await hospital.send(raw)
    (patient,) = await hospital.found("Patient", MR, "200")
    assert (await visit(hospital))["subject"]["reference"] == f"Patient/{patient['id']}"
    assert (await hospital.send(adt("A03"))).code == "AA"  # with the prior's number


async def test_what_is_told_of_a_visit_is_audited(hospital: Hospital) -> None:
    await hospital.send(adt("A01"))
    found = await visit(hospital)
    query = parse_query("AuditEvent", [("entity", f"Encounter/{found['id']}")], hospital.site.zone)
    events = await hospital.store.view(lambda tx: [row.resource() for row in tx.search(query).rows])
    assert [(event["action"], event["subtype"][0]["code"]) for event in events] == [("C", "A01")]


async def test_a_transfer_ends_the_stay_at_the_place_before(hospital: Hospital) -> None:
    await hospital.send(adt("A01", pv1={3: "WARD1^1^A"}))
    await hospital.send(adt("A02", pv1={3: "WARD2^4", 6: "WARD1^1^A", 42: "WARD3"}))
    await hospital.send(adt("A08", pv1={3: "WARD2^4"}))
    moment = "2026-11-21T09:30:00+02:00"
    here = {"location": {"display": "WARD2 4"}, "status": "active", "period": {"start": moment}}
    left = {"location": {"display": "WARD1 1 A"}, "status": "completed", "period": {"end": moment}}
    found = await visit(hospital)
    assert found["location"] == [here, left]
    assert found["status"] == "in-progress"
    await hospital.send(adt("A02", pv1={3: "WARD3", 6: "WARD2^4"}))
    assert [(place["location"]["display"], place["status"]) for place in (await visit(hospital))["location"]] == [
        ("WARD3", "active"),
        ("WARD1 1 A", "completed"),
        ("WARD2 4", "completed"),
    ]


async def test_a_transfer_that_is_cancelled_leaves_the_patient_where_he_was(hospital: Hospital) -> None:
    await hospital.send(adt("A01", pv1={3: "WARD1"}))
    await hospital.send(adt("A02", pv1={3: "WARD2", 6: "WARD1"}))
    assert (await hospital.send(adt("A12", pv1={3: "WARD1", 6: "WARD2"}))).code == "AA"
    assert (await visit(hospital))["location"] == [{"location": {"display": "WARD1"}, "status": "active"}]


async def test_a_transfer_of_a_visit_that_nobody_told_of_says_where_the_patient_was(hospital: Hospital) -> None:
    assert (await hospital.send(adt("A02", pv1={3: "WARD2", 6: "WARD1"}))).code == "AA"
    assert [place["status"] for place in (await visit(hospital))["location"]] == ["active", "completed"]


async def test_a_planned_place_is_told_anew_each_time(hospital: Hospital) -> None:
    await hospital.send(adt("A05", pv1={42: "WARD1"}))
    await hospital.send(adt("A01", pv1={3: "WARD1", 42: "WARD9"}))
    statuses = [(place["location"]["display"], place["status"]) for place in (await visit(hospital))["location"]]
    assert statuses == [("WARD1", "active"), ("WARD9", "planned")]


async def test_an_outpatient_who_is_admitted_and_leaves_again(hospital: Hospital) -> None:
    course = []
    for event, kind in (("A04", "O"), ("A06", "I"), ("A07", "O"), ("A03", "O")):
        reply = await hospital.send(adt(event, pv1={2: kind}))
        assert reply.code == "AA"
        found = await visit(hospital)
        course.append((found["status"], found["class"]["code"]))
    assert course == [("arrived", "AMB"), ("in-progress", "IMP"), ("in-progress", "AMB"), ("finished", "AMB")]
