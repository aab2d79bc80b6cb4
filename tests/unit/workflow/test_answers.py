"""What goes back for a message in enhanced mode, and by messages of the orders' own types."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interop.access.agent import Agent, system_agent
from interop.errors import InteropError
from interop.hl7.acknowledgement_mode import Manner
from interop.hl7.message import Message, parse
from interop.store import Job, MessageRow, Store
from interop.workflow import answers, messages, stray_answers
from interop.workflow.messages import Reply
from tests.hl7_messages import PATIENT, adt, asking, header, message, orm, oru
from tests.hospital import Hospital, an_order
from tests.sites import RIS, a_site, answered_as

TYPED = Manner(answer="order")
TO_RECEIVER = Manner(application="receiver")


async def the_row(hospital: Hospital, control_id: str) -> MessageRow:
    (row,) = await hospital.store.view(lambda tx: tx.find_messages(control_id=control_id, direction="in"))
    return row


async def owed(store: Store) -> list[Job]:
    """The jobs of sending that are due now, as the runner would claim them."""
    return await store.claim(["send"], 10, 60)


def accept_and_application(reply: Reply) -> tuple[str, str]:
    """MSA-1 of both; "" where nothing goes back."""
    both = [parse(raw).get("MSA-1") if raw else "" for raw in (reply.ack, reply.further)]
    return both[0], both[1]


def refused_order(id: str | None = None) -> bytes:
    return orm(id=id, accession="A" * 17)


GOOD = [
    ("AL", "AL", "CA", "AA"),
    ("AL", "NE", "CA", ""),
    ("AL", "SU", "CA", "AA"),
    ("AL", "ER", "CA", ""),
    ("SU", "AL", "CA", "AA"),
    ("ER", "AL", "", "AA"),
    ("NE", "AL", "AA", ""),
    ("NE", "ER", "", ""),
    ("NE", "NE", "", ""),
    ("", "AL", "AA", ""),
    ("", "NE", "CA", ""),
]
BAD = [
    ("AL", "AL", "CA", "AE"),
    ("AL", "NE", "CA", ""),
    ("AL", "SU", "CA", ""),
    ("AL", "ER", "CA", "AE"),
    ("ER", "ER", "", "AE"),
    ("NE", "AL", "AE", ""),
    ("NE", "ER", "AE", ""),
    ("NE", "SU", "", ""),
    ("NE", "NE", "", ""),
]


@pytest.mark.parametrize(("accept", "application", "first", "then"), GOOD)
async def test_what_was_carried_out(hospital: Hospital, accept: str, application: str, first: str, then: str) -> None:
    reply = await hospital.send(asking(orm(id="C1"), accept, application))
    assert accept_and_application(reply) == (first, then)
    row = await the_row(hospital, "C1")
    assert (row.state, row.ack) == ("received", reply.ack)


@pytest.mark.parametrize(("accept", "application", "first", "then"), BAD)
async def test_what_was_refused(hospital: Hospital, accept: str, application: str, first: str, then: str) -> None:
    reply = await hospital.send(asking(refused_order("C1"), accept, application))
    assert accept_and_application(reply) == (first, then)
    row = await the_row(hospital, "C1")
    assert (row.state, row.ack, row.issues[0]["location"]) == ("refused", reply.ack, "OBR-18")


async def test_the_application_acknowledgement_is_a_message_of_its_own(hospital: Hospital) -> None:
    reply = await hospital.send(asking(refused_order("C1"), "AL", "AL"))
    accept, application = parse(reply.ack), parse(reply.further)
    assert (accept.get("MSA-2"), accept.all("ERR"), accept.get("MSH-15")) == ("C1", [], "")
    assert (application.get("MSA-2"), application.get("ERR-2")) == ("C1", "OBR^1^18^1")
    assert (application.get("MSH-15"), application.get("MSH-16")) == ("AL", "NE")
    assert application.control_id not in ("", "C1", accept.control_id)
    (out,) = await hospital.outgoing()
    assert (out.raw, out.type, out.state, out.control_id) == (
        reply.further, "ACK^O01", "queued", application.control_id,
    )  # fmt: skip


async def test_what_is_no_message_for_us_is_rejected_at_once(hospital: Hospital) -> None:
    unknown = message(header("ZZZ^Z01", "C1"), PATIENT)
    assert accept_and_application(await hospital.send(asking(unknown, "AL", "AL"))) == ("CR", "")
    assert accept_and_application(await hospital.send(asking(unknown.replace(b"C1", b"C2"), "SU", "AL"))) == ("", "")
    await hospital.send(asking(orm(id="C3"), "AL", "AL"))
    reused = await hospital.send(asking(orm(placer="P2", id="C3"), "AL", "AL"))
    assert (reused.code, parse(reused.ack).get("ERR-3.1"), reused.further) == ("CR", "205", b"")


async def test_our_own_fault_is_an_error_that_a_repeat_may_mend(hospital: Hospital) -> None:
    raw = asking(orm(id="C1"), "AL", "AL")
    read = messages.read(hospital.site, raw)
    error = InteropError("this server could not carry the message out")
    reply = await hospital.store.unit(
        Agent("RIS|HOSP", "peer"), lambda tx: messages.refuse(tx, hospital.site, read, "127.0.0.1", error)
    )
    assert accept_and_application(reply) == ("CE", "")
    assert accept_and_application(await hospital.send(raw)) == ("CA", "AA")


async def test_a_repeat_gets_both_stored_answers_whatever_has_become_of_it(hospital: Hospital) -> None:
    raw = asking(orm("XO", id="C1"), "AL", "AL")
    first = await hospital.send(raw)
    assert accept_and_application(first) == ("CA", "AE")  # its order is not here
    await hospital.send(orm())
    again = await hospital.send(raw)
    assert (again.repeated, again.ack, again.further, again.owed) == (True, first.ack, first.further, first.owed)
    assert len([row for row in await hospital.outgoing() if row.type == "ACK^O01"]) == 1


async def test_a_site_may_keep_to_original_mode_or_ask_for_enhanced(store: Store) -> None:
    original = Hospital(store, answered_as(a_site(), Manner(mode="original")))
    assert accept_and_application(await original.send(asking(orm(), "AL", "NE"))) == ("AA", "")
    enhanced = Hospital(store, answered_as(a_site(), Manner(mode="enhanced")))
    assert accept_and_application(await enhanced.send(orm("CA"))) == ("CA", "AA")
    assert accept_and_application(await enhanced.send(orm(placer="P9", sender="EMR|HOSP"))) == ("AA", "")


async def test_it_goes_to_the_receiver_that_is_its_sender(store: Store) -> None:
    ris = replace(RIS, types=frozenset({"ACK^O01"}), sending_application="HUB")
    hospital = Hospital(store, answered_as(a_site(ris), TO_RECEIVER))
    reply = await hospital.send(asking(orm(id="C1"), "AL", "AL"))
    assert accept_and_application(reply) == ("CA", "")
    (job,) = await owed(store)
    (out,) = await hospital.outgoing()
    assert (job.payload, out.peer, parse(out.raw).sender) == ({"message": out.id}, "RIS", ("HUB", "IMG"))
    assert parse(out.raw).get("MSA-1") == "AA"


async def test_what_was_written_to_its_connection_is_owed_no_more(hospital: Hospital) -> None:
    reply = await hospital.send(asking(orm(id="C1"), "AL", "AL"))
    assert await owed(hospital.store) == []  # it waits whether the connection takes it
    assert reply.owed is not None
    number = reply.owed
    for _ in range(2):
        await hospital.store.unit(system_agent("sender"), lambda tx: answers.written(tx, [number]))
    (out,) = await hospital.outgoing()
    assert (out.state, out.attempts) == ("sent", 1)
    assert (await hospital.store.view(lambda tx: tx.job_counts()))["waiting"] == 0


async def test_a_message_that_is_replayed_is_told_by_a_message(hospital: Hospital) -> None:
    await hospital.send(asking(orm("XO", id="C1"), "AL", "AL"))
    await hospital.send(orm())
    row = await the_row(hospital, "C1")
    read = messages.read(hospital.site, row.raw)
    reply = await hospital.store.unit(
        Agent("RIS|HOSP", "peer"), lambda tx: messages.receive_again(tx, hospital.site, read, row)
    )
    assert (reply.code, reply.further) == ("CA", b"")
    after = await the_row(hospital, "C1")
    assert (after.state, after.ack) == ("received", row.ack)
    told = [parse(one.raw).get("MSA-1") for one in await hospital.outgoing() if one.type == "ACK^O01"]
    assert sorted(told) == ["AA", "AE"]
    again = await hospital.store.unit(
        Agent("RIS|HOSP", "peer"), lambda tx: messages.receive_again(tx, hospital.site, read, after)
    )
    assert again.repeated


def groups(answer: Message) -> list[tuple[str, str, str, str]]:
    """ORC-1, ORC-2, ORC-3.1 and ORC-5 of each order."""
    return [
        (orc.value(1).text(), orc.value(2).raw, orc.value(3).text(1), orc.value(5).text()) for orc in answer.all("ORC")
    ]


async def test_an_order_is_answered_with_its_numbers(store: Store) -> None:
    hospital = Hospital(store, answered_as(a_site(), TYPED))
    answer = parse((await hospital.send(orm(id="C1"))).ack)
    (placed,) = await hospital.found("ServiceRequest", None, "P1")
    accession = next(one["value"] for one in placed["identifier"] if one["value"].startswith("IMG"))
    assert answer.get("MSH-9") == "ORR^O02^ORR_O02"
    assert (answer.get("MSA-1"), answer.get("MSA-2"), answer.get("MSH-15")) == ("AA", "C1", "")
    assert groups(answer) == [("OK", "P1^RIS", accession, "SC")]
    assert (answer.get("OBR-4"), answer.get("OBR-18")) == ("CTCH^CT chest^L", accession)
    assert answer.get("OBR-19").startswith("RP")
    assert answer.get("OBR-20").startswith("SPS")
    assert [one.name for one in answer.segments] == ["MSH", "MSA", "ORC", "OBR"]


@pytest.mark.parametrize(
    ("control", "answered", "status"),
    [("HD", "HR", "HD"), ("XO", "XR", "SC"), ("CA", "CR", "CA"), ("DC", "DR", "CA"), ("SC", "OK", "SC")],
)
async def test_each_request_has_its_answer(store: Store, control: str, answered: str, status: str) -> None:
    hospital = Hospital(store, answered_as(a_site(), TYPED))
    await hospital.send(orm(filler="F1"))
    reply = parse((await hospital.send(orm(control, status="IP" if control == "SC" else ""))).ack)
    assert groups(reply) == [(answered, "P1^RIS", "F1", status)]


@pytest.mark.parametrize(
    ("control", "answered"),
    [("NW", "UA"), ("XO", "UX"), ("CA", "UC"), ("DC", "UD"), ("HD", "UH"), ("RL", "UR"), ("SS", "UA")],
)
async def test_what_could_not_be_done_is_said_with_the_error(store: Store, control: str, answered: str) -> None:
    hospital = Hospital(store, answered_as(a_site(), TYPED))
    raw = refused_order() if control == "NW" else orm(control, filler="F7")
    answer = parse((await hospital.send(raw)).ack)
    assert answer.get("MSA-1") in ("AE", "AR")
    assert answer.get("ERR-4") == "E"
    assert groups(answer) == [(answered, "P1^RIS", "" if control == "NW" else "F7", "")]


async def test_the_number_that_we_answered_with_names_the_order(store: Store) -> None:
    hospital = Hospital(store, answered_as(a_site(), TYPED))
    filler = parse((await hospital.send(orm())).ack).all("ORC")[0].field(3)
    cancel = message(header("ORM^O01"), PATIENT, f"ORC|CA||{filler}", f"OBR|1||{filler}|CTCH^CT chest^L")
    answer = parse((await hospital.send(cancel)).ack)
    assert groups(answer) == [("CR", "P1^RIS", filler.split("^")[0], "CA")]


async def test_several_orders_are_answered_each(store: Store) -> None:
    hospital = Hospital(store, answered_as(a_site(), TYPED))
    both = orm("NW", "P1", id="C1") + orm("NW", "P2").split(b"\r", 2)[2]
    answer = parse((await hospital.send(both)).ack)
    assert [(one[0], one[1]) for one in groups(answer)] == [("OK", "P1^RIS"), ("OK", "P2^RIS")]
    replace_one = message(
        header("ORM^O01"), PATIENT,
        "ORC|RP|P1^RIS", "OBR|1|P1^RIS||CTCH^CT chest^L", "ORC|RO|P3^RIS", "OBR|2|P3^RIS||CTAB^CT abdomen^L",
    )  # fmt: skip
    answer = parse((await hospital.send(replace_one)).ack)
    assert [(one[0], one[1], one[3]) for one in groups(answer)] == [("RQ", "P1^RIS", "CA"), ("RO", "P3^RIS", "SC")]


async def test_the_other_order_messages_have_their_own_types(store: Store) -> None:
    hospital = Hospital(store, answered_as(a_site(), TYPED))
    omg = parse((await hospital.send(orm(placer="P1").replace(b"ORM^O01", b"OMG^O19"))).ack)
    assert omg.get("MSH-9") == "ORG^O20^ORG_O20"
    ipc = "IPC|ACC7|RP7|1.2.3.7|SPS7|CT"
    raw = message(
        header("OMI^O23"), PATIENT, "ORC|NW|P7^RIS", "TQ1|1||||||20261121083000", "OBR|1|P7^RIS||CTCH^CT", ipc
    )
    omi = parse((await hospital.send(raw)).ack)
    assert omi.get("MSH-9") == "ORI^O24^ORI_O24"
    assert [omi.get(f"IPC-{number}") for number in range(1, 6)] == ["ACC7", "RP7", "1.2.3.7", "SPS7", "CT"]
    assert parse((await hospital.send(oru())).ack).get("MSH-9") == "ACK^R01^ACK"
    assert parse((await hospital.send(adt())).ack).get("MSH-9") == "ACK^A08^ACK"


async def test_each_step_of_an_order_comes_back_under_its_own_id(store: Store) -> None:
    """ORM: an ORC and OBR each; OMI: one ORC with an IPC each, and the order behind it is answered as it is."""
    hospital = Hospital(store, answered_as(a_site(), TYPED))
    groups_of = []
    for step in ("S1", "S2"):
        fields = orm(accession="ACC1").decode().split("\r")[3].split("|")
        fields[20] = step
        groups_of += ["ORC|NW|P1^RIS", "|".join(fields)]
    orr = parse((await hospital.send(message(header("ORM^O01"), PATIENT, *groups_of))).ack)
    assert [obr.field(20) for obr in orr.all("OBR")] == ["S1", "S2"]
    ipcs = [f"IPC|ACC7|RP7|1.2.3.7|{step}|CT" for step in ("S8", "S9")]
    raw = message(
        header("OMI^O23"), PATIENT,
        "ORC|NW|P7^RIS", "OBR|1|P7^RIS||CTCH^CT", *ipcs, "ORC|NW|P8^RIS", "OBR|2|P8^RIS||CTCH^CT", "IPC|ACC8|||S10|CT",
    )  # fmt: skip
    ori = parse((await hospital.send(raw)).ack)
    assert [(orc.field(1), orc.field(2)) for orc in ori.all("ORC")] == [("OK", "P7^RIS"), ("OK", "P8^RIS")]
    assert [(ipc.field(1), ipc.field(4)) for ipc in ori.all("IPC")] == [("ACC7", "S8"), ("ACC7", "S9"), ("ACC8", "S10")]


async def test_in_enhanced_mode_the_orders_type_is_that_of_the_application(store: Store) -> None:
    hospital = Hospital(store, answered_as(a_site(), TYPED))
    reply = await hospital.send(asking(orm(), "AL", "AL"))
    assert (parse(reply.ack).type, parse(reply.further).type) == ("ACK^O01", "ORR^O02")
    (out,) = await hospital.outgoing()
    assert out.type == "ORR^O02"


async def test_other_delimiters_come_back_as_ours(store: Store) -> None:
    hospital = Hospital(store, answered_as(a_site(), TYPED))
    raw = orm(placer="P#1").replace(b"|^~\\&|", b"|#~!&|", 1).replace(b"^", b"#").replace(b"P#1#RIS", b"P1#RIS")
    answer = parse((await hospital.send(raw)).ack)
    assert answer.get("MSA-1") == "AA"
    assert groups(answer)[0][:2] == ("OK", "P1^RIS")


async def told(hospital: Hospital, raw: bytes, *, known: bool = True) -> bytes:
    return await hospital.store.unit(
        Agent("unknown", "peer"), lambda tx: stray_answers.keep(tx, hospital.site, raw, "127.0.0.1", known=known)
    )


async def an_order_to_the_ris(store: Store) -> tuple[Hospital, MessageRow]:
    hospital = Hospital(store, a_site(replace(RIS, enhanced=True)))
    await hospital.post(an_order(await hospital.patient()))
    (out,) = await hospital.outgoing()
    sent = parse(out.raw)
    assert (sent.get("MSH-15"), sent.get("MSH-16")) == ("AL", "AL")
    return hospital, out


def application_ack(
    code: str, about: str, *, id: str = "R1", sender: str = "RIS|HOSP", type_: str = "ORR^O02"
) -> bytes:
    err = ("ERR||ORC^1^2|204^Unknown key identifier^HL70357|E",) if code != "AA" else ()
    return message(header(type_, id, sender), f"MSA|{code}|{about}", *err)


@pytest.mark.parametrize(("code", "state"), [("AA", "sent"), ("AE", "dead"), ("AR", "dead")])
async def test_the_application_acknowledgement_of_ours_ends_our_message(store: Store, code: str, state: str) -> None:
    hospital, out = await an_order_to_the_ris(store)
    await store.unit(system_agent("t"), lambda tx: tx.update_message(out.id, state="sent", ack_code="CA", ack=b"CA"))
    raw = asking(application_ack(code, out.control_id), "AL", "NE")
    reply = await told(hospital, raw)
    assert (parse(reply).get("MSA-1"), parse(reply).get("MSA-2")) == ("CA", "R1")
    (after,) = await hospital.outgoing()
    assert (after.state, after.ack_code, after.ack) == (state, code, b"CA")  # both are kept, each as it came
    assert [one["text"] for one in after.issues] == ([] if code == "AA" else [f"RIS answered {code} 204"])
    assert await told(hospital, raw) == reply  # a repeat
    (answer,) = await store.view(lambda tx: tx.answers_to(out.id))
    assert answer.raw == raw


async def test_an_answer_for_which_nobody_asked_changes_nothing(store: Store) -> None:
    hospital, out = await an_order_to_the_ris(store)
    assert await told(hospital, application_ack("AR", out.control_id, sender="EVIL|HOSP")) == b""
    assert await told(hospital, application_ack("AR", out.control_id), known=False) == b""
    assert await told(hospital, application_ack("AR", "NOBODY")) == b""
    assert await told(hospital, asking(application_ack("CA", "NOBODY"), "AL", "AL")) == b""  # never CA to CA
    (after,) = await hospital.outgoing()
    assert (after.state, after.ack_code) == ("queued", None)


async def test_an_application_acknowledgement_that_overtakes_the_accept_one_stands(store: Store) -> None:
    hospital, out = await an_order_to_the_ris(store)
    (job,) = await owed(store)  # somebody is at it
    await told(hospital, application_ack("AA", out.control_id))
    await told(hospital, application_ack("CA", out.control_id, type_="ACK^O01"))
    (after,) = await hospital.outgoing()
    assert (after.state, after.ack_code) == ("sent", "AA")
    assert await store.finish(job)
