"""One order has one life, whichever door it came through."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from interop.errors import (
    ConflictError,
    DuplicateError,
    GoneError,
    IllegalTransitionError,
    InteropError,
    InvalidContentError,
    PreconditionError,
)
from interop.store import Store
from interop.workflow import orders
from tests.hl7_messages import orm
from tests.hospital import EMR, MR, PLACER, Hospital, a_patient, an_order, typed
from tests.sites import with_locations, without_stations

ROOM_2 = {"resourceType": "Location", "id": "place", "name": "CT room 2"}


def _numbers(order: dict[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for identifier in order["identifier"]:  # type: ignore[attr-defined]
        kinds = identifier.get("type", {}).get("coding", [{"code": "UID"}])
        found[kinds[0]["code"]] = identifier["value"]
    return found


async def test_a_new_order_gets_its_numbers_once(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient()))
    order = stored.resource()
    numbers = _numbers(order)
    assert set(numbers) == {"PLAC", "ACSN", "RPID", "SPSID", "UID"}
    assert numbers["ACSN"].startswith("IMG")
    assert all(len(numbers[kind]) <= 16 for kind in ("ACSN", "RPID", "SPSID"))
    assert numbers["UID"].startswith("urn:oid:2.25.")
    assert order["extension"] == [{"url": "urn:interop:StructureDefinition:order-step", "valueCode": "scheduled"}]
    row = await hospital.row(stored.id)
    assert (row.scheduled, row.modality, row.stations, row.missing) == (True, "CT", ("CT1", "CT2"), "")
    assert (row.accession and row.accession.value) == numbers["ACSN"]
    assert (row.start and row.start.isoformat()) == "2026-11-21T06:30:00+00:00"
    assert await hospital.jobs("worklist") == [{"order": stored.id}]


async def test_accession_numbers_are_never_given_twice(hospital: Hospital) -> None:
    patient = await hospital.patient()
    taken = await hospital.post(
        an_order(patient, "P0", identifier=[typed("ACSN", "urn:interop:IMG:accession", "IMG26000002")])
    )
    made = [await hospital.post(an_order(patient, f"P{n}")) for n in range(1, 6)]
    accessions = {_numbers(one.resource())["ACSN"] for one in (taken, *made)}
    assert len(accessions) == 6


async def test_the_same_order_from_both_doors_is_one(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient()))
    reply = await hospital.send(orm(filler="F7", code="24627-2^CT Chest^LN"))
    assert (reply.code, reply.orders) == ("AA", (stored.id,))
    order = await hospital.get("ServiceRequest", stored.id)
    assert _numbers(order)["FILL"] == "F7"
    assert _numbers(order).items() >= _numbers(stored.resource()).items()
    again = await hospital.post(an_order(stored.resource()["subject"]["reference"]))
    assert again.id == stored.id


async def test_an_order_of_the_ris_is_found_when_the_emr_posts_it(hospital: Hospital) -> None:
    reply = await hospital.send(orm())
    row = await hospital.row(reply.orders[0])
    posted = an_order(f"Patient/{row.patient_id}", reasonCode=[{"text": "cough"}], note=[{"text": "by wheelchair"}])
    stored = await hospital.post(posted)
    assert stored.id == row.id
    assert stored.resource()["reasonCode"] == [{"text": "cough"}]  # a blank is filled
    assert stored.resource()["code"]["coding"][0]["code"] == "CTCH"  # what the RIS said stays
    assert (await hospital.row(row.id)).origin == "hl7:RIS|HOSP"


async def test_what_the_other_door_says_differently_is_reported_and_changes_nothing(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient(), priority="stat"))
    reply = await hospital.send(orm(start="20261122083000"))
    assert reply.code == "AA"
    said = {issue.expression: issue.severity for issue in reply.issues}
    assert said[("ServiceRequest.occurrenceDateTime",)] == "warning"
    after = await hospital.get("ServiceRequest", stored.id)
    assert after["occurrenceDateTime"] == "2026-11-21T08:30:00+02:00"
    assert b"ERR|" in reply.ack


async def test_the_same_order_again_is_answered_as_before(hospital: Hospital) -> None:
    posted = an_order(await hospital.patient())
    first = await hospital.post(posted)
    again = await hospital.post(posted)
    assert (again.id, again.version) == (first.id, first.version)
    one = await hospital.send(orm(placer="P2"))
    two = await hospital.send(orm(placer="P2"))  # another control id, the same order
    assert (two.code, two.orders, two.repeated) == ("AA", one.orders, False)


async def test_the_same_order_again_is_answered_as_before_though_it_has_changed_since(hospital: Hospital) -> None:
    posted = an_order(await hospital.patient())
    first = await hospital.post(posted)
    await hospital.put({**first.resource(), "priority": "urgent"})
    assert (await hospital.post(posted)).version == 2


async def test_other_content_under_the_same_number_is_refused_and_names_the_order(hospital: Hospital) -> None:
    patient = await hospital.patient()
    first = await hospital.post(an_order(patient))
    with pytest.raises(DuplicateError, match=first.id) as refused:
        await hospital.post(an_order(patient, priority="stat"))
    assert (refused.value.status, refused.value.issue_code) == (409, "duplicate")
    await hospital.send(orm(placer="P2"))
    reply = await hospital.send(orm(placer="P2", start="20261124083000"))
    assert (reply.code, reply.issues[0].hl7_code, reply.issues[0].location) == ("AR", "205", "ORC-2")


async def test_a_door_that_linked_an_order_is_held_to_what_it_said(hospital: Hospital) -> None:
    await hospital.post(an_order(await hospital.patient()))
    assert (await hospital.send(orm())).code == "AA"
    assert (await hospital.send(orm())).code == "AA"
    assert (await hospital.send(orm(start="20261124083000"))).code == "AR"


async def test_a_cancelled_order_is_not_placed_again_under_its_number(hospital: Hospital) -> None:
    await hospital.send(orm())
    await hospital.send(orm("CA"))
    reply = await hospital.send(orm())
    assert (reply.code, reply.issues[0].hl7_code) == ("AR", "205")


async def test_an_order_of_another_patient_is_never_linked(hospital: Hospital) -> None:
    await hospital.post(an_order(await hospital.patient("1")))
    reply = await hospital.send(orm())
    assert (reply.code, reply.issues[0].location) == ("AR", "PID-3")
    assert (await hospital.send(orm("CA"))).code == "AR"


async def test_placer_numbers_of_two_authorities_do_not_meet(hospital: Hospital) -> None:
    patient = await hospital.patient()
    one = await hospital.post(an_order(patient, None, identifier=[typed("PLAC", "urn:a", "7")]))
    two = await hospital.post(an_order(patient, None, identifier=[typed("PLAC", "urn:b", "7")]))
    assert one.id != two.id


async def test_an_order_without_a_placer_number_is_known_by_its_filler_number(hospital: Hospital) -> None:
    one = await hospital.send(orm(placer="", filler="F1"))
    two = await hospital.send(orm("XO", placer="", filler="F1", start="20261122083000"))
    assert one.orders == two.orders
    assert (await hospital.row(one.orders[0])).start is not None


async def test_a_later_message_may_name_an_order_by_the_accession_number_we_gave(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient(), None))
    accession = _numbers(stored.resource())["ACSN"]
    reply = await hospital.send(orm("XO", placer="", filler="F9", accession=accession, start="20261122083000"))
    assert reply.orders == (stored.id,)
    assert _numbers(await hospital.get("ServiceRequest", stored.id))["FILL"] == "F9"


async def test_a_change_says_what_changes_and_leaves_the_rest(hospital: Hospital) -> None:
    reply = await hospital.send(orm())
    id = reply.orders[0]
    stored = await hospital.get("ServiceRequest", id)
    await hospital.put({**stored, "note": [{"text": "claustrophobic"}]})
    await hospital.send(orm("XO", start="20261123100000"))
    after = await hospital.get("ServiceRequest", id)
    assert after["note"] == [{"text": "claustrophobic"}]
    assert after["occurrenceDateTime"] == "2026-11-23T10:00:00+02:00"
    assert after["authoredOn"] == stored["authoredOn"]
    assert _numbers(after) == _numbers(stored)


async def test_a_change_that_changes_nothing_makes_no_version(hospital: Hospital) -> None:
    reply = await hospital.send(orm())
    await hospital.jobs("worklist")
    await hospital.send(orm("XO"))
    assert (await hospital.store.view(lambda tx: tx.get("ServiceRequest", reply.orders[0]))).version == 1
    assert await hospital.jobs("worklist") == []


async def test_a_change_of_an_unknown_order_is_refused(hospital: Hospital) -> None:
    reply = await hospital.send(orm("XO", "NEVER"))
    assert (reply.code, reply.issues[0].hl7_code, reply.issues[0].location) == ("AE", "204", "ORC-2")


async def test_each_change_of_a_scheduled_order_owes_the_worklist(hospital: Hospital) -> None:
    id = (await hospital.send(orm())).orders[0]
    for message in (
        orm("XO", start="20261123100000"),
        orm("HD"),
        orm("RL"),
        orm("CA"),
    ):
        await hospital.jobs("worklist")
        await hospital.send(message)
        assert await hospital.jobs("worklist") == [{"order": id}]


async def test_a_put_that_omits_our_numbers_gets_them_back(hospital: Hospital) -> None:
    posted = an_order(await hospital.patient())
    stored = await hospital.post(posted)
    after = await hospital.put({**posted, "id": stored.id, "priority": "urgent"})
    assert _numbers(after.resource()) == _numbers(stored.resource())
    assert after.resource()["extension"] == stored.resource()["extension"]
    assert (await hospital.row(stored.id)).accession is not None


@pytest.mark.parametrize("kind", ["PLAC", "ACSN", "RPID", "SPSID", "UID"])
async def test_a_put_that_changes_a_number_is_refused(hospital: Hospital, kind: str) -> None:
    stored = await hospital.post(an_order(await hospital.patient()))
    order = stored.resource()
    for identifier in order["identifier"]:
        if kind in (identifier.get("type", {}).get("coding", [{"code": "UID"}])[0]["code"],):
            identifier["value"] = "urn:oid:2.25.1" if kind == "UID" else "OTHER"
    with pytest.raises(InvalidContentError, match="does not change") as refused:
        await hospital.put(order)
    assert refused.value.status == 422
    assert refused.value.issues[0].expression[0].startswith("ServiceRequest.identifier[")


async def test_a_put_that_changes_the_patient_is_refused(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient()))
    other = await hospital.patient("2")
    with pytest.raises(ConflictError) as refused:
        await hospital.put({**stored.resource(), "subject": {"reference": other}})
    assert refused.value.status == 422


async def test_an_illegal_status_by_put_is_refused(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient()))
    await hospital.put({**stored.resource(), "status": "revoked"})
    with pytest.raises(IllegalTransitionError):
        await hospital.put({**stored.resource(), "status": "active"})


async def test_a_put_needs_the_version_it_names(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient()))
    await hospital.put({**stored.resource(), "priority": "asap"}, if_match=1)
    with pytest.raises(PreconditionError):
        await hospital.put({**stored.resource(), "priority": "stat"}, if_match=1)


@pytest.mark.parametrize(("accession", "length"), [("A" * 16, 16), ("A" * 17, 17)])
async def test_an_accession_number_is_never_cut(hospital: Hospital, accession: str, length: int) -> None:
    order = an_order(await hospital.patient(), "P1", identifier=[typed("ACSN", None, accession)])
    if length == 16:
        assert _numbers((await hospital.post(order)).resource())["ACSN"] == accession
        return
    with pytest.raises(InvalidContentError, match="17 characters") as refused:
        await hospital.post(order)
    assert refused.value.issues[0].expression == ("ServiceRequest.identifier[0].value",)
    reply = await hospital.send(orm(accession=accession))
    assert (reply.code, reply.issues[0].location) == ("AE", "OBR-18")


async def test_an_accession_number_belongs_to_one_order_of_its_issuer(hospital: Hospital) -> None:
    patient = await hospital.patient()
    await hospital.post(an_order(patient, "P1", identifier=[typed("ACSN", None, "A1")]))
    with pytest.raises(DuplicateError):
        await hospital.post(an_order(patient, "P2", identifier=[typed("ACSN", "urn:interop:IMG:accession", "A1")]))
    await hospital.post(an_order(patient, "P3", identifier=[typed("ACSN", "urn:elsewhere", "A1")]))
    reply = await hospital.send(orm(placer="P4", accession="A1"))
    assert (reply.code, reply.issues[0].location) == ("AR", "OBR-18")


async def test_an_order_for_which_no_modality_is_known_waits_and_says_why(hospital: Hospital) -> None:
    reply = await hospital.send(orm(modality="", code="XYZ^Something new^L"))
    row = await hospital.row(reply.orders[0])
    assert (reply.code, row.status, row.step, row.scheduled) == ("AA", "active", "", False)
    assert row.missing == "no modality is known for the procedure code XYZ"
    assert "no modality is known" in reply.issues[0].text
    assert await hospital.jobs("worklist") == []
    await hospital.send(orm("XO", modality="MR", code="XYZ^Something new^L"))
    row = await hospital.row(row.id)
    assert (row.step, row.scheduled, row.stations) == ("scheduled", True, ("MR1",))


async def test_an_order_for_a_modality_without_stations_waits(hospital: Hospital) -> None:
    row = await hospital.row((await hospital.send(orm(modality="NM"))).orders[0])
    assert (row.scheduled, row.missing) == (False, "no station for NM in the list of modalities")


async def test_orders_that_waited_are_scheduled_once_their_station_is_listed(store: Store) -> None:
    full = Hospital(store)
    before = Hospital(store, without_stations(full.site))
    row = await before.row((await before.send(orm())).orders[0])
    assert not row.scheduled
    count = await store.unit(EMR, lambda tx: orders.reconsider(tx, full.site))
    row = await full.row(row.id)
    assert (count, row.scheduled, row.step) == (1, True, "scheduled")
    assert await full.jobs("worklist") == [{"order": row.id}]


async def test_a_named_station_is_the_only_one(hospital: Hospital) -> None:
    station = {"url": "urn:interop:StructureDefinition:station-ae", "valueString": "CT2"}
    stored = await hospital.post(an_order(await hospital.patient(), extension=[station]))
    assert (await hospital.row(stored.id)).stations == ("CT2",)
    other = await hospital.post(
        an_order(
            f"Patient/{(await hospital.row(stored.id)).patient_id}", "P2", extension=[{**station, "valueString": "CT9"}]
        )
    )
    assert (await hospital.row(other.id)).missing == "no station CT9 in the list of modalities"


@pytest.mark.parametrize(
    "named",
    [
        {"performer": [{"display": "ct2"}]},
        {"performer": [{"identifier": {"value": "CT2"}}]},
        {"locationReference": [{"display": "CT  room 2"}]},
        {"locationCode": [{"text": "CT ROOM 2"}]},
        {"locationReference": [{"reference": "#place"}], "contained": [ROOM_2]},
    ],
)
async def test_a_performer_or_a_place_of_the_list_chooses_the_station(
    hospital: Hospital, named: dict[str, Any]
) -> None:
    hospital.site = with_locations(hospital.site)
    stored = await hospital.post(an_order(await hospital.patient(), **named))
    assert (await hospital.row(stored.id)).stations == ("CT2",)
    await hospital.put({**stored.resource(), **{key: [{"display": "Ward 3"}] for key in named}, "contained": []})
    assert (await hospital.row(stored.id)).stations == ("CT1", "CT2")


async def test_a_stored_device_or_location_is_known_by_its_own_names(hospital: Hospital) -> None:
    hospital.site = with_locations(hospital.site)
    patient = await hospital.patient()
    named = [{"name": "CT2", "type": "user-friendly-name"}]
    device = await hospital.post({"resourceType": "Device", "deviceName": named})
    place = await hospital.post({"resourceType": "Location", "name": "CT room 1"})
    by_device = await hospital.post(an_order(patient, "P1", performer=[{"reference": device.reference}]))
    by_place = await hospital.post(an_order(patient, "P2", locationReference=[{"reference": place.reference}]))
    assert (await hospital.row(by_device.id)).stations == ("CT2",)
    assert (await hospital.row(by_place.id)).stations == ("CT1",)


async def test_an_order_without_a_time_is_taken_and_flagged(hospital: Hospital) -> None:
    reply = await hospital.send(orm(start=""))
    row = await hospital.row(reply.orders[0])
    assert (reply.code, row.scheduled, row.start) == ("AA", True, None)
    assert [issue.code for issue in reply.issues if "no time" in issue.text] == ["informational"]


@pytest.mark.parametrize(
    "more",
    [
        {"category": [{"coding": [{"system": "http://snomed.info/sct", "code": "108252007"}]}], "code": {"text": "Na"}},
        {"intent": "plan"},
        {"status": "completed"},
        {"status": "draft"},
        {"doNotPerform": True},
    ],
    ids=["laboratory", "plan", "completed", "draft", "do-not-perform"],
)
async def test_what_is_no_imaging_order_is_stored_and_no_more(hospital: Hospital, more: dict[str, object]) -> None:
    posted = an_order(await hospital.patient(), **more)
    stored = await hospital.post(posted)
    assert await hospital.store.view(lambda tx: tx.order(stored.id)) is None
    assert stored.resource()["identifier"] == posted["identifier"]
    assert await hospital.jobs("worklist") == []


async def test_a_draft_becomes_an_order_when_it_is_made_active(hospital: Hospital) -> None:
    draft = await hospital.post(an_order(await hospital.patient(), status="draft"))
    stored = await hospital.put({**draft.resource(), "status": "active"})
    assert (await hospital.row(stored.id)).scheduled
    assert "ACSN" in _numbers(stored.resource())


async def test_an_order_posted_on_hold_is_no_work_yet(hospital: Hospital) -> None:
    stored = await hospital.post(an_order(await hospital.patient(), status="on-hold"))
    row = await hospital.row(stored.id)
    assert (row.status, row.step, row.scheduled) == ("on-hold", "scheduled", False)


async def test_an_order_needs_its_patient(hospital: Hospital) -> None:
    order = an_order("Patient/x")
    with pytest.raises(InvalidContentError) as refused:
        await hospital.post({**order, "subject": {"display": "somebody"}})
    assert refused.value.issues[0].expression == ("ServiceRequest.subject",)


async def test_a_deleted_order_is_cancelled_marked_and_gone_and_its_number_is_free(hospital: Hospital) -> None:
    patient = await hospital.patient()
    stored = await hospital.post(an_order(patient))
    await hospital.jobs("worklist")
    await hospital.delete("ServiceRequest", stored.id)
    assert await hospital.jobs("worklist") == [{"order": stored.id}]
    with pytest.raises(GoneError):
        await hospital.get("ServiceRequest", stored.id)
    versions = await hospital.store.view(lambda tx: tx.history("ServiceRequest", stored.id).rows)
    assert [one.deleted for one in versions] == [True, False, False]
    assert versions[1].resource()["status"] == "entered-in-error"
    assert (await hospital.post(an_order(patient, priority="stat"))).id != stored.id


async def test_a_deleted_order_that_has_a_report_stays_on_record_in_error(hospital: Hospital) -> None:
    from tests.hospital import a_report

    patient = await hospital.patient()
    stored = await hospital.post(an_order(patient))
    await hospital.post(a_report(patient, stored.reference))
    kept = await hospital.delete("ServiceRequest", stored.id)
    assert (kept.deleted, kept.resource()["status"]) == (False, "entered-in-error")


async def test_what_the_ris_is_told_does_not_go_back_to_it(store: Store) -> None:
    from tests.sites import EMR as EMR_RECEIVER
    from tests.sites import RIS, a_site

    told = Hospital(store, a_site(RIS, replace(EMR_RECEIVER, types=frozenset({"ORM^O01"}))))
    id = (await told.send(orm())).orders[0]
    assert [row.peer for row in await told.outgoing()] == ["EMR"]
    order = await told.get("ServiceRequest", id)
    await told.put({**order, "status": "revoked"})
    rows = await told.outgoing()
    assert [(row.peer, row.state, row.order_id) for row in rows[1:]] == [("RIS", "queued", id), ("EMR", "queued", id)]
    assert b"ORC|CA|P1^RIS" in rows[1].raw
    assert len({row.control_id for row in rows}) == 3
    assert await told.jobs("send") == [{"message": row.id} for row in (rows[0], rows[1])]  # one at a time per order


async def test_a_refused_order_leaves_nothing(hospital: Hospital) -> None:
    patient = await hospital.patient()
    before = await hospital.store.view(lambda tx: tx.stats().resources)
    with pytest.raises(InteropError):
        await hospital.post(an_order(patient, "P1", identifier=[typed("ACSN", None, "A" * 17)]))
    reply = await hospital.send(orm(placer="P2", accession="A" * 17, patient="PID|1||77^^^HOSP||NEW^ONE"))
    assert reply.code == "AE"
    assert await hospital.store.view(lambda tx: tx.stats().resources) == before
    assert await hospital.jobs("worklist") == []


async def test_two_patients_with_one_number_of_two_authorities_stay_two(hospital: Hospital) -> None:
    await hospital.post(a_patient("5"))
    await hospital.send(orm(patient="PID|1||5^^^OTHER||X^Y"))
    assert len(await hospital.found("Patient", None, "5")) == 2
    assert len(await hospital.found("Patient", MR, "5")) == 1
    assert len(await hospital.found("ServiceRequest", PLACER, "P1")) == 1


async def test_the_same_order_told_many_times_at_once_is_one(hospital: Hospital) -> None:
    patient = await hospital.patient()
    posted = an_order(patient)
    told = [hospital.send(orm(filler="F1", code="24627-2^CT Chest^LN")) for _ in range(8)]
    posts = [hospital.post(posted) for _ in range(8)]
    results = await asyncio.gather(*told, *posts)
    ids = {one.orders[0] if hasattr(one, "orders") else one.id for one in results}
    assert len(ids) == 1
    assert len(await hospital.found("ServiceRequest", PLACER, "P1")) == 1
    assert len(await hospital.found("Patient", MR, "100234")) == 1


async def test_a_patient_named_by_many_messages_at_once_is_one(hospital: Hospital) -> None:
    replies = await asyncio.gather(*(hospital.send(orm(placer=f"P{number}")) for number in range(12)))
    assert {reply.code for reply in replies} == {"AA"}
    assert len(await hospital.found("Patient", MR, "100234")) == 1
    accessions = {(await hospital.row(reply.orders[0])).accession for reply in replies}
    assert len(accessions) == 12
