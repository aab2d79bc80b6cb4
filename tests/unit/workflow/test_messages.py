"""Every message is kept and answered once; a repeat gets the answer that was given."""

from __future__ import annotations

import pytest

from interop.access.agent import Agent
from interop.errors import MalformedError
from interop.fhir.query import Query
from interop.hl7.message import parse
from interop.store import MessageRow
from interop.workflow import messages
from tests.hl7_messages import PATIENT, adt, header, message, orm
from tests.hospital import Hospital, Resource


async def _kept(hospital: Hospital, control_id: str) -> list[MessageRow]:
    rows = await hospital.store.view(lambda tx: tx.find_messages(control_id=control_id))
    return sorted(rows, key=lambda row: row.id)


async def _events(hospital: Hospital) -> list[Resource]:
    return await hospital.store.view(lambda tx: [one.resource() for one in tx.search(Query("AuditEvent")).rows])


async def test_a_message_is_kept_byte_for_byte_with_its_answer(hospital: Hospital) -> None:
    raw = orm(id="C1")
    reply = await hospital.send(raw)
    (row,) = await _kept(hospital, "C1")
    assert (row.raw, row.ack, row.ack_code, row.state) == (raw, reply.ack, "AA", "received")
    assert (row.application, row.facility, row.type, row.order_id) == ("RIS", "HOSP", "ORM^O01", reply.orders[0])
    answer = parse(reply.ack)
    assert (answer.get("MSA-1"), answer.get("MSA-2"), answer.get("MSH-5")) == ("AA", "C1", "RIS")


async def test_a_repeat_gets_the_stored_answer_and_does_nothing(hospital: Hospital) -> None:
    raw = orm(id="C1")
    first = await hospital.send(raw)
    await hospital.send(orm("CA"))
    again = await hospital.send(raw)
    assert (again.ack, again.repeated) == (first.ack, True)
    assert len(await _kept(hospital, "C1")) == 1
    assert (await hospital.row(first.orders[0])).status == "revoked"


async def test_a_repeat_is_known_though_it_was_sent_at_another_time(hospital: Hospital) -> None:
    raw = orm(id="C1")
    first = await hospital.send(raw)
    again = await hospital.send(raw.replace(b"|20261120101500|", b"|20261120111500|", 1))
    assert (again.ack, again.repeated) == (first.ack, True)


async def test_a_control_id_used_for_another_message_is_refused_and_alarms(hospital: Hospital) -> None:
    await hospital.send(orm(id="C1"))
    reply = await hospital.send(orm(placer="P2", id="C1"))
    assert (reply.code, reply.issues[0].hl7_code, reply.issues[0].location) == ("AR", "205", "MSH-10")
    assert [row.state for row in await _kept(hospital, "C1")] == ["received", "refused"]
    assert "control-id-reused" in [one["subtype"][0]["code"] for one in await _events(hospital) if "subtype" in one]
    assert (await hospital.send(orm(id="C1"))).repeated  # the first one is still answered as it was


async def test_control_ids_of_two_senders_do_not_meet(hospital: Hospital) -> None:
    await hospital.send(orm(id="C1"))
    assert (await hospital.send(orm(placer="P2", id="C1", sender="RIS2|HOSP"))).code == "AA"


async def test_a_refused_message_is_kept_with_its_refusal_and_audited(hospital: Hospital) -> None:
    raw = orm(id="C1", accession="A" * 17)
    reply = await hospital.send(raw)
    (row,) = await _kept(hospital, "C1")
    assert (row.raw, row.ack, row.ack_code, row.state) == (raw, reply.ack, "AE", "refused")
    assert row.issues[0]["location"] == "OBR-18"
    assert [one["outcome"] for one in await _events(hospital)] == ["4"]
    errors = parse(reply.ack).all("ERR")
    assert [(one.field(2), one.value(3).text(1)) for one in errors] == [("OBR^1^18^1", "102")]


async def test_a_message_that_was_refused_for_now_is_tried_again(hospital: Hospital) -> None:
    change = orm("XO", id="C2", start="20261122083000")
    assert (await hospital.send(change)).code == "AE"  # its order is not here yet
    await hospital.send(orm())
    again = await hospital.send(change)
    assert (again.code, again.repeated) == ("AA", False)
    (row,) = await _kept(hospital, "C2")
    assert (row.state, row.ack_code, row.ack) == ("received", "AA", again.ack)


async def test_a_final_refusal_is_given_again(hospital: Hospital) -> None:
    raw = message(header("ZZZ^Z01", "C1"), PATIENT)
    first = await hospital.send(raw)
    again = await hospital.send(raw)
    assert (first.code, again.ack, again.repeated) == ("AR", first.ack, True)


@pytest.mark.parametrize(("type", "code"), [("ZZZ^Z01", "200"), ("ADT^A43", "201")])
async def test_an_unknown_message_type_is_refused(hospital: Hospital, type: str, code: str) -> None:
    reply = await hospital.send(message(header(type), PATIENT))
    assert (reply.code, reply.issues[0].hl7_code, reply.issues[0].location) == ("AR", code, "MSH-9")


@pytest.mark.parametrize("field", ["MSH-9", "MSH-10"])
async def test_a_message_without_type_or_control_id_cannot_be_read(hospital: Hospital, field: str) -> None:
    parts = orm(id="C1").split(b"|")
    parts[int(field[4:]) - 1] = b""
    with pytest.raises(Exception, match=field):
        messages.read(hospital.site, b"|".join(parts))


async def test_bytes_that_are_no_message_are_kept_and_answered(hospital: Hospital) -> None:
    error = MalformedError("no MSH at the beginning")
    reply = await hospital.store.unit(
        Agent("unknown", "peer"),
        lambda tx: messages.refuse_bytes(tx, hospital.site, b"GET / HTTP/1.1", "127.0.0.1", error),
    )
    answer = parse(reply.ack)
    assert (answer.get("MSA-1"), answer.get("ERR-3.1")) == ("AR", "100")
    (row,) = await _kept(hospital, "")
    assert (row.raw, row.state, row.peer) == (b"GET / HTTP/1.1", "refused", "127.0.0.1")


async def test_several_orders_in_one_message_happen_together_or_not_at_all(hospital: Hospital) -> None:
    one, two = orm(id="C1").decode(), orm(placer="P2", id="C1", accession="A" * 17).decode()
    both = one + two[two.index("ORC|") :]
    reply = await hospital.send(both.encode())
    assert (reply.code, reply.issues[0].location) == ("AE", "OBR[2]-18")
    assert await hospital.found("ServiceRequest", None, "P1") == []
    reply = await hospital.send(both.replace("A" * 17, "A2").encode())
    assert (reply.code, len(reply.orders)) == ("AA", 2)


async def test_a_message_names_its_patient_and_order_in_the_audit_trail(hospital: Hospital) -> None:
    reply = await hospital.send(orm())
    (event,) = await _events(hospital)
    row = await hospital.row(reply.orders[0])
    references = {entity["what"].get("reference") for entity in event["entity"]}
    assert {f"Patient/{row.patient_id}", f"ServiceRequest/{row.id}"} <= references
    assert event["outcome"] == "0"


async def test_greek_survives_in_the_senders_character_set(hospital: Hospital) -> None:
    raw = adt("A04").replace(b"UNICODE UTF-8", b"8859/7").decode().encode("iso8859_7")
    await hospital.send(raw)
    (patient,) = await hospital.found("Patient", None, "100234")
    assert patient["name"][0]["family"] == "Παπαδόπουλος"


async def test_what_had_to_be_guessed_while_reading_is_told(hospital: Hospital) -> None:
    raw = orm().replace(b"\rORC|", b"\rstray words\rORC|", 1)
    reply = await hospital.send(raw)
    assert reply.code == "AA"
    assert any("does not begin like a segment" in issue.text for issue in reply.issues)
