"""Who is not on the list is told so, with what to do about it, and can neither stay nor send much nor fill a table."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from interop.fhir.query import Query
from interop.hl7.framing import frame
from interop.hl7.message import parse
from interop.mllp_listener import StrangerLimits
from interop.store import MessageQuery, Store
from tests.certificates import Authority
from tests.hl7_messages import asking, header, message, orm, oru
from tests.integration.test_mllp_over_tls import client_of, connected, secured
from tests.mllp_door import kept, listening, told

ELSEWHERE = "10.1.2.3"


async def audited(store: Store) -> list[tuple[str, str]]:
    """Subtype and detail of what the trail says, oldest first."""
    rows = await store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=1000)))
    return sorted((row.event.subtype, row.event.detail or "") for row in rows)


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


async def test_only_the_first_message_is_answered_and_nothing_is_kept(store: Store) -> None:
    async with listening(store, ELSEWHERE) as (listener, connect):
        peer = await connect()
        await peer.send(orm(id="C1"), orm(placer="P2", id="C2"))
        answer = await peer.answer()
        assert (told(answer), answer.get("ERR-4"), answer.receiver) == (("AR", "C1"), "E", ("RIS", "HOSP"))
        assert await peer.ended()
        assert listener.counts["messages"] == 0
    assert (await kept(store, "C1"), await kept(store, "C2")) == ([], [])
    assert await audited(store) == [("mllp-peer-refused", "the address is not on the list of peers")]
    (fault,) = await store.view(lambda tx: tx.find_messages(state="fault"))
    assert (fault.type, fault.raw[:40]) == ("fault peer", frame(orm(id="C1"))[:40])  # who it was, to add it to the list


@pytest.mark.parametrize("brought", [b"", b"GET / HTTP/1.1\r\n"])
async def test_one_that_goes_without_a_message_is_listed_with_what_it_brought(store: Store, brought: bytes) -> None:
    async with listening(store, ELSEWHERE) as (_, connect):
        peer = await connect()
        await peer.write(brought)
        peer.writer.close()
        async with asyncio.timeout(10):
            while not (found := await store.view(lambda tx: tx.find_messages(state="fault"))):
                await asyncio.sleep(0.02)
    assert [one.raw for one in found] == [brought]


async def test_in_enhanced_mode_it_is_a_commit_reject(store: Store) -> None:
    async with listening(store, ELSEWHERE) as (_, connect):
        peer = await connect()
        await peer.send(asking(orm(id="C1"), "AL", "AL"))
        assert told(await peer.answer()) == ("CR", "C1")


async def test_with_mllp_release_2_the_block_is_not_committed(store: Store) -> None:
    async with listening(store, ELSEWHERE, release=2) as (_, connect):
        peer = await connect()
        await peer.send(orm(id="C1"))
        assert await peer.blocks(2) == ["NAK", "AR C1"]


async def test_what_is_no_message_is_answered_too_and_an_answer_is_not(store: Store) -> None:
    async with listening(store, ELSEWHERE, strangers=StrangerLimits(seconds=0.5)) as (_, connect):
        web, torn, answer = await connect(), await connect(), await connect()
        await web.write(b"GET / HTTP/1.1\r\n\r\n\x1c")
        assert (await web.answer()).get("MSA-1") == "AR"
        await torn.write(b"\x0b" + orm(id="C9").rstrip(b"\r") + b"\x1c")  # its last byte never comes
        assert told(await torn.answer()) == ("AR", "C9")
        await answer.send(message(header("ACK", "A1"), "MSA|AA|X1"))
        assert await answer.ended()


async def test_a_large_message_is_cut_short(store: Store) -> None:
    async with listening(store, ELSEWHERE) as (_, connect):
        peer = await connect()
        begun = time.monotonic()
        peer.writer.write(b"\x0b" + oru(id="BIG", text="x" * 5_000_000))
        assert told(await peer.answer()) == ("AR", "BIG")
        assert time.monotonic() - begun < 10
        with pytest.raises((ConnectionError, EOFError)):
            await peer.answer(5)


async def test_nobody_who_is_unlisted_stays(store: Store) -> None:
    limits = StrangerLimits(seconds=0.3, at_once=3)
    async with listening(store, ELSEWHERE, strangers=limits) as (listener, connect):
        silent = [await connect() for _ in range(3)]
        await asyncio.sleep(0.05)
        fourth = await connect()  # there is no place for it
        await fourth.write(b"\x0bMSH|")
        with suppress(ConnectionResetError):
            assert await fourth.ended()
        for peer in silent:
            await peer.write(b"\x0bMSH|^~")  # and never an end
        for peer in silent:
            with suppress(ConnectionResetError):
                assert await peer.ended()
        later = await connect()
        await later.send(orm(id="C1"))
        assert told(await later.answer()) == ("AR", "C1")
        assert listener.counts["connections refused"] == 5


async def test_a_flood_is_counted_and_fills_no_table(store: Store) -> None:
    async with listening(store, ELSEWHERE) as (listener, connect):
        for _ in range(40):
            peer = await connect()
            await peer.send(orm(id="C1"))
            await peer.answer()
            peer.writer.close()
        assert listener.counts["connections refused"] == 40
    said = await audited(store)
    assert len(said) == 11  # ten, and one for all the rest
    assert ("mllp-peer-refused", "30 more within a minute, from 1 addresses: only counted") in said
    assert len(await store.view(lambda tx: tx.list_messages(MessageQuery(state="fault")))) == 1


async def test_an_unlisted_certificate_is_told_its_own_fingerprint(store: Store, authority: Authority) -> None:
    async with secured(store, authority, "cn:ris") as listener:
        peer = await connected(listener, client_of(authority, authority.issue("other")))
        await peer.send(orm(id="C1"), orm(placer="P2", id="C2"))
        answer = await peer.answer()
        assert told(answer) == ("AR", "C1")
        text = answer.get("ERR-8")
        assert "cn:other or " in text
        assert "sha256:" in text
        assert await peer.ended()
        peer.writer.close()
    assert await kept(store, "C2") == []
    (row,) = await kept(store, "C1")
    assert (row.state, parse(row.ack or b"").get("MSA-1")) == ("refused", "AR")


async def test_an_unlisted_address_is_told_over_tls(store: Store, authority: Authority) -> None:
    async with secured(store, authority, ELSEWHERE, client_ca=False) as listener:
        peer = await connected(listener, client_of(authority))
        await peer.send(orm(id="C1"))
        answer = await peer.answer()
        assert (told(answer), "127.0.0.1 is not on the list" in answer.get("ERR-8")) == (("AR", "C1"), True)
        peer.writer.close()
    assert await kept(store, "C1") == []
    assert await audited(store) == [("mllp-peer-refused", "the address is not on the list of peers")]
