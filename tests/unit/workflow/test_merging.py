"""A40 makes two patients one, A47 gives one another number; nothing of anybody is lost on the way."""

from __future__ import annotations

from datetime import date

import pytest

from interop.errors import ConflictError
from interop.fhir import names
from interop.fhir.query import Query
from interop.fhir.search import parse_query
from interop.mapping.worklist import worklist_attributes
from interop.workflow.merging import Pair, merge
from tests.hl7_messages import adt, header, message, orm, oru
from tests.hospital import EMR, MR, Hospital, Resource, a_patient, an_order, images_of

STAYS = "PID|1||200^^^HOSP^MR||Παπαδόπουλος^Νίκος||19670321|M"
PRIOR = "PID|1||100^^^HOSP^MR||Papadopoulos^Nick||19670321|M"


def merging(
    survivor: str = "200", prior: str = "100", event: str = "A40", more: str = "", id: str | None = None
) -> bytes:
    """An A40 as a RIS sends it."""
    pid = f"PID|1||{survivor}^^^HOSP^MR{more}||Παπαδόπουλος^Νίκος||19670321|M"
    return message(header(f"ADT^{event}^ADT_A39"), f"EVN|{event}|20261120101500", pid, f"MRG|{prior}^^^HOSP^MR")


async def one(hospital: Hospital, number: str) -> Resource:
    """The one patient with that number."""
    (found,) = await hospital.found("Patient", MR, number)
    return found


async def about(hospital: Hospital, type: str, patient: str) -> list[str]:
    """The ids of what is about that patient."""
    query = parse_query(type, [("patient", patient)], hospital.site.zone)
    return await hospital.store.view(lambda tx: [row.id for row in tx.search(query).rows])


async def test_the_prior_patient_ends_and_everything_about_it_goes_over(hospital: Hospital) -> None:
    placed = await hospital.send(orm(patient=PRIOR))
    row = await hospital.row(placed.orders[0])
    registered = await hospital.register(images_of(row, 1, 2, patient_id="100"))
    await hospital.send(oru(patient=PRIOR))
    await hospital.send(adt("A04", patient=STAYS))
    prior, stays = (await one(hospital, "100"))["id"], (await one(hospital, "200"))["id"]
    reply = await hospital.send(merging())
    assert (reply.code, reply.issues) == ("AA", ())
    after = await hospital.get("Patient", prior)
    assert after["active"] is False
    assert after["link"] == [{"other": {"reference": f"Patient/{stays}"}, "type": "replaced-by"}]
    survivor = await hospital.get("Patient", stays)
    assert survivor["link"] == [{"other": {"reference": f"Patient/{prior}"}, "type": "replaces"}]
    assert [(i["value"], i.get("use")) for i in survivor["identifier"]] == [("200", None), ("100", "old")]
    assert survivor["name"][0]["family"] == "Παπαδόπουλος"
    assert (await one(hospital, "100"))["id"] == stays  # whoever searches the merged number finds the survivor
    assert (await hospital.row(row.id)).patient_id == stays
    for type in ("ServiceRequest", "ImagingStudy", "DiagnosticReport", "Observation"):
        found = await about(hospital, type, f"Patient/{stays}")
        assert found, type
        assert await about(hospital, type, f"Patient/{prior}") == found, type  # who asks for the prior is led on
    left = await hospital.store.view(lambda tx: tx.referrers("Patient", prior, limit=50))
    assert left == [("Patient", stays)]
    study = await hospital.get("ImagingStudy", registered.stored.id)
    assert (study["numberOfInstances"], len(study["series"][0]["instance"])) == (2, 2)


async def test_the_worklist_is_written_anew_with_the_survivors_number(hospital: Hospital) -> None:
    placed = await hospital.send(orm(patient=PRIOR))
    await hospital.jobs("worklist")
    await hospital.send(merging())
    assert {"order": placed.orders[0]} in await hospital.jobs("worklist")


async def test_it_is_audited_for_both(hospital: Hospital) -> None:
    await hospital.send(orm(patient=PRIOR))
    prior = (await one(hospital, "100"))["id"]
    await hospital.send(merging())
    stays = (await one(hospital, "200"))["id"]
    query = parse_query("AuditEvent", [("patient", f"Patient/{prior}"), ("subtype", "A40")], hospital.site.zone)
    (event,) = await hospital.store.view(lambda tx: [row.resource() for row in tx.search(query).rows])
    assert event["outcomeDesc"] == f"merged into Patient/{stays}; moved: 1 ServiceRequest"
    query = Query("AuditEvent", parse_query("AuditEvent", [("patient", stays)], hospital.site.zone).clauses)
    assert await hospital.store.view(lambda tx: len(tx.search(query).rows)) == 1


async def test_a_merge_of_nobody_known_is_accepted_and_noted_and_the_number_leads_on(hospital: Hospital) -> None:
    reply = await hospital.send(merging())
    assert reply.code == "AA"
    assert [(i.severity, i.hl7_code, i.location) for i in reply.issues] == [("warning", "204", "MRG-1")]
    placed = await hospital.send(orm(patient=PRIOR))
    assert (await hospital.row(placed.orders[0])).patient_id == (await one(hospital, "200"))["id"]


async def test_merging_what_is_one_already_changes_nothing(hospital: Hospital) -> None:
    await hospital.send(adt("A04", patient=PRIOR))
    await hospital.send(merging())
    before = await one(hospital, "200")
    reply = await hospital.send(merging())
    assert (reply.code, [issue.severity for issue in reply.issues]) == ("AA", ["information"])
    assert await one(hospital, "200") == before
    reply = await hospital.send(merging("200", "200"))
    assert (reply.code, [issue.severity for issue in reply.issues]) == ("AA", ["information"])
    assert await one(hospital, "200") == before


async def test_a_chain_of_merges_ends_at_the_last(hospital: Hospital) -> None:
    placed = await hospital.send(orm(patient=PRIOR))
    first = (await one(hospital, "100"))["id"]
    await hospital.send(merging("200", "100"))
    second = (await one(hospital, "200"))["id"]
    await hospital.send(merging("300", "200"))
    last = await one(hospital, "300")
    assert [(i["value"], i.get("use")) for i in last["identifier"]] == [("300", None), ("200", "old"), ("100", "old")]
    for number in ("100", "200"):
        assert (await one(hospital, number))["id"] == last["id"]
    assert (await hospital.row(placed.orders[0])).patient_id == last["id"]
    links = [(await hospital.get("Patient", id))["link"] for id in (first, second)]
    assert links[0] == [{"other": {"reference": f"Patient/{second}"}, "type": "replaced-by"}]
    assert [one["type"] for one in links[1]] == ["replaces", "replaced-by"]


async def test_later_messages_with_the_prior_number_are_about_the_survivor(hospital: Hospital) -> None:
    await hospital.send(orm(patient=PRIOR))
    await hospital.send(merging())
    stays = (await one(hospital, "200"))["id"]
    placed = await hospital.send(orm(patient=PRIOR, placer="P2"))
    await hospital.send(adt("A08", patient=PRIOR.replace("Nick", "Nikolaos")))
    assert (await hospital.send(orm("CA", patient=PRIOR))).code == "AA"
    assert (await hospital.row(placed.orders[0])).patient_id == stays
    assert (await one(hospital, "100"))["name"][0]["given"] == ["Nikolaos"]
    images = await hospital.register(images_of(await hospital.row(placed.orders[0]), 1, patient_id="100"))
    assert (images.by, images.stored.resource()["subject"]["reference"]) == ("study-uid", f"Patient/{stays}")


async def test_merged_back_the_number_that_stays_is_in_use_again(hospital: Hospital) -> None:
    await hospital.send(adt("A04", patient=PRIOR))
    await hospital.send(merging("200", "100"))
    await hospital.send(merging("100", "200"))
    assert [(i["value"], i.get("use")) for i in (await one(hospital, "100"))["identifier"]] == [
        ("100", None),
        ("200", "old"),
    ]


async def test_a_survivor_who_names_the_prior_number_too_is_still_the_survivor(hospital: Hospital) -> None:
    await hospital.send(adt("A04", patient=PRIOR))
    await hospital.send(adt("A04", patient=STAYS))
    reply = await hospital.send(merging(more="~100^^^HOSP^MR"))
    assert reply.code == "AA"
    assert [(i["value"], i.get("use")) for i in (await one(hospital, "200"))["identifier"]] == [
        ("200", None),
        ("100", "old"),
    ]


async def test_what_is_known_of_the_prior_alone_fills_the_survivors_blanks(hospital: Hospital) -> None:
    await hospital.post(a_patient("100", telecom=[{"system": "phone", "value": "1"}], active=True))
    await hospital.send(message(header("ADT^A40"), "PID|1||200^^^HOSP^MR", "MRG|100^^^HOSP^MR"))
    after = await one(hospital, "200")
    assert (after["birthDate"], after["telecom"][0]["value"], after["name"][0]["given"]) == (
        "1967-03-21",
        "1",
        ["Νίκος"],
    )


async def test_several_merges_in_one_message(hospital: Hospital) -> None:
    await hospital.send(adt("A04", patient=PRIOR))
    raw = message(
        header("ADT^A40"),
        "EVN||20261120",
        STAYS,
        "MRG|100^^^HOSP^MR",
        "PID|1||500^^^HOSP^MR||B^C",
        "MRG|400^^^HOSP^MR~401^^^HOSP^MR",
    )
    reply = await hospital.send(raw)
    assert (reply.code, [issue.location for issue in reply.issues]) == ("AA", ["MRG[2]-1"])
    assert [(i["value"]) for i in (await one(hospital, "500"))["identifier"]] == ["500", "400", "401"]


@pytest.mark.parametrize(
    ("segments", "location"),
    [
        ((STAYS,), "PID"),
        (("MRG|100^^^HOSP^MR",), "MRG"),
        ((STAYS, "PID|1||5^^^HOSP^MR", "MRG|100^^^HOSP^MR"), "PID"),
        ((STAYS, "MRG|"), "MRG-1"),
        ((STAYS, "MRG|100^^^HOSP^AN"), "MRG-1"),
        (("PID|1||||A^B", "MRG|100^^^HOSP^MR"), "PID-3"),
    ],
)
async def test_what_names_only_one_of_the_two_is_refused(
    hospital: Hospital, segments: tuple[str, ...], location: str
) -> None:
    reply = await hospital.send(message(header("ADT^A40"), "EVN||20261120", *segments))
    assert (reply.code, reply.issues[0].location) == ("AE", location)


async def test_a_client_cannot_undo_a_merge_by_leaving_it_out(hospital: Hospital) -> None:
    await hospital.send(adt("A04", patient=PRIOR))
    prior = await one(hospital, "100")
    await hospital.send(merging())
    stays = await one(hospital, "200")
    await hospital.put({**a_patient("200"), "id": stays["id"]})
    after = await one(hospital, "100")
    assert (after["id"], after["link"]) == (stays["id"], stays["link"])
    with pytest.raises(ConflictError, match="was merged into"):
        await hospital.put(prior)


async def test_an_order_that_waited_for_a_name_is_scheduled_under_the_survivor(hospital: Hospital) -> None:
    stored = await hospital.post({"resourceType": "Patient", "identifier": [{"system": MR, "value": "100"}]})
    order = await hospital.post(an_order(stored.reference))
    assert (await hospital.row(order.id)).missing == "the patient has no name"
    await hospital.send(merging())
    row = await hospital.row(order.id)
    assert (row.missing, row.scheduled) == ("", True)


async def test_orders_of_no_imaging_go_over_too(hospital: Hospital) -> None:
    patient = await hospital.patient("100")
    plan = await hospital.post(an_order(patient, None, intent="plan"))
    await hospital.send(merging())
    stays = await one(hospital, "200")
    assert (await hospital.get("ServiceRequest", plan.id))["subject"]["reference"] == f"Patient/{stays['id']}"


# A47


async def test_a_corrected_number_leaves_the_old_one_free_for_somebody_else(hospital: Hospital) -> None:
    placed = await hospital.send(orm(patient=PRIOR))
    await hospital.jobs("worklist")
    reply = await hospital.send(merging("200", "100", "A47"))
    assert (reply.code, reply.issues) == ("AA", ())
    patient = await one(hospital, "200")
    assert [(i["value"], i.get("use")) for i in patient["identifier"]] == [("200", None), ("100", "old")]
    assert patient["identifier"][1]["period"]["end"]
    assert patient["name"][0]["given"] == ["Νίκος"]
    assert "link" not in patient
    assert await hospital.jobs("worklist") == [{"order": placed.orders[0]}]
    other = await hospital.send(orm(patient="PID|1||100^^^HOSP^MR||Somebody^Else", placer="P2"))
    assert (await hospital.row(other.orders[0])).patient_id != patient["id"]
    row = await hospital.row(placed.orders[0])
    assert (await hospital.register(images_of(row, 1, patient_id="100"))).by == "study-uid"


async def test_a_corrected_number_that_is_another_patients_is_refused(hospital: Hospital) -> None:
    await hospital.send(adt("A04", patient=PRIOR))
    await hospital.send(adt("A04", patient=STAYS))
    reply = await hospital.send(merging("200", "100", "A47"))
    assert (reply.code, reply.issues[0].location) == ("AR", "PID-3")


async def test_a_corrected_number_of_nobody_makes_the_patient(hospital: Hospital) -> None:
    reply = await hospital.send(merging("200", "100", "A47"))
    assert (reply.code, [i.hl7_code for i in reply.issues]) == ("AA", ["204"])
    assert await one(hospital, "200")
    assert not await hospital.found("Patient", MR, "100")


async def test_prior_numbers_of_two_patients_are_refused(hospital: Hospital) -> None:
    await hospital.send(adt("A04", patient=PRIOR))
    await hospital.send(adt("A04", patient=STAYS))
    raw = message(header("ADT^A47"), "PID|1||300^^^HOSP^MR||A^B", "MRG|100^^^HOSP^MR~200^^^HOSP^MR")
    assert (await hospital.send(raw)).issues[0].location == "MRG-1"


async def test_corrected_back_the_first_number_is_in_use_again(hospital: Hospital) -> None:
    await hospital.send(adt("A04", patient=PRIOR))
    await hospital.send(merging("200", "100", "A47"))
    await hospital.send(merging("100", "200", "A47"))
    assert [(i["value"], i.get("use")) for i in (await one(hospital, "100"))["identifier"]] == [
        ("100", None),
        ("200", "old"),
    ]
    posted = await hospital.post(a_patient("200"))  # and the other is free
    assert posted.id != (await one(hospital, "100"))["id"]


async def test_a_merge_that_fails_leaves_both_as_they_were(hospital: Hospital) -> None:
    await hospital.send(orm(patient=PRIOR))
    before = await one(hospital, "100")

    def broken(tx: object) -> None:
        pair = Pair({**a_patient("200")}, {"identifier": [{"system": MR, "value": "100"}]})
        merge(tx, hospital.site, pair, "ADT^A40")  # type: ignore[arg-type]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await hospital.store.unit(EMR, broken)
    assert await one(hospital, "100") == before
    assert not await hospital.found("Patient", MR, "200")


async def test_what_the_worklist_shows_is_the_number_in_use(hospital: Hospital) -> None:
    former = {"type": {"coding": [{"system": names.V2_0203, "code": "MR"}]}, "system": MR, "value": "1", "use": "old"}
    patient = {
        "resourceType": "Patient",
        "name": [{"family": "X"}],
        "identifier": [{"system": MR, "value": "200"}, former],
    }
    site = hospital.site
    found = worklist_attributes(
        an_order("Patient/1"),
        patient,
        station_aet="CT1",
        modality="CT",
        start=date(2026, 11, 22),
        location=None,
        zone=site.zone,
        facility=site.facility,
        tables=site.tables,
    )
    assert found["PatientID"] == "200"
