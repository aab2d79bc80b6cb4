"""One order, several scheduled procedure steps: told by HL7 or FHIR, each with a life of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interop.dicom.study import StudyFacts
from interop.errors import InteropError
from interop.fhir.query import Query
from interop.fhir.scheduled_steps import steps_of
from interop.fhir.search import parse_query
from interop.fhir.validation import validate
from interop.store import OrderRow
from interop.workflow.messages import Reply
from tests.hl7_messages import PATIENT, header, message, oru
from tests.hospital import Hospital, Resource, an_order, images_of

EXT = "urn:interop:StructureDefinition:scheduled-step"
DCM = "http://dicom.nema.org/resources/ontology/DCM"


def group(
    step: str, modality: str, start: str, *, control: str = "NW", placer: str = "P1", code: str = "", more: str = ""
) -> list[str]:
    """ORC, TQ1 and OBR of one step."""
    obr = [""] * 37
    obr[0], obr[1], obr[4] = "OBR", "1", code or f"PETCT^PET-CT^L^{step}P^{step} protocol^L"
    obr[2] = f"{placer}^RIS" if placer else ""
    obr[18], obr[20], obr[24] = "ACC1", step, modality
    return [f"ORC|{control}|{obr[2]}{more}", f"TQ1|1||||||{start}", "|".join(obr)]


def orm(*groups: list[str], id: str | None = None) -> bytes:
    """An ORM^O01 of these groups."""
    return message(header("ORM^O01", id), PATIENT, *(segment for one in groups for segment in one))


CT = group("S1", "CT", "20261121083000")
MR = group("S2", "MR", "20261121100000")


def omi(*ipcs: str, control: str = "NW", times: tuple[str, ...] = ("20261121083000",)) -> bytes:
    """An OMI^O23 of one order."""
    tq1 = [f"TQ1|{number}||||||{time}" for number, time in enumerate(times, 1)]
    obr = "OBR|1|P1^RIS||PETCT^PET-CT^L"
    return message(header("OMI^O23^OMI_O23"), PATIENT, f"ORC|{control}|P1^RIS", *tq1, obr, *ipcs)


async def stands(hospital: Hospital, id: str) -> tuple[str, list[tuple[str, str, str, bool]]]:
    """The order's state, and each step with its state and whether it is on the worklist."""
    row = await hospital.row(id)
    rows = await hospital.store.view(lambda tx: tx.order_steps(id))
    told = steps_of(await hospital.get("ServiceRequest", id))
    assert [(one.number, one.status, one.step) for one in told] == [(r.step_id, r.status, r.step) for r in rows]
    assert row.scheduled == any(one.scheduled for one in rows)
    return f"{row.status} {row.step}", [(one.step_id, one.status, one.step, one.scheduled) for one in rows]


async def two(hospital: Hospital) -> str:
    """An order of two steps; its id."""
    reply = await hospital.send(orm(CT, MR))
    assert (reply.code, len(set(reply.orders))) == ("AA", 1)
    return reply.orders[0]


async def test_groups_with_the_same_placer_number_and_other_step_ids_are_steps_of_one_order(hospital: Hospital) -> None:
    id = await two(hospital)
    order = await hospital.get("ServiceRequest", id)
    validate(order)
    assert await stands(hospital, id) == (
        "active scheduled",
        [("S1", "active", "scheduled", True), ("S2", "active", "scheduled", True)],
    )
    first, second = steps_of(order)
    assert (first.start, second.start) == ("2026-11-21T08:30:00+02:00", "2026-11-21T10:00:00+02:00")
    assert [one.modality and one.modality["code"] for one in (first, second)] == ["CT", "MR"]
    assert [one.protocols[0]["coding"][0]["code"] for one in (first, second)] == ["S1P", "S2P"]
    assert order["occurrenceDateTime"] == first.start
    row = await hospital.row(id)
    assert set(row.stations) == {"CT1", "CT2", "MR1"}
    assert len(await hospital.store.view(lambda tx: tx.find_orders())) == 1


async def test_an_order_with_one_step_has_no_step_of_its_own_in_the_side_table(hospital: Hospital) -> None:
    reply = await hospital.send(orm(CT))
    assert await hospital.store.view(lambda tx: tx.order_steps(reply.orders[0])) == ()
    assert steps_of(await hospital.get("ServiceRequest", reply.orders[0])) == ()


async def test_a_step_may_come_in_a_message_of_its_own(hospital: Hospital) -> None:
    first = await hospital.send(orm(CT))
    second = await hospital.send(orm(MR))
    assert first.orders == second.orders
    assert len((await stands(hospital, first.orders[0]))[1]) == 2


async def test_the_same_steps_again_are_answered_as_before(hospital: Hospital) -> None:
    id = await two(hospital)
    version = (await hospital.get("ServiceRequest", id))["meta"]["versionId"]
    for raw in (orm(CT, MR), orm(MR), orm(CT)):
        reply = await hospital.send(raw)
        assert (reply.code, set(reply.orders)) == ("AA", {id})
    assert (await hospital.get("ServiceRequest", id))["meta"]["versionId"] == version


@pytest.mark.parametrize(
    ("again", "words"),
    [
        (group("S2", "MR", "20261121110000"), "says something else of its step S2"),
        (group("S1", "CT", "20261121090000"), "says something else; changes are told as such"),
        (group("", "CT", "20261121090000"), "says something else"),
    ],
)
async def test_other_content_under_the_same_step_id_is_refused(
    hospital: Hospital, again: list[str], words: str
) -> None:
    await two(hospital)
    reply = await hospital.send(orm(again))
    assert (reply.code, reply.issues[0].hl7_code) == ("AR", "205")
    assert words in reply.issues[0].text


async def test_a_step_of_another_accession_number_is_another_order(hospital: Hospital) -> None:
    await two(hospital)
    other = [one.replace("ACC1", "ACC2") for one in group("S3", "CT", "20261121110000")]
    reply = await hospital.send(orm(other))
    assert (reply.code, reply.issues[0].hl7_code) == ("AR", "205")
    assert "another order by its step S3: the accession number" in reply.issues[0].text


async def test_groups_that_share_their_accession_number_alone_are_steps(hospital: Hospital) -> None:
    groups = [group(step, "CT", "20261121083000", placer="") for step in ("S1", "S2")]
    reply = await hospital.send(orm(*groups))
    assert (reply.code, len(set(reply.orders))) == ("AA", 1)
    assert len((await stands(hospital, reply.orders[0]))[1]) == 2


async def test_ipcs_of_other_step_ids_are_steps(hospital: Hospital) -> None:
    reply = await hospital.send(
        omi(
            "IPC|ACC1|RP1|1.2.3|S1|CT|CTP^CT part^L||R1|CT1",
            "IPC|ACC1|RP1|1.2.3|S1|CT|CTQ^CT late^L||R1|CT1",
            "IPC|ACC1|RP1|1.2.3|S2|MR|MRP^MR part^L||R2|MR1",
            times=("20261121083000", "20261121100000"),
        )
    )
    assert (reply.code, reply.issues) == ("AA", ())
    id = reply.orders[0]
    order = await hospital.get("ServiceRequest", id)
    validate(order)
    first, second = steps_of(order)
    assert [[c["coding"][0]["code"] for c in one.protocols] for one in (first, second)] == [["CTP", "CTQ"], ["MRP"]]
    assert (first.stations, second.stations) == (("CT1",), ("MR1",))
    assert (first.start[11:16], second.start[11:16]) == ("08:30", "10:00")
    assert "locationCode" not in order  # two rooms: neither is the order's


async def test_a_step_without_a_station_is_for_all_of_its_modality(hospital: Hospital) -> None:
    reply = await hospital.send(omi("IPC|ACC1|RP1|1.2.3|S1|CT||||CT1", "IPC|ACC1|RP1|1.2.3|S2|CT"))
    rows = await hospital.store.view(lambda tx: tx.order_steps(reply.orders[0]))
    assert [row.stations for row in rows] == [("CT1",), ("CT1", "CT2")]


async def test_an_ipc_of_another_accession_number_is_named_and_left_out(hospital: Hospital) -> None:
    reply = await hospital.send(omi("IPC|ACC1|RP1|1.2.3|S1|CT", "IPC|ACC2|RP1|1.2.3|S2|MR"))
    assert (reply.code, reply.issues[0].location) == ("AA", "IPC[2]")
    assert "S2 is of another accession number" in reply.issues[0].text
    assert await hospital.store.view(lambda tx: tx.order_steps(reply.orders[0])) == ()


async def test_times_that_cannot_be_told_apart_are_the_first_for_all(hospital: Hospital) -> None:
    times = ("20261121083000", "20261121090000", "20261121100000")
    reply = await hospital.send(omi("IPC|ACC1|RP1|1.2.3|S1|CT", "IPC|ACC1|RP1|1.2.3|S2|MR", times=times))
    assert [issue.location for issue in reply.issues] == ["TQ1[2]", "TQ1[3]"]
    assert {one.start[11:16] for one in steps_of(await hospital.get("ServiceRequest", reply.orders[0]))} == {"08:30"}


async def say(hospital: Hospital, control: str, step: str, more: str = "") -> Reply:
    """An ORC-1 of one step, or of the order."""
    modality = {"S1": "CT", "S2": "MR"}.get(step, "")
    start = {"S1": "20261121083000", "S2": "20261121100000"}.get(step, "")
    return await hospital.send(orm(group(step, modality, start, control=control, more=more)))


async def test_a_step_that_is_cancelled_leaves_alone_and_the_last_takes_the_order_along(hospital: Hospital) -> None:
    id = await two(hospital)
    assert (await say(hospital, "CA", "S2")).code == "AA"
    assert await stands(hospital, id) == (
        "active scheduled",
        [("S1", "active", "scheduled", True), ("S2", "revoked", "cancelled", False)],
    )
    assert (await say(hospital, "CA", "S1")).code == "AA"
    assert (await stands(hospital, id))[0] == "revoked cancelled"
    reply = await say(hospital, "NW", "S3")
    assert (reply.code, "is revoked" in reply.issues[0].text) == ("AR", True)


async def test_what_is_told_without_a_step_is_of_all(hospital: Hospital) -> None:
    id = await two(hospital)
    for control, whole, step in (
        ("HD", "on-hold scheduled", ("on-hold", "scheduled", False)),
        ("RL", "active scheduled", ("active", "scheduled", True)),
        ("CA", "revoked cancelled", ("revoked", "cancelled", False)),
    ):
        assert (await say(hospital, control, "")).code == "AA"
        assert await stands(hospital, id) == (whole, [("S1", *step), ("S2", *step)])


async def test_a_step_is_held_arrives_and_begins_alone(hospital: Hospital) -> None:
    id = await two(hospital)
    course = []
    for control, step, more in (("HD", "S2", ""), ("SC", "S1", "|||AR"), ("SC", "S1", "|||IP"), ("RL", "S2", "")):
        assert (await say(hospital, control, step, more)).code == "AA"
        whole, steps = await stands(hospital, id)
        course.append((whole, *(f"{status} {at}" for _, status, at, _ in steps)))
    assert course == [
        ("active scheduled", "active scheduled", "on-hold scheduled"),
        ("active arrived", "active arrived", "on-hold scheduled"),
        ("active in-progress", "active in-progress", "on-hold scheduled"),
        ("active in-progress", "active in-progress", "active scheduled"),
    ]


async def test_a_change_is_of_the_step_that_it_names(hospital: Hospital) -> None:
    id = await two(hospital)
    reply = await hospital.send(orm(group("S2", "MR", "20261122120000", control="XO")))
    assert reply.code == "AA"
    order = await hospital.get("ServiceRequest", id)
    assert [one.start[:16] for one in steps_of(order)] == ["2026-11-21T08:30", "2026-11-22T12:00"]
    assert order["occurrenceDateTime"][:16] == "2026-11-21T08:30"
    assert (await hospital.send(orm(group("S1", "CT", "20261122080000", control="XO")))).code == "AA"
    order = await hospital.get("ServiceRequest", id)
    assert order["occurrenceDateTime"][:16] == steps_of(order)[0].start[:16] == "2026-11-22T08:00"


async def test_a_change_that_names_no_step_is_refused_where_it_is_of_one(hospital: Hospital) -> None:
    await two(hospital)
    reply = await hospital.send(orm(group("", "CT", "20261122120000", control="XO")))
    assert (reply.code, reply.issues[0].location) == ("AE", "OBR-20")


async def test_a_step_that_the_order_does_not_have_is_refused(hospital: Hospital) -> None:
    await two(hospital)
    reply = await say(hospital, "CA", "S9")
    assert (reply.code, reply.issues[0].hl7_code, reply.issues[0].location) == ("AE", "204", "OBR-20")


def made(row: OrderRow, facts: StudyFacts, *step_ids: str, modality: str = "CT", quiet: bool = False) -> StudyFacts:
    """Images that say for which step they were made."""
    series = tuple(replace(one, step_ids=step_ids, modality=modality) for one in facts.series)
    return replace(facts, series=series, quiet=quiet)


async def test_images_move_the_step_that_they_name(hospital: Hospital) -> None:
    id = await two(hospital)
    row = await hospital.row(id)
    await hospital.register(made(row, images_of(row, 1, 2), "S2", modality="OT"))
    assert [one[2] for one in (await stands(hospital, id))[1]] == ["scheduled", "in-progress"]
    await hospital.register(made(row, images_of(row, 1, 2), "S2", modality="OT", quiet=True))
    assert await stands(hospital, id) == (
        "active in-progress",
        [("S1", "active", "scheduled", True), ("S2", "active", "images-available", False)],
    )


async def test_images_move_the_one_step_of_their_modality(hospital: Hospital) -> None:
    id = await two(hospital)
    row = await hospital.row(id)
    await hospital.register(made(row, images_of(row, 1, 1), modality="MR"))
    quiet = replace(images_of(row, 1, 1), series=(), quiet=True)
    await hospital.register(quiet)
    assert [one[2] for one in (await stands(hospital, id))[1]] == ["scheduled", "images-available"]


async def test_images_that_tell_no_step_move_the_order_and_every_step_stays_to_be_done(hospital: Hospital) -> None:
    reply = await hospital.send(orm(CT, group("S2", "CT", "20261121100000")))
    id = reply.orders[0]
    row = await hospital.row(id)
    await hospital.register(made(row, images_of(row, 1, 1), quiet=True))
    whole, steps = await stands(hospital, id)
    assert (whole, [one[2:] for one in steps]) == ("active in-progress", [("scheduled", True), ("scheduled", True)])


async def test_a_final_report_completes_all_that_was_not_cancelled(hospital: Hospital) -> None:
    id = await two(hospital)
    await say(hospital, "CA", "S2")
    assert (await hospital.send(oru())).code == "AA"
    assert await stands(hospital, id) == (
        "completed reported",
        [("S1", "completed", "reported", False), ("S2", "revoked", "cancelled", False)],
    )


def stepping(*steps: dict[str, Any]) -> list[Resource]:
    """scheduled-step extensions."""
    kinds = {
        "id": lambda v: {"valueIdentifier": {"value": v}},
        "modality": lambda v: {"valueCoding": {"system": DCM, "code": v}},
        "start": lambda v: {"valueDateTime": v},
        "station": lambda v: {"valueString": v},
        "step": lambda v: {"valueCode": v},
        "status": lambda v: {"valueCode": v},
    }
    return [
        {"url": EXT, "extension": [{"url": name, **kinds[name](value)} for name, value in step.items()]}
        for step in steps
    ]


async def posted(hospital: Hospital) -> Resource:
    """An order of two steps as an EMR writes it."""
    steps = stepping({"modality": "CT", "station": "CT1"}, {"modality": "MR", "start": "2026-11-21T10:00:00+02:00"})
    order = an_order(await hospital.patient(), extension=steps)
    validate(order)
    return (await hospital.post(order)).resource()


async def test_an_emr_asks_for_several_steps(hospital: Hospital) -> None:
    order = await posted(hospital)
    validate(order)
    first, second = steps_of(order)
    own = next(i["value"] for i in order["identifier"] if i.get("type", {}).get("coding", [{}])[0]["code"] == "SPSID")
    assert first.number == own != second.number
    rows = await hospital.store.view(lambda tx: tx.order_steps(order["id"]))
    assert [(row.modality, row.stations) for row in rows] == [("CT", ("CT1",)), ("MR", ("MR1",))]
    assert rows[0].start is not None  # the order's own, where the step says none
    assert (await hospital.post({**an_order(order["subject"]["reference"], extension=stepping(
        {"modality": "CT", "station": "CT1"}, {"modality": "MR", "start": "2026-11-21T10:00:00+02:00"}
    ))})).id == order["id"]  # fmt: skip


async def test_steps_are_found_by_what_they_say(hospital: Hospital) -> None:
    order = await posted(hospital)
    second = steps_of(order)[1]
    for name, value in (
        ("step-id", second.number),
        ("step-modality", "MR"),
        ("step-stage", "scheduled"),
        ("step-status", "active"),
        ("step-station", "CT1"),
        ("step-start", "ge2026-11-21T09:59:00+02:00"),
    ):
        query = parse_query("ServiceRequest", [(name, value)], hospital.site.zone)
        found = await hospital.store.view(lambda tx, query=query: tx.search(query).rows)  # type: ignore[misc]
        assert [row.id for row in found] == [order["id"]], name
    nobody = parse_query("ServiceRequest", [("step-modality", "US")], hospital.site.zone)
    assert await hospital.store.view(lambda tx: tx.search(nobody).rows) == []


async def test_a_put_moves_changes_adds_and_leaves_out(hospital: Hospital) -> None:
    order = await posted(hospital)
    first, second = steps_of(order)
    others = [item for item in order["extension"] if item["url"] != EXT]
    changes = stepping(
        {"id": second.number, "modality": "MR", "start": "2026-11-22T10:00:00+02:00", "status": "active"},
        {"modality": "US"},
    )
    stored = await hospital.put({**order, "extension": [*others, *changes]})
    after = steps_of(stored.resource())
    assert [one.number for one in after][:2] == [first.number, second.number]
    assert (after[0], after[1].start[:10], len(after)) == (first, "2026-11-22", 3)
    cancelled = stepping({"id": second.number, "modality": "MR", "status": "revoked"})
    stored = await hospital.put({**order, "extension": [*others, *cancelled]})
    assert [one.step for one in steps_of(stored.resource())] == ["scheduled", "cancelled", "scheduled"]
    assert stored.resource()["status"] == "active"
    stored = await hospital.put({**stored.resource(), "status": "revoked"})
    assert {one.status for one in steps_of(stored.resource())} == {"revoked"}


async def test_a_new_step_alone_is_no_change_of_the_first(hospital: Hospital) -> None:
    order = await posted(hospital)
    others = [item for item in order["extension"] if item["url"] != EXT]
    stored = await hospital.put({**order, "extension": [*others, *stepping({"modality": "US"})]})
    before, after = steps_of(order), steps_of(stored.resource())
    assert (after[:2], after[2].modality["code"]) == (before, "US")  # type: ignore[index]


async def test_what_was_a_plan_becomes_an_order_of_steps(hospital: Hospital) -> None:
    steps = stepping({"modality": "CT"}, {"modality": "MR"})
    stored = await hospital.post({**an_order(await hospital.patient(), extension=steps), "intent": "plan"})
    assert await hospital.store.view(lambda tx: tx.order_steps(stored.id)) == ()
    await hospital.put({**stored.resource(), "intent": "order"})
    assert [row.scheduled for row in await hospital.store.view(lambda tx: tx.order_steps(stored.id))] == [True, True]


async def test_the_other_door_does_not_plan_anew_what_is_planned(hospital: Hospital) -> None:
    id = await two(hospital)
    before = steps_of(await hospital.get("ServiceRequest", id))
    patient = (await hospital.get("ServiceRequest", id))["subject"]["reference"]
    linked = await hospital.post(an_order(patient, extension=stepping({"modality": "US"}, {"modality": "CT"})))
    assert linked.id == id
    assert steps_of(await hospital.get("ServiceRequest", id)) == before


async def test_an_order_of_one_step_gets_another(hospital: Hospital) -> None:
    order = (await hospital.post(an_order(await hospital.patient()))).resource()
    more = stepping({"id": "OTHER", "modality": "MR"})
    stored = await hospital.put({**order, "extension": [*order.get("extension", []), *more]})
    assert [one.number for one in steps_of(stored.resource())][1:] == ["OTHER"]
    assert len(await hospital.store.view(lambda tx: tx.order_steps(order["id"]))) == 2


@pytest.mark.parametrize(
    "steps",
    [
        stepping({"id": "X" * 17}),
        stepping({"id": "A", "modality": "CT"}, {"id": "A", "modality": "MR"}),
        stepping(*({"modality": "CT"} for _ in range(65))),
    ],
    ids=["too long", "twice", "too many"],
)
async def test_steps_that_cannot_be_are_refused(hospital: Hospital, steps: list[Resource]) -> None:
    subject = await hospital.patient()
    with pytest.raises(InteropError):
        await hospital.post(an_order(subject, extension=steps))
    assert await hospital.store.view(lambda tx: tx.search(Query("ServiceRequest")).rows) == []


@pytest.mark.parametrize(
    "extension",
    [
        {"url": EXT, "valueString": "x"},
        {"url": EXT, "extension": [{"url": "when", "valueString": "x"}]},
        {"url": EXT, "extension": [{"url": "step", "valueCode": "nearly"}]},
        {
            "url": EXT,
            "extension": [{"url": "start", "valueDateTime": "2026"}, {"url": "start", "valueDateTime": "2027"}],
        },
    ],
)
def test_a_step_that_is_no_step_does_not_validate(extension: Resource) -> None:
    with pytest.raises(InteropError):
        validate(an_order("Patient/1", extension=[extension]))


async def test_a_deleted_order_ends_with_all_its_steps(hospital: Hospital) -> None:
    order = await posted(hospital)
    await hospital.delete("ServiceRequest", order["id"])
    rows = await hospital.store.view(lambda tx: tx.order_steps(order["id"]))
    assert {(row.status, row.step, row.scheduled) for row in rows} == {("entered-in-error", "cancelled", False)}


async def test_a_modality_that_is_not_known_keeps_one_step_off_and_no_other(hospital: Hospital) -> None:
    reply = await hospital.send(orm(CT, group("S2", "XA", "20261121100000")))
    assert [one[2:] for one in (await stands(hospital, reply.orders[0]))[1]] == [("scheduled", True), ("", False)]
    assert "step S2: no station for XA" in (await hospital.row(reply.orders[0])).missing
