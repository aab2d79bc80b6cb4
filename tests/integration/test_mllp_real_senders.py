"""What real senders do on the wire, against the running listener: each has its decided answer; no loss unseen."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from interop.errors import UnavailableError
from interop.hl7.batches import messages_in
from interop.hl7.framing import commit_block, frame
from interop.hl7.message import parse
from interop.mllp_listener.connection import Connection
from interop.store import MessageQuery, Store
from tests.hl7_messages import adt, orm, oru
from tests.mllp_door import Peer, kept, listening, told
from tests.real_server import RealServer

CORPUS = Path(os.environ["INTEROP_CORPUS"]) / "hl7/derived-mllp-frames" if "INTEROP_CORPUS" in os.environ else None
ANSWERS = {  # MSA-1 of each answer; what stands there is in docs/reference/hl7.md, too
    "00_ok": ["AA"], "01_two_pipelined": ["AA", "AA"], "02_fs_without_cr_then_vt": ["AA", "AA"],
    "03_lf_after_fs": ["AA"], "04_crlf_after_fs": ["AA", "AA"], "05_missing_vt": ["AR"],
    "06_leading_ws_crlf": ["AA"], "07_nul_between_frames": ["AA", "AA"], "08_empty_frame": [],
    "09_vt_mid_payload_truncated": ["AR", "AA"], "10_no_trailer_then_close": ["AR"],
    "11_no_final_segment_cr": ["AA"], "12_lf_segment_ends": ["AA"], "13_crlf_segment_ends": ["AA"],
    "14_unframed_plain": ["AR"], "15_two_msh_in_one_frame": ["AA", "AA"], "16_batch_in_frame": ["AA", "AA"],
    "17_fs_inside_obx": ["AA"], "18_frame_256k": ["AA"], "19_stray_after_frame": ["AA", "AR"],
    "20_mllp2_ack_block": [], "21_mllp2_nak_block": [], "22_ff_instead_of_cr_meditech": ["AA", "AR"],
    "23_double_vt": ["AA"], "24_double_fs": ["AA"],
}  # fmt: skip

if CORPUS is not None:

    @pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
    async def test_every_frame_of_the_corpus_gets_its_decided_answers(store: Store, path: Path) -> None:
        async with listening(store) as (_, connect):
            peer = await connect()
            await peer.write(path.read_bytes())
            peer.writer.write_eof()
            got: list[str] = []
            try:
                while True:
                    got.append((await peer.answer()).get("MSA-1"))
            except EOFError:
                assert got == ANSWERS[path.stem]


async def test_a_torn_message_is_refused_kept_and_counted(store: Store) -> None:
    async with listening(store) as (listener, connect):
        peer = await connect()
        await peer.write(b"\x0b" + orm(id="TORN")[:150] + frame(orm(id="C1")))
        refusal = await peer.answer()
        assert (*told(refusal), refusal.get("ERR-3.1")) == ("AR", "TORN", "100")
        assert (refusal.get("MSH-5"), refusal.get("MSH-6")) == ("RIS", "HOSP")
        assert "a new message began inside this one" in refusal.get("ERR-8")
        assert told(await peer.answer()) == ("AA", "C1")
        assert (listener.counts["faults"], listener.counts["fault torn"]) == (1, 1)
    rows = await store.view(lambda tx: tx.find_messages(state="refused"))
    assert [row.raw for row in rows] == [orm(id="TORN")[:150]]


async def test_a_torn_message_is_listed_under_its_control_id_which_stays_free_for_the_whole_one(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.write(b"\x0b" + orm(id="TORN")[:150] + frame(orm(id="TORN")))
        assert [told(await peer.answer()), told(await peer.answer())] == [("AR", "TORN"), ("AA", "TORN")]
        await peer.send(orm(id="TORN"))
        assert told(await peer.answer()) == ("AA", "TORN")
    rows = await store.view(lambda tx: tx.list_messages(MessageQuery(control_id="TORN", direction="in")))
    assert [(row.type, row.application, row.facility, row.state) for row in rows] == [
        ("ORM^O01", "RIS", "HOSP", "received"),
        ("fault torn", "RIS", "HOSP", "refused"),
    ]


@pytest.mark.parametrize("position", ["MSH-3", "MSH-4", "MSH-9", "MSH-10"])
async def test_names_that_no_index_takes_are_refused_and_kept(store: Store, position: str) -> None:
    fields = orm(id="LONG").split(b"|")
    number = int(position[4:]) - 1
    fields[number] = bytes(random.Random(1).choices(b"abcdefghijklmnopqrstuvwxyz", k=20_000))
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(b"|".join(fields), orm(id="NEXT"))
        refusal = await peer.answer()
        assert (refusal.get("MSA-1"), refusal.get("ERR-2.1"), refusal.get("ERR-2.3")) == ("AE", "MSH", position[4:])
        assert f"{position} has 20000 characters; at most 199" in refusal.get("ERR-8")
        assert told(await peer.answer()) == ("AA", "NEXT")
    (row,) = await store.view(lambda tx: tx.find_messages(state="refused"))
    assert row.raw == b"|".join(fields)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 1_000_000])
async def test_messages_around_and_beyond_64_kib(store: Store, size: int) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        empty = oru(id="BIG", placer="", filler="F1", text="")
        raw = oru(id="BIG", placer="", filler="F1", text="x" * (size - len(empty)))
        assert len(raw) == size
        await peer.send(raw, orm(id="NEXT"))
        assert told(await peer.answer()) == ("AA", "BIG")
        assert told(await peer.answer()) == ("AA", "NEXT")


async def test_unframed_bytes_that_never_end_are_refused_in_time_and_the_connection_ended(store: Store) -> None:
    async with listening(store, quiet_seconds=0.05, partial_seconds=0.3) as (listener, connect):
        peer = await connect()
        await peer.write(orm(id="BARE"))  # no VT, no FS: the sender waits for an answer
        answer = await peer.answer()
        assert (answer.get("MSA-1"), "outside an MLLP frame" in answer.get("ERR-8")) == ("AR", True)
        assert await peer.ended()
        assert listener.counts["slow"] == 1


@pytest.mark.parametrize("step", [1, 1000])
async def test_what_keeps_coming_without_end_is_dropped(store: Store, step: int) -> None:
    limits = {"message_bytes": 2000, "quiet_seconds": 0.1, "partial_seconds": 0.3, "partial_rate": 10_000}
    async with listening(store, **limits) as (listener, connect):
        peer = await connect()
        await peer.write(b"\x0bMSH|")
        for _ in range(500):
            await peer.write(b"x" * step)  # before silence is ever noticed
            await asyncio.sleep(0.02)
            if listener.counts["slow"]:
                break
        assert listener.counts["slow"] == 1
        assert (await peer.answer()).get("MSA-1") == "AR"
        assert await peer.ended()


async def test_idle_sockets_are_kept_alive(store: Store) -> None:
    async with listening(store) as (listener, connect):
        peer = await connect()
        await peer.send(orm(id="C1"))
        await peer.answer()
        (connection,) = listener._connections
        assert isinstance(connection, Connection)
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 120


BATCH = b"FHS|^~\\&|RIS|HOSP|||||||F1\rBHS|^~\\&|RIS|HOSP|||||||B1\r%sBTS|%d\rFTS|1\r"


async def test_a_batch_is_answered_by_a_batch_where_that_is_asked_for(store: Store) -> None:
    async with listening(store, batch_answers=True) as (_, connect):
        peer = await connect()
        await peer.write(frame(BATCH % (orm(id="C1") + adt(id="C2") + orm("CA", "NONE", id="C3"), 3)))
        async with asyncio.timeout(20):
            data = await peer.reader.readuntil(b"\x1c\r")
        lines = data[1:-2].decode().splitlines()
        assert [line[:3] for line in lines if line[:3] != "ERR"] == [
            "FHS", "BHS", "MSH", "MSA", "MSH", "MSA", "MSH", "MSA", "BTS", "FTS",
        ]  # fmt: skip
        assert [line.split("|")[1:3] for line in lines if line[:3] == "MSA"] == [
            ["AA", "C1"],
            ["AA", "C2"],
            ["AE", "C3"],
        ]
        assert lines[0].split("|")[4:6] + lines[0].split("|")[11:] == ["RIS", "HOSP", "F1"]
        assert lines[1].split("|")[11:] == ["B1"]
        assert lines[-2:] == ["BTS|3", "FTS|1"]
        await peer.write(frame(b"BHS|^~\\&|RIS\rBTS|0\r") + frame(orm(placer="P9", id="C4")))
        async with asyncio.timeout(20):
            empty = await peer.reader.readuntil(b"\x1c\r")
        assert [line[:3] for line in empty[1:-2].decode().splitlines()] == ["BHS", "BTS"]
        assert told(await peer.answer()) == ("AA", "C4")  # a message by itself is answered by itself


async def test_a_batch_that_lost_messages_on_its_way_is_noticed(store: Store) -> None:
    async with listening(store, batch_answers=True) as (listener, connect):
        peer = await connect()
        await peer.write(frame(BATCH % (orm(id="C1"), 2)))
        async with asyncio.timeout(20):
            data = await peer.reader.readuntil(b"\x1c\r")
        assert b"\rBTS|1|BTS-1 said 2 messages, 1 came\r" in data
        assert listener.counts["batch counts wrong"] == 1


async def test_release_2_commits_before_it_answers(store: Store) -> None:
    async with listening(store, release=2) as (listener, connect):
        peer = await connect()
        await peer.send(orm(id="C1"), orm("CA", "NONE", id="C2"))
        assert await peer.blocks(4) == ["ACK", "AA C1", "ACK", "AE C2"]
        await peer.write(commit_block(True) + commit_block(False) + frame(orm(placer="P2", id="C3")))
        assert await peer.blocks(2) == ["ACK", "AA C3"]
        assert listener.counts["answers confirmed"] == 1
        assert listener.counts["answers not kept by the sender"] == 1
        assert listener.counts["faults"] == 0
    assert [row.state for row in await kept(store, "C2")] == ["refused"]


async def test_release_2_says_nak_to_what_it_did_not_keep(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = store.unit

    async def broken(*_: object, **__: object) -> object:
        raise UnavailableError("the disk is gone")

    async with listening(store, release=2, message_bytes=100_000) as (_, connect):
        peer = await connect()
        await peer.write(b"\x0b" + orm(id="TORN")[:100])
        await peer.send(oru(id="BIG", text="x" * 200_000), orm(id="C1"))
        assert await peer.blocks(4) == ["NAK", "NAK", "ACK", "AA C1"]
        monkeypatch.setattr(store, "unit", broken)
        await peer.send(orm(placer="P2", id="C2"))
        assert await peer.blocks(1) == ["NAK"]
        monkeypatch.setattr(store, "unit", unit)
        await peer.send(orm(placer="P2", id="C2"))
        assert await peer.blocks(2) == ["ACK", "AA C2"]


async def test_a_reader_that_fails_is_an_error_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with listening(store) as (listener, connect):
        peer = await connect()
        monkeypatch.setattr("interop.workflow.messages.read", bug)
        await peer.send(orm(id="C1"))
        answer = await peer.answer()
        assert (answer.get("MSA-1"), answer.get("ERR-3.1")) == ("AE", "207")
        assert listener.counts["failed"] == 1
    (row,) = await store.view(lambda tx: tx.find_messages(state="refused"))
    assert row.raw == orm(id="C1")
    assert parse(row.raw).control_id == "C1"


@pytest.mark.parametrize("when", ["00010101000000+1400", "99991231235959-1200", "99991231", "00080818183002.1-0700"])
async def test_a_moment_at_the_ends_of_the_calendar_is_no_fault_of_ours(store: Store, when: str) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        for raw in (orm(id="C1", start=when), oru(id="C2"), adt(id="C3")):
            await peer.send(raw.replace(b"20261120101500", when.encode()).replace(b"20261121084500", when.encode()))
            assert (await peer.answer()).get("MSA-1") == "AA"


async def test_the_settings_reach_the_listener(real_server: Callable[..., RealServer]) -> None:
    server = real_server(mllp_release=2, mllp_batch_answer="batch")
    await asyncio.to_thread(server.start)
    peer = Peer(*await asyncio.open_connection("127.0.0.1", server.settings.mllp_port))
    await peer.write(frame(BATCH % (orm(id="C1") + adt(id="C2"), 2)))
    async with asyncio.timeout(20):
        assert await peer.reader.readuntil(b"\x1c\r") == commit_block(True)
        answer = await peer.reader.readuntil(b"\x1c\r")
    assert [one.get("MSA-2") for one in map(parse, messages_in(answer[1:-2]))] == ["C1", "C2"]
    peer.writer.close()
