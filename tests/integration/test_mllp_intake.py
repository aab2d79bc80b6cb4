"""HL7 over a socket: every message answered once, in order, and never before its commit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interop.access.agent import Agent
from interop.errors import UnavailableError
from interop.fhir.query import Query
from interop.hl7.framing import frame
from interop.mllp_listener import MllpListener
from interop.store import Store, open_store
from tests.hl7_messages import adt, message, orm, oru
from tests.mllp_door import Peer, kept, listening, told
from tests.sites import a_site


async def test_a_message_is_answered_and_its_order_is_there(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(orm(id="C1"))
        assert told(await peer.answer()) == ("AA", "C1")
    (row,) = await kept(store, "C1")
    assert (row.peer, row.state) == ("127.0.0.1", "received")
    assert len(await store.view(lambda tx: tx.search(Query("ServiceRequest")).rows)) == 1


async def test_frames_in_one_write_are_answered_in_order(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        raws = [orm(placer=f"P{n}", id=f"C{n}") for n in range(40)]
        await peer.send(*raws)
        assert [told(await peer.answer()) for _ in raws] == [("AA", f"C{n}") for n in range(40)]


async def test_messages_of_one_connection_happen_in_order(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        large = oru("F", id="L", text="x" * 400_000)  # read beside the event loop; what follows waits for it
        await peer.send(orm(id="N"), large, orm("CA", id="A"), oru("P", id="P", text="late"))
        answers = [await peer.answer() for _ in range(4)]
        assert [told(one) for one in answers] == [("AA", "N"), ("AA", "L"), ("AE", "A"), ("AA", "P")]
        assert answers[3].get("ERR-4") == "W"


async def test_many_connections_at_once(store: Store) -> None:
    async with listening(store) as (listener, connect):

        async def send_some(number: int) -> None:
            peer = await connect()
            for n in range(5):
                await peer.send(orm(placer=f"P{number}.{n}", id=f"C{number}.{n}"))
                assert told(await peer.answer()) == ("AA", f"C{number}.{n}")

        await asyncio.gather(*(send_some(number) for number in range(20)))
        assert (listener.counts["connections"], listener.counts["AA"]) == (20, 100)
    assert len(await store.view(lambda tx: tx.find_orders(limit=1000))) == 100


async def test_no_answer_leaves_before_the_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = store.unit
    gate = asyncio.Event()

    async def held(agent: Agent, work: Any, **more: Any) -> Any:
        value = await unit(agent, work, **more)
        await gate.wait()  # done and, for all the door knows, not yet on the disk
        return value

    monkeypatch.setattr(store, "unit", held)
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(orm(id="C1"))
        with pytest.raises(TimeoutError):
            await peer.answer(0.3)
        gate.set()
        assert told(await peer.answer()) == ("AA", "C1")


async def test_what_could_not_be_kept_is_never_acknowledged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = store.unit
    async with listening(store) as (listener, connect):
        peer = await connect()

        async def broken(*_: Any, **__: Any) -> Any:
            raise UnavailableError("the disk is gone")

        monkeypatch.setattr(store, "unit", broken)
        await peer.send(orm(id="C1"))
        answer = await peer.answer()
        assert (told(answer), answer.get("ERR-3.1")) == (("AE", "C1"), "207")
        monkeypatch.setattr(store, "unit", unit)
        await peer.send(orm(id="C1"))
        assert told(await peer.answer()) == ("AA", "C1")
        assert listener.counts["unavailable"] == 1


async def test_a_full_database_says_so_and_takes_messages_again_when_there_is_room(
    tmp_path: Path, sqlite_template: Path
) -> None:
    path = tmp_path / "interop.db"
    path.write_bytes(sqlite_template.read_bytes())
    pages = path.stat().st_size // 4096
    small = await open_store(f"sqlite:///{path}?max_page_count={pages + 40}")
    sent = 0
    async with listening(small) as (_, connect):
        peer = await connect()
        for sent in range(200):
            await peer.send(orm(placer=f"P{sent}", id=f"C{sent}"))
            answer = await peer.answer()
            if answer.get("MSA-1") != "AA":
                assert (told(answer), answer.get("ERR-8")) == (("AE", f"C{sent}"), "the database is full")
                break
        else:
            pytest.fail("the database never filled")
    await small.close()
    roomy = await open_store(f"sqlite:///{path}")
    assert len(await roomy.view(lambda tx: tx.find_orders(limit=1000))) == sent  # exactly what was acknowledged
    async with listening(roomy) as (_, connect):
        peer = await connect()
        await peer.send(orm(placer=f"P{sent}", id=f"C{sent}"))
        assert told(await peer.answer()) == ("AA", f"C{sent}")
    await roomy.close()


async def test_a_fault_of_ours_is_an_error_answer_and_keeps_the_message(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("interop.workflow.messages.map_message", bug)
    async with listening(store) as (listener, connect):
        peer = await connect()
        await peer.send(orm(id="C1"))
        answer = await peer.answer()
        assert (told(answer), answer.get("ERR-3.1")) == (("AE", "C1"), "207")
        assert listener.counts["failed"] == 1
    (row,) = await kept(store, "C1")
    assert (row.state, row.ack_code) == ("refused", "AE")


async def test_a_repeat_after_a_lost_answer_gets_the_same_one(store: Store) -> None:
    async with listening(store) as (listener, connect):
        lost = await connect()
        await lost.send(orm(id="C1"))
        lost.writer.transport.abort()  # the line breaks before the answer
        for _ in range(200):
            if await kept(store, "C1"):
                break
            await asyncio.sleep(0.01)
        (row,) = await kept(store, "C1")
        peer = await connect()
        await peer.send(orm(id="C1"))
        answer = await peer.answer()
        assert answer.raw == row.ack
        assert listener.counts["repeats"] == 1
    assert len(await store.view(lambda tx: tx.find_orders())) == 1


async def test_a_message_of_twenty_megabytes_with_a_report_in_it(store: Store) -> None:
    import base64

    pdf = base64.b64encode(b"%PDF" + bytes(15_000_000)).decode()
    raw = oru(id="BIG", placer="", filler="F1", extra=(f"OBX|3|ED|PDF^R^L||^application^pdf^Base64^{pdf}||||||F",))
    assert len(raw) > 20_000_000
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(raw, orm(id="NEXT"))
        assert told(await peer.answer()) == ("AA", "BIG")
        assert told(await peer.answer()) == ("AA", "NEXT")
    (report,) = await store.view(lambda tx: [row.resource() for row in tx.search(Query("DiagnosticReport")).rows])
    assert report["presentedForm"][0]["data"] == pdf


async def test_a_message_beyond_the_limit_is_refused_and_the_stream_stays_in_step(store: Store) -> None:
    async with listening(store, message_bytes=100_000) as (listener, connect):
        peer = await connect()
        await peer.send(oru(id="BIG", text="x" * 5_000_000), orm(id="NEXT"))
        answer = await peer.answer()
        assert told(answer) == ("AR", "BIG")
        assert "larger than this listener accepts" in answer.get("ERR-8")
        assert told(await peer.answer()) == ("AA", "NEXT")
        assert listener.counts["fault too-large"] == 1


async def test_unframed_bytes_are_answered_counted_kept_and_the_next_frame_is_read(store: Store) -> None:
    async with listening(store) as (listener, connect):
        peer = await connect()
        await peer.write(orm(id="BARE") + frame(orm(id="C1")))
        answer = await peer.answer()
        assert (answer.get("MSA-1"), answer.get("ERR-3.1")) == ("AR", "100")
        assert told(await peer.answer()) == ("AA", "C1")
        assert listener.counts["fault unframed"] == 1
    refused = await store.view(lambda tx: tx.find_messages(state="refused"))
    assert [row.raw for row in refused] == [orm(id="BARE")]


async def test_bytes_that_never_become_a_message_end_the_connection(store: Store) -> None:
    async with listening(store, faults=3) as (_, connect):
        peer = await connect()
        await peer.write(b"GET / HTTP/1.1\x1c" * 5)
        answers = [(await peer.answer()).get("MSA-1") for _ in range(3)]
        assert answers == ["AR", "AR", "AR"]
        assert await peer.ended()


async def test_a_message_that_cannot_be_parsed_is_refused_with_its_place(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(b"MSH|", b"hello", message("MSH|^~\\&|A|B|C|D|2026||ORM^O01||P|2.5.1"))
        answers = [await peer.answer() for _ in range(3)]
    assert [one.get("MSA-1") for one in answers] == ["AR", "AR", "AE"]
    assert [one.get("ERR-2") for one in answers][2] == "MSH^1^10^1"


async def test_a_batch_is_taken_apart_and_every_message_answered(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        batch = b"FHS|^~\\&|RIS\rBHS|^~\\&|RIS\r" + orm(id="B1") + adt(id="B2") + b"BTS|2\rFTS|1\r"
        await peer.write(frame(batch))
        assert [told(await peer.answer()) for _ in range(2)] == [("AA", "B1"), ("AA", "B2")]


async def test_a_message_without_its_last_byte_is_answered_when_the_sender_falls_silent(store: Store) -> None:
    async with listening(store, quiet_seconds=0.05) as (_, connect):
        peer = await connect()
        await peer.write(b"\x0b" + orm(id="C1").rstrip(b"\r") + b"\x1c")
        assert told(await peer.answer()) == ("AA", "C1")


async def test_a_half_closed_connection_still_gets_its_answers(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(orm(id="C1"), orm(placer="P2", id="C2"))
        peer.writer.write_eof()
        assert [told(await peer.answer()) for _ in range(2)] == [("AA", "C1"), ("AA", "C2")]
        assert await peer.ended()


async def test_a_message_that_trickles_in_for_ever_is_dropped(store: Store) -> None:
    async with listening(store, quiet_seconds=0.05, partial_seconds=0.3) as (listener, connect):
        peer, other = await connect(), await connect()
        await peer.write(b"\x0bMSH|^~\\&|")
        await other.send(orm(id="C1"))
        assert told(await other.answer()) == ("AA", "C1")  # others do not wait for it
        refused = await peer.answer()
        assert (refused.get("MSA-1"), "did not come to its end in time" in refused.get("ERR-8")) == ("AR", True)
        assert await peer.ended()
        assert (listener.counts["slow"], listener.counts["fault too-slow"]) == (1, 1)


async def test_an_idle_connection_stays(store: Store) -> None:
    async with listening(store, quiet_seconds=0.02, partial_seconds=0.05) as (_, connect):
        peer = await connect()
        await peer.write(b"\r\n\x00")  # keep-alives
        await asyncio.sleep(0.5)
        await peer.send(orm(id="C1"))
        assert told(await peer.answer()) == ("AA", "C1")


async def test_a_health_probe_is_no_fault(store: Store) -> None:
    async with listening(store) as (listener, connect):
        peer = await connect()
        peer.writer.close()
        await peer.writer.wait_closed()
        later = await connect()
        await later.send(orm(id="C1"))
        await later.answer()
        assert listener.counts["faults"] == 0


async def test_only_listed_applications_are_heard(store: Store) -> None:
    async with listening(store, "127.0.0.1=RIS") as (_, connect):
        peer = await connect()
        await peer.send(orm(id="C1"), orm(id="C2", sender="EVIL|HOSP"))
        assert told(await peer.answer()) == ("AA", "C1")
        answer = await peer.answer()
        assert (told(answer), answer.get("ERR-2")) == (("AR", "C2"), "MSH^1^3^1")
    (row,) = await kept(store, "C2")
    assert row.state == "refused"
    assert len(await store.view(lambda tx: tx.find_orders())) == 1


async def test_a_connection_from_elsewhere_is_told_why_closed_and_audited(store: Store) -> None:
    async with listening(store, "10.1.2.3") as (listener, connect):
        peer = await connect()
        await peer.send(orm(id="C1"))
        answer = await peer.answer()
        assert (told(answer), answer.get("ERR-3.1")) == (("AR", "C1"), "207")
        assert "127.0.0.1 is not on the list of peers: add it to INTEROP_MLLP_PEERS" in answer.get("ERR-8")
        assert await peer.ended()
        assert listener.counts["connections refused"] == 1
    assert await kept(store, "C1") == []
    events = await store.view(lambda tx: [one.resource() for one in tx.search(Query("AuditEvent")).rows])
    assert [one["subtype"][0]["code"] for one in events] == ["mllp-peer-refused"]


async def test_stopping_answers_what_was_received(store: Store) -> None:
    listener = MllpListener(store, a_site(), "127.0.0.1", 0)
    await listener.start()
    peer = Peer(*await asyncio.open_connection("127.0.0.1", listener.port))
    await peer.send(*(orm(placer=f"P{n}", id=f"C{n}") for n in range(10)))
    await peer.answer()
    await listener.stop()
    assert not listener.ready()
    received = 1
    try:
        while True:
            await peer.answer(1)
            received += 1
    except EOFError:
        peer.writer.close()
    assert received == len(await store.view(lambda tx: tx.find_orders()))
