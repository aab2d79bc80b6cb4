"""Enhanced mode over sockets, and what breaks in the middle of it: nothing lost, nothing twice, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import hl7
import hl7.client
import pytest

from interop.access.agent import Agent
from interop.errors import UnavailableError
from interop.hl7.acknowledgement_mode import Manner
from interop.hl7.framing import frame
from interop.hl7.message import Message, parse
from interop.jobs import Backoff, JobRunner, SendJobs, UnaskedAnswers
from interop.jobs.runner import Lane
from interop.mapping.peers import Receiver
from interop.mllp_sender import MllpSender
from interop.store import MessageRow, Store, open_store
from interop.testing.listener import HL7Listener
from interop.workflow import answers
from tests.hl7_messages import asking, header, message, orm
from tests.hospital import Hospital, an_order
from tests.integration.test_mllp_foreign_peers import node_client
from tests.mllp_door import Peer, kept, listening, told
from tests.sites import RIS, a_site, answered_as

TO_RECEIVER = Manner(application="receiver")


def both(id: str, placer: str = "P1") -> bytes:
    """An order whose sender wants both acknowledgements."""
    return asking(orm(placer=placer, id=id), "AL", "AL")


def reached(listener: HL7Listener, **more: Any) -> Receiver:
    """The RIS, which takes what it is sent at this listener."""
    return replace(RIS, host=listener.host, port=listener.port, types=frozenset(("ACK^O01", "ORM^O01")), **more)


@asynccontextmanager
async def sending(store: Store, *receivers: Receiver, unasked: UnaskedAnswers | None = None) -> AsyncIterator[None]:
    sender = MllpSender(reply_seconds=2, connect_seconds=2, unasked=unasked)
    jobs = SendJobs(store, sender, receivers, silence=0.0)
    runner = JobRunner(store, {"send": Lane(jobs, lease=1.0, backoff=Backoff(first=0.02, most=0.1))}, poll=0.02)
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.close()


async def outgoing(store: Store) -> list[MessageRow]:
    rows = await store.view(lambda tx: tx.find_messages(direction="out", limit=1000))
    return sorted(rows, key=lambda row: row.id)


async def settled(store: Store, state: str, count: int = 1) -> list[MessageRow]:
    """The outgoing messages once so many are in that state."""
    async with asyncio.timeout(20):
        while True:
            rows = await outgoing(store)
            if sum(row.state == state for row in rows) >= count:
                return rows
            await asyncio.sleep(0.02)


async def two(peer: Peer) -> tuple[Message, Message]:
    return await peer.answer(), await peer.answer()


async def test_the_accept_acknowledgement_and_the_applications_come_in_order(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(*(both(f"C{n}", f"P{n}") for n in range(10)), orm("CA", "NONE", id="LAST"))
        said = [told(await peer.answer()) for _ in range(21)]
    assert said == [(code, f"C{n}") for n in range(10) for code in ("CA", "AA")] + [("AE", "LAST")]
    rows = await settled(store, "sent", 10)
    assert [(row.type, row.state) for row in rows] == [("ACK^O01", "sent")] * 10
    assert (await store.view(lambda tx: tx.job_counts()))["waiting"] == 0


async def test_who_wants_no_answer_gets_none_and_the_next_is_answered(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(asking(orm(id="C1"), "NE", "NE"), asking(orm(id="C2", placer="P2"), "ER", "NE"), orm(id="C3"))
        assert told(await peer.answer()) == ("AA", "C3")
    (row,) = await kept(store, "C1")
    assert (row.state, row.ack) == ("received", b"")


async def test_with_mllp_release_2_each_acknowledgement_is_a_block_of_its_own(store: Store) -> None:
    async with listening(store, release=2) as (_, connect):
        peer = await connect()
        await peer.send(both("C1"), asking(orm(id="C2"), "NE", "NE"))
        assert await peer.blocks(4) == ["ACK", "CA C1", "AA C1", "ACK"]


async def test_a_batch_is_answered_by_accept_acknowledgements_and_the_rest_follows(store: Store) -> None:
    batch = b"BHS|^~\\&|RIS\r" + both("C1", "P1") + both("C2", "P2") + b"BTS|2\r"
    async with listening(store, batch_answers=True) as (_, connect):
        peer = await connect()
        await peer.write(frame(batch))
        async with asyncio.timeout(20):
            data = b""
            while data.count(b"\x1c\r") < 3:
                data += await peer.reader.read(65536)
    frames = data.split(b"\x1c\r")
    assert frames[0].startswith(b"\x0bBHS")
    assert frames[0].count(b"MSA|CA|") == 2
    assert [b"MSA|AA|" in one for one in frames[1:3]] == [True, True]


async def test_an_accept_acknowledgement_never_leaves_before_the_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = store.unit
    gate = asyncio.Event()

    async def held(agent: Agent, work: Any, **more: Any) -> Any:
        value = await unit(agent, work, **more)
        await gate.wait()
        return value

    monkeypatch.setattr(store, "unit", held)
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(both("C1"))
        with pytest.raises(TimeoutError):
            await peer.answer(0.3)
        gate.set()
        assert [told(one) for one in await two(peer)] == [("CA", "C1"), ("AA", "C1")]


async def test_a_failure_between_the_commit_and_the_answer_is_mended_by_a_repeat(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = store.unit

    async def broken(agent: Agent, work: Any, **more: Any) -> Any:
        await unit(agent, work, **more)
        raise UnavailableError("gone after the commit")

    async with listening(store) as (_, connect):
        peer = await connect()
        monkeypatch.setattr(store, "unit", broken)
        await peer.send(both("C1"))
        assert told(await peer.answer()) == ("CE", "C1")
        monkeypatch.setattr(store, "unit", unit)
        (row,) = await kept(store, "C1")
        (owed,) = await outgoing(store)
        await peer.send(both("C1"))
        accept, application = await two(peer)
    assert (accept.raw, application.raw) == (row.ack, owed.raw)
    assert len(await store.view(lambda tx: tx.find_orders())) == 1
    (after,) = await settled(store, "sent")
    assert after.id == owed.id


async def test_a_repeat_after_both_were_lost_gets_the_same_bytes(store: Store) -> None:
    async with listening(store) as (listener, connect):
        lost = await connect()
        await lost.send(both("C1"))
        lost.writer.transport.abort()
        async with asyncio.timeout(20):
            while not await kept(store, "C1"):
                await asyncio.sleep(0.01)
        (row,) = await kept(store, "C1")
        (owed,) = await outgoing(store)
        for _ in range(2):
            peer = await connect()
            await peer.send(both("C1"))
            assert [one.raw for one in await two(peer)] == [row.ack, owed.raw]
        assert listener.counts["repeats"] == 2
    assert len(await outgoing(store)) == 1


async def test_what_its_connection_did_not_take_goes_to_the_receiver(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "GRACE", timedelta(seconds=0.3))
    with HL7Listener(answer="CA") as ris:
        site = a_site(reached(ris))
        async with listening(store, site=site) as (_, connect), sending(store, *site.receivers):
            lost = await connect()
            await lost.send(both("C1"))
            lost.writer.transport.abort()
            raws = await asyncio.to_thread(ris.wait_for, lambda messages: len(messages) == 1)
            (row,) = await settled(store, "sent")
    assert (parse(raws[0]).get("MSA-1"), parse(raws[0]).get("MSA-2")) == ("AA", "C1")
    assert (row.raw, row.ack_code) == (raws[0], "CA")


async def test_where_nobody_takes_it_there_is_a_dead_letter_that_a_receiver_wakes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = answered_as(a_site(), TO_RECEIVER)
    async with listening(store, site=site) as (_, connect), sending(store):
        peer = await connect()
        await peer.send(both("C1"))
        assert told(await peer.answer()) == ("CA", "C1")
        (row,) = await settled(store, "dead")
    assert row.peer == "RIS|HOSP"
    assert row.issues[0]["text"] == (
        "nobody takes this acknowledgement: no receiver in peers.toml has application 'RIS' and facility 'HOSP'"
    )
    (dead,) = await store.view(lambda tx: tx.dead_jobs())
    with HL7Listener(answer="CA") as ris:
        async with sending(store, reached(ris, facility="")):
            await Hospital(store).store.unit(Agent("t", "user"), lambda tx: tx.move_message(row.id, "queued", "dead"))
            assert await store.replay(dead.id)
            await settled(store, "sent")
        assert [parse(raw).get("MSA-2") for raw in ris.messages] == ["C1"]


async def test_a_receiver_that_is_down_gets_them_all_once_and_in_order(store: Store) -> None:
    listener = HL7Listener(answer="CA")
    receiver = reached(listener)
    listener.close()
    site = answered_as(a_site(receiver), TO_RECEIVER)
    ids = [f"C{n}" for n in range(12)]
    async with listening(store, site=site) as (_, connect), sending(store, receiver):
        peer = await connect()
        for n, id in enumerate(ids):
            await peer.send(both(id, f"P{n}"))
            assert told(await peer.answer()) == ("CA", id)
        with HL7Listener(port=receiver.port, answer="CA") as back:
            await asyncio.to_thread(back.wait_for, lambda messages: len(messages) >= 4)
        # down again, with some of them on their way; what was not answered is sent again, with the same bytes
        with HL7Listener(port=receiver.port, answer="CA") as again:
            await settled(store, "sent", 12)
            seen = [*back.messages, *again.messages]
    mine = [parse(raw) for raw in seen if parse(raw).type == "ACK^O01"]
    order = list(dict.fromkeys(one.get("MSA-2") for one in mine))
    assert order == ids
    assert len({one.raw for one in mine}) == 12
    assert len(mine) <= 13  # at most the one that was under way came twice, under the same MSH-10


async def test_a_restart_in_the_middle_loses_and_doubles_nothing(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "interop.db"
    path.write_bytes(sqlite_template.read_bytes())
    with HL7Listener(answer="CA") as ris:
        receiver = reached(ris)
        site = answered_as(a_site(receiver), TO_RECEIVER)
        store = await open_store(f"sqlite:///{path}")
        async with listening(store, site=site) as (_, connect):
            peer = await connect()
            await peer.send(*(both(f"C{n}", f"P{n}") for n in range(6)))
            assert [told(await peer.answer()) for n in range(6)] == [("CA", f"C{n}") for n in range(6)]
        async with sending(store, receiver):
            await settled(store, "sent", 3)
        await store.close()
        store = await open_store(f"sqlite:///{path}")
        async with listening(store, site=site) as (_, connect), sending(store, receiver):
            peer = await connect()
            await peer.send(both("C0", "P0"))  # its sender was not sure
            assert told(await peer.answer()) == ("CA", "C0")
            await settled(store, "sent", 6)
        assert len(await outgoing(store)) == 6
        await store.close()
        told_of = [parse(raw).get("MSA-2") for raw in ris.messages]
    assert list(dict.fromkeys(told_of)) == [f"C{n}" for n in range(6)]
    assert len(set(ris.messages)) == 6


async def test_we_ask_a_receiver_for_both_and_take_the_second_at_our_listener(store: Store) -> None:
    with HL7Listener(answer="CA") as ris:
        receiver = reached(ris, enhanced=True)
        hospital = Hospital(store, a_site(receiver))
        async with listening(store, site=hospital.site) as (listener, connect), sending(store, receiver):
            await hospital.post(an_order(await hospital.patient()))
            (row,) = await settled(store, "sent")
            sent = parse(ris.messages[0])
            assert (row.ack_code, sent.get("MSH-15"), sent.get("MSH-16")) == ("CA", "AL", "AL")
            peer = await connect()
            answer = asking(message(header("ORR^O02", "R1"), f"MSA|AE|{row.control_id}"), "AL", "NE")
            await peer.send(answer, answer)
            first, second = await two(peer)
            assert (told(first), first.raw) == (("CA", "R1"), second.raw)
            assert listener.counts["stray answers"] == 2
        (after,) = await outgoing(store)
        assert (after.state, after.ack_code, after.issues[0]["text"]) == ("dead", "AE", "RIS answered AE")
    assert await kept(store, "R1") == []  # its number stays free for a message of its own


async def test_one_of_our_servers_and_another_agree(store: Store, tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(sqlite_template.read_bytes())
    other = await open_store(f"sqlite:///{path}")
    async with listening(other) as (listener, _):
        receiver = replace(RIS, port=listener.port, enhanced=True)
        hospital = Hospital(store, a_site(receiver))
        order = (await hospital.post(an_order(await hospital.patient()))).resource()
        await hospital.put({**order, "status": "revoked"})
        unasked = UnaskedAnswers(store, hospital.site)
        async with sending(store, receiver, unasked=unasked):
            async with asyncio.timeout(20):
                while [row.ack_code for row in await outgoing(store)] != ["AA", "AA"]:
                    await asyncio.sleep(0.02)
        await unasked.close()
        assert [row.state for row in await outgoing(store)] == ["sent", "sent"]
        confirmed = await settled(other, "sent", 2)  # each application acknowledgement got its CA
        assert {row.type for row in confirmed} == {"ACK^O01"}
    await other.close()


async def test_clients_of_others_that_want_both(store: Store) -> None:
    raws = [both(f"C{n}", f"P{n}") for n in range(3)]

    def talk(port: int) -> list[str]:
        with hl7.client.MLLPClient("127.0.0.1", port) as client:
            answer = client.send_message(hl7.parse(raws[0].decode()))
            while answer.count(b"\x1c\r") < 2:
                answer += client.socket.recv(4096)
            return [str(hl7.parse(one.decode())["MSA.F1"]) for one in answer.strip(b"\x0b\x1c\r").split(b"\x1c\r\x0b")]

    async with listening(store) as (listener, _):
        assert await asyncio.to_thread(talk, listener.port) == ["CA", "AA"]
        answered = await node_client(listener.port, "each", raws[1:])
        assert answered[0] == ("CA", "C1")
        assert {id for _, id in answered} <= {"C1", "C2"}
        assert listener.counts["faults"] == 0
