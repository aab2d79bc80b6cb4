"""Messages beyond the plain order, over the wire: versions, several groups and steps, attachments, stray answers."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from interop.fhir.query import Query
from interop.fhir.validation import validate
from interop.store import Store
from tests.hl7_messages import PATIENT, adt, header, message, orm, oru
from tests.mllp_door import listening, told

PDF = b"%PDF-1.4 a report of several lines, long enough to be broken \xff\xfe" * 5


async def all_of(store: Store, type: str) -> list[dict[str, Any]]:
    """The resources of a type, oldest first."""
    rows = await store.view(lambda tx: tx.search(Query(type)).rows)
    return [row.resource() for row in rows]


VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.9", "")


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_version_is_heard_and_answered_in_it(store: Store, version: str) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        for number, raw in enumerate((adt("A04", id="V0"), orm(id="V1"), oru(id="V2"), adt("A08", id="V3"))):
            await peer.send(raw.replace(b"|P|2.5.1|", f"|P|{version}|".encode()))
            answer = await peer.answer()
            assert (told(answer), answer.version) == (("AA", f"V{number}"), version or "2.5.1")


@pytest.mark.parametrize("type", ["ACK", "ACK^O01^ACK", "ORR^O02^ORR_O02", "ORI^O24"])
async def test_an_answer_is_kept_and_not_answered(store: Store, type: str) -> None:
    stray = message(header(type, "S1"), "MSA|AA|X1")
    async with listening(store) as (listener, connect):
        peer = await connect()
        await peer.send(stray, orm(id="S1"), stray)
        assert told(await peer.answer()) == ("AA", "S1")
        await peer.send(orm(id="S1"))  # and does not stand in the way of its sender's own numbers
        assert told(await peer.answer()) == ("AA", "S1")
        with pytest.raises(TimeoutError):
            await peer.answer(0.3)
        assert (listener.counts["stray answers"], listener.counts["repeats"]) == (2, 1)
    strays = await store.view(lambda tx: [row for row in tx.find_messages(state="received") if row.raw == stray])
    assert [(row.ack, row.ack_code) for row in strays] == [(None, None)] * 2
    events = [one for one in await all_of(store, "AuditEvent") if "not answered" in one.get("outcomeDesc", "")]
    assert len(events) == 2


async def test_a_report_of_several_groups_is_several_reports(store: Store) -> None:
    raw = message(
        header("ORU^R01", "G1"),
        PATIENT,
        "ORC|RE|P1^RIS|F1^RIS",
        "OBR|1|P1^RIS|F1^RIS|CTCH^CT chest^L|||20261121084500|||||||||||||||20261121100000|||F",
        "OBX|1|TX|FIND^Finding^L||Clear lungs.||||||F",
        "SPM|1|||TISS^Tissue^L",
        "OBX|1|TX|SPEC^Specimen^L||A sample.||||||F",
        "OBR|2|P2^RIS|F2^RIS|CTAB^CT abdomen^L|||20261121084500|||||||||||||||20261121100000|||P",
        "OBX|1|TX|FIND^Finding^L||Not yet read.||||||P",
    )
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(orm(placer="P1"), orm(placer="P2", code="CTAB^CT abdomen^L"), raw)
        assert [(await peer.answer()).get("MSA-1") for _ in range(3)] == ["AA", "AA", "AA"]
    reports = await all_of(store, "DiagnosticReport")
    assert [(one["status"], len(one["result"])) for one in reports] == [("final", 2), ("preliminary", 1)]
    assert [one["code"]["coding"][0]["code"] for one in await all_of(store, "Observation")] == ["FIND", "SPEC", "FIND"]
    assert {one["status"] for one in await all_of(store, "ServiceRequest")} == {"completed", "active"}
    assert reports[0]["basedOn"] != reports[1]["basedOn"]


@pytest.mark.parametrize("broken", ["\\X0D\\", "\\X0A\\", "\\X0D0A\\", "\\.br\\", " ", "\r\n", "\n"])
async def test_a_document_whose_base64_is_broken_over_lines(store: Store, broken: str) -> None:
    text = base64.b64encode(PDF).decode()
    data = broken.join(text[at : at + 76] for at in range(0, len(text), 76))
    extra = (f"OBX|3|ED|PDF^Report^L||^application^pdf^Base64^{data}||||||F",)
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(oru(extra=extra, id="D1"))
        assert told(await peer.answer()) == ("AA", "D1")
    (report,) = await all_of(store, "DiagnosticReport")
    (form,) = report["presentedForm"]
    assert (form["contentType"], form["title"]) == ("application/pdf", "Report")
    assert base64.b64decode(form["data"], validate=True) == PDF


async def test_a_document_elsewhere_is_linked_and_one_that_is_broken_refused(store: Store) -> None:
    pointer = "OBX|3|RP|IMG^Images^L||https://pacs.example/wado?1^^application^pdf||||||F"
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(oru(extra=(pointer,)))
        assert (await peer.answer()).get("MSA-1") == "AA"
        await peer.send(oru(extra=("OBX|3|ED|PDF^Report^L||^application^pdf^Base64^JVBE*||||||F",), filler="F2"))
        answer = await peer.answer()
        assert (answer.get("MSA-1"), answer.get("ERR-2")) == ("AE", "OBX^3^5^1^5")
    (report,) = await all_of(store, "DiagnosticReport")
    assert report["presentedForm"][0]["url"] == "https://pacs.example/wado?1"


def omi(*ipcs: str, times: tuple[str, ...] = ("20261123090000",)) -> bytes:
    """An OMI^O23 of one order with these IPCs."""
    return message(
        header("OMI^O23^OMI_O23"),
        PATIENT,
        "ORC|NW|P1^RIS|F1^RIS",
        *(f"TQ1|{number}||||||{time}" for number, time in enumerate(times, 1)),
        "OBR|1|P1^RIS|F1^RIS|CTCH^CT chest^L",
        *(f"IPC|ACC1^RIS|RP1^RIS|1.2.826.0.1.3680043.9.7.3|{ipc}" for ipc in ipcs),
    )


async def test_several_ipc_of_one_step_are_its_protocol_codes(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(omi("S1^RIS|CT|A^Plain^L", "S1^RIS|CT|B^Contrast^L"))
        answer = await peer.answer()
        assert (answer.get("MSA-1"), answer.all("ERR")) == ("AA", [])
    (order,) = await all_of(store, "ServiceRequest")
    codes = [detail["coding"][0]["code"] for detail in order["orderDetail"]]
    assert codes == ["CT", "A", "B"]
    (row,) = await store.view(lambda tx: tx.find_orders())
    assert (row.step_id, row.accession and row.accession.value, row.study_uid) == (
        "S1",
        "ACC1",
        "1.2.826.0.1.3680043.9.7.3",
    )


async def test_a_second_step_has_its_own_time_and_leaves_no_trace_in_the_first(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(
            omi("S1^RIS|CT|A^Plain^L", "S2^RIS|CT|B^Contrast^L|||CT2", times=("20261123090000", "20261124090000"))
        )
        answer = await peer.answer()
    assert (answer.get("MSA-1"), answer.all("ERR")) == ("AA", [])
    (row,) = await store.view(lambda tx: tx.find_orders())
    first, second = await store.view(lambda tx: tx.order_steps(row.id))
    assert (row.step_id, first.step_id, first.stations) == ("S1", "S1", ("CT1", "CT2"))  # all CTs
    assert (second.step_id, second.stations) == ("S2", ("CT2",))
    assert (first.start and first.start.day, second.start and second.start.day) == (23, 24)


async def test_a_general_clinical_order_has_the_same_life(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        for control, code in (("NW", "AA"), ("CA", "AA"), ("RL", "AE")):
            await peer.send(orm(control).replace(b"ORM^O01", b"OMG^O19^OMG_O19"))
            assert (await peer.answer()).get("MSA-1") == code
    (order,) = await all_of(store, "ServiceRequest")
    assert order["status"] == "revoked"


def mdm(event: str, number: str, text: str, *, parent: str = "", status: str = "AU", order: bool = True) -> bytes:
    """An MDM message with a document of one text."""
    groups = ("ORC|RE|P1^RIS|", "OBR|1|P1^RIS||CTCH^CT chest^L|||20261121084500") if order else ()
    named = f"{parent}^DICT" if parent else ""
    txa = (
        f"TXA|1|DI|TX|20261121084500|||20261121093000|||||{number}^DICT|{named}|{'' if order else 'P1^RIS'}|||{status}"
    )
    obx = f"OBX|1|TX|FIND^Finding^L||{text}||||||F"
    return message(header(f"MDM^{event}^MDM_T02"), f"EVN|{event}|20261121", PATIENT, "PV1|1|O", *groups, txa, obx)


async def test_a_document_is_the_report_of_its_order(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(orm(), mdm("T02", "D1", "Dictated.", status="DO"), mdm("T04", "D1", "Signed.", status="LA"))
        assert [(await peer.answer()).get("MSA-1") for _ in range(3)] == ["AA"] * 3
    (report,) = await all_of(store, "DiagnosticReport")
    (order,) = await all_of(store, "ServiceRequest")
    assert (report["status"], report["meta"]["versionId"]) == ("final", "2")
    assert report["identifier"][0] == {"system": "urn:interop:ns:HOSP:DICT", "value": "D1"}
    assert report["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    assert order["status"] == "completed"
    (observation,) = await all_of(store, "Observation")
    assert observation["valueString"] == "Signed."


@pytest.mark.parametrize(("event", "status"), [("T08", "amended"), ("T10", "corrected")])
async def test_a_document_in_the_place_of_another_is_its_next_version(store: Store, event: str, status: str) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(orm(), mdm("T02", "D1", "First."), mdm(event, "D2", "Second.", parent="D1", order=False))
        assert [(await peer.answer()).get("MSA-1") for _ in range(3)] == ["AA"] * 3
        await peer.send(mdm("T04", "D2", "Second, again.", order=False), mdm("T02", "D1", "Late.", status="DO"))
        answers = [await peer.answer() for _ in range(2)]
        assert [(one.get("MSA-1"), one.get("ERR-4")) for one in answers] == [("AA", ""), ("AA", "W")]
    (report,) = await all_of(store, "DiagnosticReport")
    assert [one["value"] for one in report["identifier"] if "type" not in one] == ["D2", "D1"]
    history = await store.view(lambda tx: tx.history("DiagnosticReport", report["id"]).rows)
    assert [row.resource()["status"] for row in history] == ["final", status, "final"]


async def test_an_addendum_is_a_report_beside_the_first(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(orm(), mdm("T02", "D1", "First."), mdm("T06", "D2", "And more.", parent="D1"))
        assert [(await peer.answer()).get("MSA-1") for _ in range(3)] == ["AA"] * 3
    reports = await all_of(store, "DiagnosticReport")
    assert [one["status"] for one in reports] == ["final", "appended"]
    assert reports[0]["basedOn"] == reports[1]["basedOn"]


async def test_a_replacing_document_that_names_none_stands_alone_and_says_so(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(mdm("T10", "D2", "Second."))
        answer = await peer.answer()
    assert answer.get("MSA-1") == "AA"
    assert "TXA^1^13^1" in [err.value(2).raw for err in answer.all("ERR")]


async def test_a_document_of_two_orders_is_linked_to_the_first_and_says_so(store: Store) -> None:
    raw = mdm("T02", "D1", "Both.").replace(b"TXA|", b"ORC|RE|P2^RIS\rOBR|2|P2^RIS||CTAB^CT abdomen^L\rTXA|")
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(orm(), orm(placer="P2", code="CTAB^CT abdomen^L"), raw)
        answer = [await peer.answer() for _ in range(3)][2]
    assert (answer.get("MSA-1"), answer.get("ERR-2")) == ("AA", "ORC^2")
    (report,) = await all_of(store, "DiagnosticReport")
    assert len(report["result"]) == 1


async def test_what_comes_with_an_order_is_kept_with_it(store: Store) -> None:
    segments = orm().decode().strip("\r").split("\r")
    around = (
        "PD1||||G1^Family^Fanny",
        "NTE|1||afraid of narrow places",
        "IN1|1|PLAN1^Basic plan|INS1|National Insurance",
        "AL1|1|DA|70618^Penicillin^L|SV|rash",
    )
    raw = message(*segments[:2], *around, *segments[2:], "NTE|1||its own note", "DG1|1|I10|K35.8|Acute appendicitis")
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(raw)
        answer = await peer.answer()
    assert (answer.get("MSA-1"), answer.all("ERR")) == ("AA", [])
    (order,), (patient,) = await all_of(store, "ServiceRequest"), await all_of(store, "Patient")
    validate(order)
    validate(patient)
    assert patient["generalPractitioner"][0]["display"] == "Fanny Family"
    assert [note["text"] for note in order["note"]] == ["its own note", "afraid of narrow places"]
    assert order["supportingInfo"][0]["display"] == "Allergy: Penicillin (severe, rash)"
    assert order["insurance"][0]["display"] == "National Insurance, Basic plan"
    assert (order["reasonCode"][0]["coding"][0]["code"], order["reasonCode"][0]["text"]) == (
        "K35.8",
        "Acute appendicitis",
    )


async def test_a_note_on_the_report_itself_is_kept(store: Store) -> None:
    raw = oru().replace(b"OBX|1|", b"NTE|1||read twice\rOBX|1|")
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(raw)
        assert (await peer.answer()).get("MSA-1") == "AA"
    (report,) = await all_of(store, "DiagnosticReport")
    validate(report)
    assert [one["valueAnnotation"]["text"] for one in report["extension"]] == ["read twice"]
