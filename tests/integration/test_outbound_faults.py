"""Receivers at their worst: nothing is lost, nothing is accepted twice, and each order's messages keep their order."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from interop.hl7.framing import ACK
from interop.hl7.line import Line
from interop.hl7.message import parse
from interop.jobs import Backoff, JobRunner, Lane, sending_lanes
from interop.mapping.peers import Receiver
from interop.mllp_sender import MllpSender
from interop.store import MessageRow, Store
from interop.testing.listener import Answer, HL7Listener
from tests.hospital import Hospital, an_order
from tests.sites import RIS, a_site

QUICK = Backoff(first=0.02, most=0.1)


@pytest.fixture
def ris() -> Iterator[HL7Listener]:
    with HL7Listener() as listener:
        yield listener


def reached(listener: HL7Listener, name: str = "RIS", *, days: float = 7.0, **line: object) -> Receiver:
    """The receiver that is this listener."""
    spoken = Line(connect_seconds=2, **{"answer_seconds": 0.3, **line})  # type: ignore[arg-type]
    at = replace(RIS, name=name, host=listener.host, port=listener.port, application=name)
    return replace(at, line=spoken, give_up_days=days)


@asynccontextmanager
async def sending(store: Store, *receivers: Receiver, backoff: Backoff = QUICK) -> AsyncIterator[None]:
    """A worker, with leases short enough that another takes over soon what it leaves behind."""
    sender = MllpSender()
    lanes = sending_lanes(store, sender, receivers, backoff=backoff)
    for lane in lanes.values():
        lane.handler._silence = 0.0  # type: ignore[attr-defined]
    short: dict[str, Lane] = {name: replace(lane, lease=2.0) for name, lane in lanes.items()}
    task = asyncio.create_task(JobRunner(store, {**short}, poll=0.02).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.close()


async def lives(hospital: Hospital, count: int) -> list[str]:
    """Orders P0, P1 … placed, then each changed, then each cancelled; who they are."""
    found = await hospital.found("Patient", None, "100234")
    subject = f"Patient/{found[0]['id']}" if found else await hospital.patient()
    orders = [(await hospital.post(an_order(subject, f"P{number}"))).resource() for number in range(count)]
    moved = {"occurrenceDateTime": "2026-11-22T08:00:00+02:00"}
    orders = [(await hospital.put({**order, **moved})).resource() for order in orders]
    for order in orders:
        await hospital.put({**order, "status": "revoked"})
    return [f"P{number}" for number in range(count)]


async def until(hospital: Hospital, holds: object = None, within: float = 60.0) -> list[MessageRow]:
    """The outgoing messages once none is queued, or once those are not that ``holds`` names by ORC-2."""
    async with asyncio.timeout(within):
        while True:
            rows = await hospital.outgoing()
            left = {order_of(row.raw) for row in rows if row.state == "queued"}
            if not left - ({holds} if holds else set()):
                return rows
            await asyncio.sleep(0.02)


def order_of(raw: bytes) -> str:
    return parse(raw).get("ORC-2.1")


def require_kept_and_in_order(listener: HL7Listener, rows: list[MessageRow], orders: list[str]) -> None:
    """Every message was accepted, in its order's order, and what came again came with the same bytes."""
    bytes_of: dict[str, set[bytes]] = defaultdict(set)
    first_seen: dict[str, list[str]] = defaultdict(list)
    for raw in listener.messages:
        message = parse(raw)
        bytes_of[message.control_id].add(raw)
        if message.get("ORC-1") not in first_seen[message.get("ORC-2.1")]:
            first_seen[message.get("ORC-2.1")].append(message.get("ORC-1"))
    assert {row.state for row in rows} == {"sent"}
    assert len(rows) == 3 * len(orders)
    assert all(len(each) == 1 for each in bytes_of.values())
    assert bytes_of.keys() == {row.control_id for row in rows}
    assert first_seen == {order: ["NW", "XO", "CA"] for order in orders}
    last: dict[str, int] = defaultdict(int)  # none came again after a later one of its order had come
    place = {row.control_id: at for at, row in enumerate(rows)}
    for raw in listener.messages:
        at = place[parse(raw).control_id]
        assert at >= last[order_of(raw)]
        last[order_of(raw)] = at


async def test_several_orders_at_once_over_connections_that_stay(store: Store, ris: HL7Listener) -> None:
    ris.seconds = 0.05
    receiver = reached(ris, connections=4, answer_seconds=5)
    hospital = Hospital(store, a_site(receiver))
    orders = await lives(hospital, 8)
    async with sending(store, receiver):
        rows = await until(hospital)
    require_kept_and_in_order(ris, rows, orders)
    assert (ris.busiest, ris.connections) == (4, 4)
    assert len(ris.messages) == 24


async def test_one_connection_has_one_message_on_its_way(store: Store, ris: HL7Listener) -> None:
    ris.seconds = 0.01
    receiver = reached(ris, answer_seconds=5)
    hospital = Hospital(store, a_site(receiver))
    await lives(hospital, 4)
    async with sending(store, receiver):
        await until(hospital)
    assert (ris.busiest, ris.connections) == (1, 1)


@pytest.mark.parametrize("refusal", ["AE", "silence", "wrong-control-id", "garbage", "close"])
async def test_an_order_that_is_stuck_holds_up_no_other(store: Store, ris: HL7Listener, refusal: Answer) -> None:
    ris.rule = lambda raw: refusal if order_of(raw) == "P0" else None
    receiver = reached(ris, connections=2)
    hospital = Hospital(store, a_site(receiver))
    await lives(hospital, 5)
    async with sending(store, receiver):
        rows = await until(hospital, "P0", within=20)
        assert {(order_of(row.raw), row.state) for row in rows if order_of(row.raw) != "P0"} == {
            (f"P{number}", "sent") for number in range(1, 5)
        }
        assert {parse(raw).get("ORC-1") for raw in ris.messages if order_of(raw) == "P0"} == {"NW"}  # nothing overtakes
        ris.rule = None
        await until(hospital)
    assert [parse(row.raw).get("ORC-1") for row in await hospital.outgoing() if order_of(row.raw) == "P0"] == [
        "NW",
        "XO",
        "CA",
    ]


async def test_over_one_connection_a_silence_about_one_order_costs_the_others_little(
    store: Store, ris: HL7Listener
) -> None:
    ris.rule = lambda raw: "silence" if order_of(raw) == "P0" else None
    receiver = reached(ris, answer_seconds=0.5)
    hospital = Hospital(store, a_site(receiver))
    await lives(hospital, 10)
    async with sending(store, receiver, backoff=Backoff(first=0.2, most=60.0)):
        await until(hospital, "P0", within=90)
    tries = sum(order_of(raw) == "P0" for raw in ris.messages)
    assert 1 <= tries <= 10  # 27 messages of others went by; each silence is further from the last


async def test_days_of_errors_end_in_a_dead_letter_and_the_next_goes_on(store: Store, ris: HL7Listener) -> None:
    ris.rule = lambda raw: "AE" if parse(raw).get("ORC-1") == "NW" else None
    receiver = reached(ris, days=0.3 / 86400)
    hospital = Hospital(store, a_site(receiver))
    await lives(hospital, 1)
    async with sending(store, receiver):
        rows = await until(hospital)
    assert [row.state for row in rows] == ["dead", "sent", "sent"]
    assert rows[0].attempts > 1
    assert "given up after" in str(rows[0].issues)
    assert await store.view(lambda tx: tx.get_state(f"unaccepted:{rows[0].id}")) is None


async def test_silence_is_never_given_up(store: Store, ris: HL7Listener) -> None:
    ris.answer = "silence"
    receiver = reached(ris, days=0.1 / 86400, answer_seconds=0.05)
    hospital = Hospital(store, a_site(receiver))
    await lives(hospital, 1)
    async with sending(store, receiver):
        await asyncio.to_thread(ris.wait_for, lambda messages: len(messages) >= 6)
        assert {row.state for row in await hospital.outgoing()} == {"queued"}
        ris.answer = "AA"
        rows = await until(hospital)
    assert {row.state for row in rows} == {"sent"}


STORM: tuple[Answer, ...] = (
    "AA", "AE", "late", "AA", "garbage", "half", "twice", "wrong-control-id", "close", "AA", "CE", "silence", "twice",
)  # fmt: skip


async def test_a_storm_of_faults_and_a_restart_in_the_middle(store: Store, ris: HL7Listener) -> None:
    ris.script(*STORM * 3)
    receiver = reached(ris, connections=3)
    hospital = Hospital(store, a_site(receiver))
    orders = await lives(hospital, 6)
    async with sending(store, receiver):
        await asyncio.to_thread(ris.wait_for, lambda messages: len(messages) >= 12, within=30)
    async with sending(store, receiver):
        rows = await until(hospital)
    require_kept_and_in_order(ris, rows, orders)


async def test_a_receiver_that_restarts_gets_the_rest(store: Store) -> None:
    listener = HL7Listener(seconds=0.02)
    receiver = reached(listener, connections=2, answer_seconds=5)
    hospital = Hospital(store, a_site(receiver))
    orders = await lives(hospital, 5)
    async with sending(store, receiver):
        with listener:
            await asyncio.to_thread(listener.wait_for, lambda messages: len(messages) >= 5)
        with HL7Listener(port=receiver.port) as back:
            rows = await until(hospital)
            back.messages[:0] = listener.messages
            require_kept_and_in_order(back, rows, orders)


async def test_a_second_answer_to_the_message_before_is_passed_over(store: Store, ris: HL7Listener) -> None:
    ris.answer = "twice"
    receiver = reached(ris, answer_seconds=5)
    hospital = Hospital(store, a_site(receiver))
    await lives(hospital, 3)
    async with sending(store, receiver):
        rows = await until(hospital)
    assert (len(ris.messages), ris.connections) == (9, 1)
    assert {(row.state, row.attempts) for row in rows} == {("sent", 1)}


async def test_a_receiver_that_hangs_with_many_orders_keeps_no_other_waiting(store: Store, ris: HL7Listener) -> None:
    with HL7Listener(answer="silence") as hanging:
        receivers = (reached(hanging, "HANGS", answer_seconds=3), reached(ris, answer_seconds=5))
        hospital = Hospital(store, a_site(*receivers))
        await lives(hospital, 12)
        begun = time.monotonic()
        async with sending(store, *receivers):
            await asyncio.to_thread(ris.wait_for, lambda messages: len(messages) == 36, within=20)
            took = time.monotonic() - begun
        assert len(hanging.messages) >= 1
    assert took < 20


async def test_release_2_waits_for_the_commit_block_and_answers_with_one(store: Store) -> None:
    with HL7Listener(release=2) as ris:
        ris.script("AA", "NAK", "AA", "ACK", "AE", "AA")
        receiver = reached(ris, mllp=2, answer_seconds=0.5)
        hospital = Hospital(store, a_site(receiver))
        orders = await lives(hospital, 1)
        async with sending(store, receiver):
            rows = await until(hospital)
            await asyncio.sleep(0.05)
        require_kept_and_in_order(ris, rows, orders)
        assert ris.answered == ["AA", "NAK", "AA", "ACK", "AE", "AA"]
        assert ris.commits == [ACK] * 4  # one for each acknowledgement that came, the AE too


async def test_release_2_where_the_commit_block_is_all_there_is(store: Store) -> None:
    with HL7Listener(release=2, answer="ACK") as ris:
        ris.script("NAK")
        receiver = reached(ris, mllp=2, answers="none")
        hospital = Hospital(store, a_site(receiver))
        orders = await lives(hospital, 1)
        async with sending(store, receiver):
            rows = await until(hospital)
        require_kept_and_in_order(ris, rows, orders)
        assert (ris.answered, ris.commits) == (["NAK", "ACK", "ACK", "ACK"], [])


async def test_release_2_takes_an_answer_without_its_commit_block(store: Store, ris: HL7Listener) -> None:
    receiver = reached(ris, mllp=2)
    hospital = Hospital(store, a_site(receiver))
    await lives(hospital, 1)
    async with sending(store, receiver):
        rows = await until(hospital)
    assert {(row.state, row.attempts) for row in rows} == {("sent", 1)}
