"""What a person decides of a study, what it restores, and that no rule decides it again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from interop.access.agent import Agent
from interop.dicom.study import StudyFacts
from interop.errors import ConflictError, NotFoundError
from interop.fhir.query import Query
from interop.store import Decision, OrderRow
from interop.workflow import deciding
from interop.workflow.unmatched import Unmatched, edits, waiting
from tests.hl7_messages import orm
from tests.hospital import Hospital, a_report, an_order, images, images_of
from tests.unit.workflow.test_several_steps import stands, two

UID = "2.25.1"
PERSON = Agent("mtra", "user", client="test")


async def _ordered(hospital: Hospital, **more: str) -> OrderRow:
    return await hospital.row((await hospital.send(orm(**{"accession": "A1", **more}))).orders[0])


async def _waiting(hospital: Hospital) -> list[Unmatched]:
    return (await hospital.store.view(lambda tx: waiting(tx, hospital.site, before=None, limit=100)))[0]


async def _resolve(hospital: Hospital, uid: str, row: OrderRow) -> Decision:
    return await hospital.store.unit(PERSON, lambda tx: deciding.resolve(tx, hospital.site, uid, row.id))


async def _undo(hospital: Hospital, uid: str) -> Decision:
    return await hospital.store.unit(PERSON, lambda tx: deciding.undo(tx, hospital.site, uid))


async def _study(hospital: Hospital, uid: str) -> dict[str, Any]:
    stored = await hospital.store.view(lambda tx: tx.study(uid))
    assert stored is not None
    return stored.resource()


async def _told(hospital: Hospital, subtype: str) -> str:
    """The detail of the one AuditEvent of this decision."""
    rows = await hospital.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=100)))
    [event] = [row.event for row in rows if (row.event.kind, row.event.subtype) == ("match", subtype)]
    return str(event.detail)


def _strangers() -> StudyFacts:
    """The order's number, and another patient: what a wrong row of the worklist makes."""
    return images(UID, 1, accession="A1", patient_id="666", patient_name="Παπαδόπουλος^Νίκος", birth_date="1967-03-21")


async def test_a_contradiction_waits_with_its_order_as_a_candidate(hospital: Hospital) -> None:
    row = await _ordered(hospital)
    assert (await hospital.register(_strangers())).by == "other-patient"
    (one,) = await _waiting(hospital)
    assert (one.decision.rule, one.decision.evidence["differed"]) == ("other-patient", ["patient-id"])
    assert one.candidates[0].row.id == row.id
    assert one.candidates[0].parts["accession"] == 1.0


async def test_each_match_is_kept_with_what_agreed(hospital: Hospital) -> None:
    row = await _ordered(hospital)
    await hospital.register(images_of(row, 1, birth_date="1967-03-21", patient_name="Νίκος^Παπαδόπουλος"))
    held = await hospital.store.view(lambda tx: tx.decision(row.study_uid or ""))
    assert held is not None
    assert (held.rule, held.order_id, held.person) == ("study-uid", row.id, False)
    assert {"study-uid", "accession", "patient-id", "birth-date", "name", "modality"} <= set(held.evidence["agreed"])
    assert "Παπαδόπουλος" not in str(held.evidence)
    assert await _waiting(hospital) == []
    assert (await _told(hospital, "study-uid")).startswith(f"ServiceRequest/{row.id}; agreed accession, ")


async def test_a_person_matches_and_what_comes_later_changes_nothing_of_it(hospital: Hospital) -> None:
    row = await _ordered(hospital)
    await hospital.register(_strangers())
    before = (await _study(hospital, UID))["subject"]["reference"]
    decision = await _resolve(hospital, UID, row)
    assert before in decision.evidence["warning"]
    assert {"accession", "birth-date", "name", "modality"} <= set(decision.evidence["agreed"])
    assert decision.evidence["differed"] == ["patient-id"]
    assert (decision.evidence["study"]["patient_id"], decision.evidence["order"]["accession"]) == ("666", "A1")
    assert "Παπαδόπουλος" not in str(decision.evidence)
    told = await _told(hospital, "resolve")
    assert told.startswith(f"ServiceRequest/{row.id}; agreed accession, ")
    assert told.endswith("; differed patient-id")
    study = await _study(hospital, UID)
    assert study["basedOn"] == [{"reference": f"ServiceRequest/{row.id}"}]
    assert study["subject"] == {"reference": f"Patient/{row.patient_id}"}
    assert (await hospital.row(row.id)).step == "images-available"
    assert await _waiting(hospital) == []
    for facts in (replace(_strangers(), whole=True, quiet=True), images(UID, 2, patient_id="667")):
        assert (await hospital.register(facts)).by == "linked"
    study = await _study(hospital, UID)
    assert study["subject"] == {"reference": f"Patient/{row.patient_id}"}
    held = await hospital.store.view(lambda tx: tx.decision(UID))
    assert held is not None
    assert (held.rule, held.who) == ("person", "mtra")


@pytest.mark.parametrize("by", ["person", "rule"])
async def test_undoing_restores_what_was_and_no_rule_matches_again(hospital: Hospital, by: str) -> None:
    row = await _ordered(hospital)
    report = await hospital.post(a_report(f"Patient/{row.patient_id}", f"ServiceRequest/{row.id}", "preliminary"))
    facts = _strangers() if by == "person" else images_of(row, 1)
    await hospital.register(facts)
    if by == "person":
        before = await _study(hospital, UID)
        await _resolve(hospital, UID, row)
    assert (await hospital.get("DiagnosticReport", report.id))["imagingStudy"]
    await _undo(hospital, facts.study_uid)
    after = await _study(hospital, facts.study_uid)
    assert "basedOn" not in after
    if by == "person":
        assert {**after, "meta": None} == {**before, "meta": None}
    assert (await hospital.row(row.id)).step == "scheduled"
    assert (await hospital.row(row.id)).scheduled
    assert "imagingStudy" not in await hospital.get("DiagnosticReport", report.id)
    assert (await hospital.register(replace(facts, whole=True, quiet=True))).by == "undone"
    assert "basedOn" not in await _study(hospital, facts.study_uid)
    (one,) = await _waiting(hospital)
    assert [each.row.id for each in one.candidates] == [row.id]


async def test_of_several_steps_each_stands_where_it_stood(hospital: Hospital) -> None:
    id = await two(hospital)
    row = await hospital.row(id)
    before = await stands(hospital, id)
    await hospital.register(images(UID, 1, accession="ACC1", patient_id="666"))
    await _resolve(hospital, UID, row)
    assert [one[2] for one in (await stands(hospital, id))[1]] == ["images-available", "scheduled"]
    await _undo(hospital, UID)
    assert await stands(hospital, id) == before
    await _resolve(hospital, UID, row)
    assert [one[2] for one in (await stands(hospital, id))[1]] == ["images-available", "scheduled"]


async def test_the_step_stays_while_other_images_are_of_the_order(hospital: Hospital) -> None:
    row = await _ordered(hospital)
    await hospital.register(_strangers())
    await _resolve(hospital, UID, row)
    await hospital.register(replace(images_of(row, 1), quiet=True))
    await _undo(hospital, UID)
    assert (await hospital.row(row.id)).step == "images-available"


async def test_what_the_state_forbids_is_refused(hospital: Hospital) -> None:
    row, other = await _ordered(hospital), await _ordered(hospital, placer="P2", accession="A2")
    with pytest.raises(NotFoundError):
        await _resolve(hospital, "2.25.99", row)
    await hospital.register(_strangers())
    with pytest.raises(ConflictError):
        await _undo(hospital, UID)
    first = await _resolve(hospital, UID, row)
    assert (await _resolve(hospital, UID, row)).pk == first.pk  # the same again
    with pytest.raises(ConflictError, match="undo that first"):
        await _resolve(hospital, UID, other)
    await hospital.post(a_report(f"Patient/{row.patient_id}", f"ServiceRequest/{row.id}"))
    with pytest.raises(ConflictError, match="report"):
        await _undo(hospital, UID)


async def test_both_patients_are_one_when_a_person_says_so(hospital: Hospital) -> None:
    row = await _ordered(hospital)
    await hospital.register(_strangers())
    prior = (await _study(hospital, UID))["subject"]["reference"]
    with pytest.raises(ConflictError):
        await hospital.store.unit(PERSON, lambda tx: deciding.merge(tx, hospital.site, UID))
    await _resolve(hospital, UID, row)
    await hospital.store.unit(PERSON, lambda tx: deciding.merge(tx, hospital.site, UID))
    assert not (await hospital.get("Patient", prior.removeprefix("Patient/")))["active"]
    await _undo(hospital, UID)
    assert (await _study(hospital, UID))["subject"] == {"reference": f"Patient/{row.patient_id}"}


async def test_an_order_that_comes_later_does_not_take_what_a_person_took_from_it(hospital: Hospital) -> None:
    row = await _ordered(hospital)
    await hospital.register(images(UID, 1, accession="A2", patient_id="100234", issuer="HOSP"))
    await _resolve(hospital, UID, row)
    await _undo(hospital, UID)
    await _ordered(hospital, placer="P2", accession="A2")
    assert "basedOn" not in await _study(hospital, UID)


async def test_every_decision_is_in_the_audit_trail(hospital: Hospital) -> None:
    row = await _ordered(hospital)
    await hospital.register(_strangers())
    await _resolve(hospital, UID, row)
    await _undo(hospital, UID)
    rows = await hospital.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=100)))
    told = [(one.agent.who, one.event.subtype, one.event.outcome) for one in rows if one.event.kind == "match"]
    assert set(told) == {("archive-feed", "other-patient", "4"), ("mtra", "resolve", "0"), ("mtra", "undo", "0")}


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [("", "", 0), ("A1", "A1", 0), ("A12", "A21", 2), ("A1", "A12", 1), ("kitten", "sitting", 3)],
)
def test_edits(one: str, other: str, apart: int) -> None:
    assert edits(one, other) == edits(other, one) == apart


async def test_the_order_that_a_number_names_is_a_candidate_among_many_likelier_ones(hospital: Hospital) -> None:
    row = await _ordered(hospital)
    await hospital.register(replace(_strangers(), patient_name="Else^Someone", birth_date="1999-01-01"))
    subject = (await _study(hospital, UID))["subject"]["reference"]
    for number in range(6):
        await hospital.post(an_order(subject, f"Q{number}"))
    (one,) = await _waiting(hospital)
    assert len(one.candidates) == 5
    assert row.id in [each.row.id for each in one.candidates]
    scores = [each.score for each in one.candidates]
    assert scores == sorted(scores, reverse=True)


async def test_the_order_of_who_is_called_alike_and_born_that_day_is_a_candidate_whenever_it_was(
    hospital: Hospital,
) -> None:
    """A slip in the PatientID, no accession number, and the order of another week."""
    row = await _ordered(hospital)
    namesake = replace(_strangers(), accession=None, started=datetime(2026, 12, 24, 9, 0, tzinfo=UTC))
    assert (await hospital.register(namesake)).by == "none"
    (one,) = await _waiting(hospital)
    assert [each.row.id for each in one.candidates] == [row.id]
    stranger = replace(namesake, study_uid="2.25.77", patient_id="667", patient_name="Else^Someone")
    await hospital.register(stranger)
    found = {each.decision.study_uid: each.candidates for each in await _waiting(hospital)}
    assert found["2.25.77"] == ()
