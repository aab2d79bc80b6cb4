"""Images become studies, linked to the order that they were made for, and to no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from interop.dicom.study import Coded, Person, StudyFacts
from interop.errors import ForbiddenError
from interop.fhir import names
from interop.fhir.query import Clause, Query, TokenValue
from interop.fhir.validation import validate
from interop.mapping.uris import local_code_system
from interop.store import OrderRow
from interop.workflow import deciding
from interop.workflow.studies import Registered, uid_of
from tests.hl7_messages import orm, oru
from tests.hospital import EMR, Hospital, Resource, a_patient, an_order, images, images_of, typed

UID = "2.25.4711"
BEGUN = datetime(2026, 11, 21, 6, 40, tzinfo=UTC)


async def _study(hospital: Hospital, uid: str) -> Resource:
    (study,) = await hospital.found("ImagingStudy", "urn:dicom:uid", f"urn:oid:{uid}")
    return study


async def test_images_made_by_the_worklist_are_linked_and_move_the_order_on(hospital: Hospital) -> None:
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await hospital.jobs("worklist")
    first = await hospital.register(images_of(row, 1, started=BEGUN, description="Chest"))
    assert (first.by, (first.row and first.row.step)) == ("study-uid", "in-progress")
    assert await hospital.jobs("worklist") == [{"order": row.id}]  # with the first images it leaves the worklist
    last = await hospital.register(images_of(row, 2, 3, quiet=True))
    assert (last.row and last.row.step) == "images-available"
    study = await _study(hospital, row.study_uid or "")
    assert study["status"] == "available"
    assert study["basedOn"] == [{"reference": f"ServiceRequest/{row.id}"}]
    assert study["subject"] == {"reference": f"Patient/{row.patient_id}"}
    assert (study["numberOfSeries"], study["numberOfInstances"], study["started"]) == (
        1,
        3,
        "2026-11-21T06:40:00+00:00",
    )
    assert study["modality"] == [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]
    assert [one["number"] for one in study["series"][0]["instance"]] == [1, 2, 3]
    assert study["series"][0]["numberOfInstances"] == 3
    assert study["description"] == "Chest"
    assert await hospital.jobs("worklist") == []


async def test_the_study_says_where_its_images_are(hospital: Hospital) -> None:
    await hospital.register(images(UID, 1))
    await hospital.register(images(UID, 2))
    study = await _study(hospital, UID)
    endpoints = [await hospital.get("Endpoint", one["reference"].split("/")[1]) for one in study["endpoint"]]
    assert [(one["connectionType"]["code"], one["address"]) for one in endpoints] == [
        ("dicom-wado-rs", "http://127.0.0.1:8000/dicom-web"),
        ("ihe-iid", f"http://127.0.0.1:8000/viewer/iid?requestType=STUDY&studyUID={UID}"),
    ]
    assert {one["payloadType"][0]["coding"][0]["code"] for one in endpoints} == {"113014"}
    assert len(await hospital.store.view(lambda tx: tx.search(Query("Endpoint")).rows)) == 2


async def test_images_seen_twice_are_counted_once(hospital: Hospital) -> None:
    await hospital.register(images(UID, 1, 2))
    again = await hospital.register(images(UID, 1, 2))
    assert again.stored.version == 1
    await hospital.register(images(UID, 2, 3))
    study = await _study(hospital, UID)
    assert (study["numberOfInstances"], len(study["series"][0]["instance"])) == (3, 3)


async def test_a_study_nobody_ordered_is_shown_for_a_patient_new_to_us(hospital: Hospital) -> None:
    facts = images(
        UID, 1, patient_id="900", issuer="ARC", patient_name="ΝΕΟΣ^Άνθρωπος^^Dr", birth_date="1980-01-01", sex="M"
    )
    found = await hospital.register(facts)
    study = await _study(hospital, UID)
    assert (found.by, "basedOn" in study) == ("none", False)
    patient = await hospital.get("Patient", study["subject"]["reference"].split("/")[1])
    assert patient["identifier"] == [{"system": "urn:interop:ns:HOSP:ARC", "value": "900"}]
    assert patient["name"] == [{"family": "ΝΕΟΣ", "given": ["Άνθρωπος"], "prefix": ["Dr"]}]
    assert (patient["birthDate"], patient["gender"]) == ("1980-01-01", "male")
    other = await hospital.register(images("2.25.2", 1, patient_id="900", issuer="ARC"))
    assert other.stored.resource()["subject"] == study["subject"]


async def test_images_without_a_patient_id_are_shown_too(hospital: Hospital) -> None:
    await hospital.register(images(UID, 1, patient_name="X-RAY^PHANTOM"))
    assert (await _study(hospital, UID))["subject"]["reference"].startswith("Patient/")


@pytest.mark.parametrize("issuer", [None, "IMG"])
async def test_images_with_an_own_study_uid_are_matched_by_accession(hospital: Hospital, issuer: str | None) -> None:
    row = await hospital.row((await hospital.send(orm(accession="A1"))).orders[0])
    found = await hospital.register(images(UID, 1, accession="A1", accession_issuer=issuer, patient_id="100234"))
    assert (found.by, found.row and found.row.id) == ("accession", row.id)


async def test_an_accession_number_of_another_issuer_is_not_ours(hospital: Hospital) -> None:
    await hospital.send(orm(accession="A1"))
    found = await hospital.register(images(UID, 1, accession="A1", accession_issuer="ELSEWHERE", patient_id="100234"))
    assert found.row is None


async def test_an_accession_number_of_the_ris_is_found_by_its_number_alone(hospital: Hospital) -> None:
    stored = await hospital.post(
        an_order(await hospital.patient(), identifier=[typed("ACSN", "urn:interop:ns:HOSP:RIS", "R5")])
    )
    found = await hospital.register(images(UID, 1, accession="R5", patient_id="100234"))
    assert found.row is not None
    assert found.row.id == stored.id


@pytest.mark.parametrize("by", ["study-uid", "accession"])
async def test_images_of_another_patient_are_not_linked_whatever_else_agrees(hospital: Hospital, by: str) -> None:
    row = await hospital.row((await hospital.send(orm(accession="A1"))).orders[0])
    facts = images_of(row, 1, patient_id="666")
    if by == "accession":
        facts = replace(images(UID, 1, accession="A1"), patient_id="666")
    found = await hospital.register(facts)
    assert (found.row, found.by) == (None, "other-patient")
    study = await _study(hospital, facts.study_uid)
    assert "basedOn" not in study
    assert study["subject"]["reference"] != f"Patient/{row.patient_id}"
    assert (await hospital.row(row.id)).step == "scheduled"
    events = await hospital.store.view(
        lambda tx: tx.search(Query("AuditEvent", (Clause("outcome", "token", (TokenValue(None, "4"),)),))).rows
    )
    assert len(events) == 1


def _later(hours: float) -> datetime:
    return datetime(2026, 11, 21, 6, 30, tzinfo=UTC) + timedelta(hours=hours)


def _unnumbered(**more: object) -> StudyFacts:
    return images(UID, 1, **{"patient_id": "100234", "issuer": "HOSP", "birth_date": "1967-03-21", **more})


async def test_time_is_asked_last_and_only_of_the_same_patient(hospital: Hospital) -> None:
    row = await hospital.row((await hospital.send(orm())).orders[0])
    assert (await hospital.register(_unnumbered(started=_later(25)))).by == "none"
    early = replace(_unnumbered(started=_later(-5)), study_uid="2.25.4")
    assert (await hospital.register(early)).by == "none"
    strangers = replace(_unnumbered(started=_later(1), birth_date="1967-03-22"), study_uid="2.25.2")
    assert (await hospital.register(strangers)).by == "none"
    found = await hospital.register(replace(_unnumbered(started=_later(1)), study_uid="2.25.3"))
    assert (found.by, found.row and found.row.id) == ("time-window", row.id)


async def test_time_does_not_choose_between_two_orders(hospital: Hospital) -> None:
    await hospital.send(orm())
    await hospital.send(orm(placer="P2"))
    found = await hospital.register(_unnumbered(started=_later(1)))
    assert (found.row, found.by) == (None, "ambiguous")


async def test_time_without_an_hour_is_no_time(hospital: Hospital) -> None:
    await hospital.send(orm())
    assert (await hospital.register(_unnumbered(started=date(2026, 11, 21)))).by == "none"


async def test_an_order_that_comes_after_its_images_is_linked(hospital: Hospital) -> None:
    await hospital.register(images(UID, 1, accession="A1", patient_id="100234", issuer="HOSP"))
    await hospital.register(images("2.25.2", 1, patient_id="100234", issuer="HOSP"))
    study = await _study(hospital, UID)
    assert "basedOn" not in study
    one = await hospital.send(orm(accession="A1"))
    two = await hospital.send(orm(placer="P2", study="2.25.2"))
    for reply, uid in ((one, UID), (two, "2.25.2")):
        assert (await _study(hospital, uid))["basedOn"] == [{"reference": f"ServiceRequest/{reply.orders[0]}"}]
        assert (await hospital.row(reply.orders[0])).step == "images-available"


async def test_images_after_the_report_change_nothing_of_the_order(hospital: Hospital) -> None:
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await hospital.register(images_of(row, 1, quiet=True))
    await hospital.send(oru())
    await hospital.register(images_of(row, 2, quiet=True))
    assert (await hospital.row(row.id)).step == "reported"


async def test_what_is_gone_from_the_archive_is_gone_from_the_study(hospital: Hospital) -> None:
    await hospital.register(images(UID, 1, 2))
    await hospital.register(images(UID, 1, series=2, modality="SR"))
    await hospital.register(replace(images(UID, 2), whole=True))
    study = await _study(hospital, UID)
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (1, 1)
    assert [one["code"] for one in study["modality"]] == ["CT"]
    await hospital.register(StudyFacts(UID, whole=True))
    study = await _study(hospital, UID)
    assert (study["status"], study["numberOfInstances"], "series" in study) == ("cancelled", 0, False)


@pytest.mark.parametrize("type", ["ImagingStudy", "Endpoint", "AuditEvent"])
async def test_studies_are_the_servers_to_write(hospital: Hospital, type: str) -> None:
    with pytest.raises(ForbiddenError):
        await hospital.post({"resourceType": type})
    with pytest.raises(ForbiddenError):
        await hospital.put({"resourceType": type, "id": "1"})
    with pytest.raises(ForbiddenError):
        await hospital.delete(type, "1")


async def test_a_study_leaves_its_trace(hospital: Hospital) -> None:
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await hospital.register(images_of(row, 1))
    await hospital.register(images_of(row, 2, quiet=True))
    events = await hospital.store.view(lambda tx: [one.resource() for one in tx.search(Query("AuditEvent")).rows])
    matched = [one for one in events if one["subtype"][0]["code"] == "study-uid"]
    assert len(matched) == 1
    assert any(entity["what"].get("reference") == f"Patient/{row.patient_id}" for entity in matched[0]["entity"])


async def test_a_study_grows_at_a_cost_that_does_not_grow(hospital: Hospital) -> None:
    stored = await hospital.post(a_patient("100234"))
    assert stored.version == 1
    await hospital.register(images(UID, *range(500)))
    seen: list[int] = []

    def count(tx: object) -> None:
        from interop.workflow import studies

        original = tx.session.rows  # type: ignore[attr-defined]
        tx.session.rows = lambda *given: (seen.append(1), original(*given))[1]  # type: ignore[attr-defined]
        studies.register(tx, hospital.site, images(UID, 1000))  # type: ignore[arg-type]

    await hospital.store.unit(EMR, count)
    assert len(seen) < 25


async def _moved_to(hospital: Hospital, row: OrderRow, patient_id: str) -> Registered:
    """The archive gives the images of an order to somebody else."""
    return await hospital.register(images_of(row, 1, patient_id=patient_id, whole=True, quiet=True, moved=True))


async def test_images_that_the_archive_gives_to_another_patient_leave_the_order(hospital: Hospital) -> None:
    row = await hospital.row((await hospital.send(orm())).orders[0])
    await hospital.register(images_of(row, 1, quiet=True))
    assert (await hospital.row(row.id)).step == "images-available"
    found = await _moved_to(hospital, row, "666")
    assert (found.row, found.by) == (None, "other-patient")
    study = await _study(hospital, images_of(row).study_uid)
    assert "basedOn" not in study
    patient = await hospital.get("Patient", study["subject"]["reference"].removeprefix("Patient/"))
    assert patient["identifier"][0]["value"] == "666"
    assert (await hospital.row(row.id)).step == "scheduled"


async def test_images_that_the_archive_gives_to_the_orders_patient_find_the_order(hospital: Hospital) -> None:
    row = await hospital.row((await hospital.send(orm())).orders[0])
    assert (await hospital.register(images_of(row, 1, patient_id="666", quiet=True))).row is None
    found = await _moved_to(hospital, row, "100234")
    assert found.row is not None
    study = await _study(hospital, images_of(row).study_uid)
    assert study["subject"]["reference"] == f"Patient/{row.patient_id}"
    assert (await hospital.row(row.id)).step == "images-available"


async def test_a_persons_match_stays_where_the_archive_moves_the_images(hospital: Hospital) -> None:
    row = await hospital.row((await hospital.send(orm())).orders[0])
    uid = (await hospital.register(images_of(row, 1, patient_id="666", quiet=True))).stored.resource()
    await hospital.store.unit(EMR, lambda tx: deciding.resolve(tx, hospital.site, uid_of(uid), row.id))
    found = await _moved_to(hospital, row, "667")
    assert found.row is not None
    assert (await _study(hospital, uid_of(uid)))["subject"]["reference"] == f"Patient/{row.patient_id}"


async def test_a_study_gone_from_the_archive_keeps_what_it_was(hospital: Hospital) -> None:
    await hospital.register(images(UID, 1, accession="A7", description="Thorax"))
    await hospital.register(StudyFacts(UID, whole=True))
    study = await _study(hospital, UID)
    assert (study["status"], study["description"], study["identifier"][1]["value"]) == ("cancelled", "Thorax", "A7")


async def test_what_the_archive_says_no_more_is_shown_no_more(hospital: Hospital) -> None:
    await hospital.register(images(UID, 1, accession="A7", description="Thorax"))
    await hospital.register(images(UID, 1, whole=True))
    study = await _study(hospital, UID)
    assert "description" not in study
    assert len(study["identifier"]) == 1


async def test_what_images_say_in_codes_is_shown_in_codes(hospital: Hospital) -> None:
    facts = images(UID, 1)
    tina = Person("Tech^Tina", Coded("77", "99STAFF", "Tina"))
    acting = (tina, Person("^^^^"), Person("", Coded("5", "1.2.3", "Perf")), Person("", Coded("urn:oid:1.9", "")))
    series = replace(facts.series[0], body_part="KNEE", laterality="L", performers=acting)
    other = replace(series, uid="2.25.9", body_part="ODD", region=Coded("818981001", "SCT", "Abdomen"), performers=())
    odd = replace(series, uid="2.25.10", body_part="ODD", laterality=None)
    said = replace(
        facts,
        series=(series, other, odd),
        procedures=(Coded("24627-2", "LN", "CT Chest"), Coded("P1", "99RIS"), Coded("urn:oid:1.2", "")),
        reason="cough",
        readers=(Person("Read^Rita^^Dr"), Person("")),
    )
    await hospital.register(said)
    study = await _study(hospital, UID)
    assert [one["coding"][0]["system"] for one in study["procedureCode"]] == [
        "http://loinc.org",
        local_code_system(hospital.site.facility, "RIS"),
        "urn:ietf:rfc:3986",
    ]
    assert study["procedureCode"][0]["text"] == "CT Chest"
    assert study["reasonCode"] == [{"text": "cough"}]
    assert study["interpreter"] == [{"display": "Dr Rita Read"}]
    shown = {one["uid"]: one for one in study["series"]}
    assert shown[series.uid]["bodySite"] == {"system": names.SNOMED, "code": "72696002", "display": "Knee"}
    staff = hospital.site.tables.authorities.system_of("STAFF", "", "", facility=hospital.site.facility, role="person")
    assert [one["actor"] for one in shown[series.uid]["performer"]] == [
        {"type": "Practitioner", "identifier": {"system": staff, "value": "77"}, "display": "Tina Tech"},
        {"type": "Practitioner", "identifier": {"system": "urn:oid:1.2.3", "value": "5"}, "display": "Perf"},
        {"type": "Practitioner", "identifier": {"value": "urn:oid:1.9"}},
    ]
    validate(study)
    assert shown["2.25.9"]["bodySite"]["code"] == "818981001"
    assert shown["2.25.10"]["bodySite"] == {"display": "ODD"}


async def test_where_it_was_made_and_of_what_is_shown(hospital: Hospital) -> None:
    facts = images(UID, 1, department="Radiology 2")
    of = (("S-1", "1.2.3"), ("S-2", None))
    await hospital.register(replace(facts, series=(replace(facts.series[0], specimens=of),)))
    study = await _study(hospital, UID)
    validate(study)
    assert study["location"] == {"display": "Radiology 2"}
    assert study["series"][0]["specimen"] == [
        {"type": "Specimen", "identifier": {"value": "S-1", "system": "urn:oid:1.2.3"}},
        {"type": "Specimen", "identifier": {"value": "S-2"}},
    ]


async def test_the_side_of_a_series_is_that_of_its_images(hospital: Hospital) -> None:
    def mammograms(*sides: str | None, first: int = 1, **more: Any) -> StudyFacts:
        facts = images(UID, *range(first, first + len(sides)), modality="MG", **more)
        instances = [replace(one, laterality=side) for one, side in zip(facts.series[0].instances, sides, strict=True)]
        return replace(facts, series=(replace(facts.series[0], instances=tuple(instances)),))

    async def side() -> str | None:
        shown = (await _study(hospital, UID))["series"][0].get("laterality")
        return shown and str(shown["display"])

    await hospital.register(mammograms(None))
    assert await side() is None
    await hospital.register(mammograms("L", "L", first=2))
    assert await side() == "Left"
    await hospital.register(mammograms("R", first=4))
    assert await side() == "Right and left"
    await hospital.register(mammograms("R", "R", whole=True))
    assert await side() == "Right"
    whole = mammograms("R", "L", whole=True)
    await hospital.register(replace(whole, series=(replace(whole.series[0], laterality="L"),)))
    assert await side() == "Left"  # the series says so itself


async def test_a_name_in_several_scripts_is_kept_in_each(hospital: Hospital) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    await hospital.register(images(UID, 1, patient_id="777", patient_name=name))
    study = await _study(hospital, UID)
    patient = await hospital.get("Patient", study["subject"]["reference"].removeprefix("Patient/"))
    assert [one["family"] for one in patient["name"]] == ["Yamada", "山田", "やまだ"]
    assert [one["extension"][0]["valueCode"] for one in patient["name"]] == ["ABC", "IDE", "SYL"]


async def test_numbers_that_are_no_numbers_of_fhir_are_left_out(hospital: Hospital) -> None:
    facts = images(UID, 1)
    image = replace(facts.series[0].instances[0], number=2**31)
    await hospital.register(replace(facts, series=(replace(facts.series[0], number=-3, instances=(image,)),)))
    (series,) = (await _study(hospital, UID))["series"]
    assert "number" not in series
    assert "number" not in series["instance"][0]


@pytest.mark.parametrize(
    ("name", "by"), [("Yamada^Tarou=山田^太郎", "study-uid"), ("Yamada^Jirou=山田^次郎", "other-patient")]
)
async def test_a_name_agrees_in_any_script(hospital: Hospital, name: str, by: str) -> None:
    names = [{"family": "山田", "given": ["太郎"]}]
    stored = await hospital.post(an_order(await hospital.patient(name=names, birthDate="1970-01-01")))
    facts = images_of(await hospital.row(stored.id), 1, patient_name=name, birth_date="1970-10-01")
    assert (await hospital.register(facts)).by == by


@pytest.mark.parametrize("by", ["contradiction", "ambiguous"])
async def test_the_end_of_a_burst_changes_no_decision(hospital: Hospital, by: str) -> None:
    await hospital.send(orm(accession="A1"))
    await hospital.send(orm(placer="P2"))
    facts = _unnumbered(started=_later(1))
    if by == "contradiction":
        facts = images(UID, 1, accession="A1", patient_id="100234", issuer="HOSP", modality="MR")
    assert (await hospital.register(facts)).by == by
    ended = await hospital.register(replace(facts, series=(), quiet=True))
    assert (ended.row, ended.by) == (None, by)
    assert "basedOn" not in await _study(hospital, facts.study_uid)


async def test_an_accession_number_that_a_later_series_says_counts(hospital: Hospital) -> None:
    row = await hospital.row((await hospital.send(orm(accession="A1"))).orders[0])
    who = {"patient_id": "100234", "issuer": "HOSP"}
    assert (await hospital.register(images(UID, 1, **who))).row is None
    found = await hospital.register(images(UID, 2, series=2, accession="A1", **who))
    assert (found.by, found.row and found.row.id) == ("accession", row.id)
    assert [one["value"] for one in (await _study(hospital, UID))["identifier"]][1:] == ["A1"]


async def test_images_of_an_order_entered_in_error_wait_for_a_person(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient()))
    row = await hospital.row(stored.id)
    order = await hospital.get("ServiceRequest", stored.id)
    await hospital.put(order | {"status": "entered-in-error"})
    found = await hospital.register(images_of(row, 1))
    assert (found.row, found.by) == (None, "order-in-error")


async def test_an_order_after_images_of_another_kind_is_not_theirs(hospital: Hospital) -> None:
    who = {"patient_id": "100234", "issuer": "HOSP"}
    await hospital.register(images(UID, 1, accession="A1", modality="MR", **who))
    row = await hospital.row((await hospital.send(orm(accession="A1"))).orders[0])
    await hospital.send(orm(accession="A1"))
    assert row.step == "scheduled"
    assert "basedOn" not in await _study(hospital, UID)
    made = await hospital.store.view(lambda tx: tx.decisions(UID))
    assert [one.rule for one in made] == ["contradiction", "none"]
    held = await hospital.store.view(lambda tx: tx.decision(UID))
    assert held is not None
    assert (held.rule, held.evidence["candidates"]) == ("contradiction", [row.id])
