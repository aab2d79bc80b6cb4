"""HL7 messages are kept byte for byte, with what became of them."""

from __future__ import annotations

from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.errors import NotFoundError
from interop.store import Store

AGENT = system_agent("test")
RAW = bytes(range(256))


def fields(**changed: Any) -> dict[str, Any]:
    return {
        "direction": "in",
        "peer": "127.0.0.1",
        "application": "RIS",
        "facility": "HOSP",
        "control_id": "C1",
        "type": "ORM^O01",
        "raw": RAW,
        "body_hash": "h",
        "state": "received",
    } | changed


async def test_a_message_reads_back_byte_for_byte(store: Store) -> None:
    issues = [{"code": "value", "text": "Ünmapped"}]
    id = await store.unit(AGENT, lambda tx: tx.add_message(**fields(issues=issues, ack_code="AA", ack=b"MSA\r")))
    row = await store.view(lambda tx: tx.message(id))
    assert row is not None
    assert (row.raw, row.ack, row.ack_code, row.issues) == (RAW, b"MSA\r", "AA", issues)
    assert (row.direction, row.application, row.facility, row.order_id) == ("in", "RIS", "HOSP", None)
    assert row.at.tzinfo is not None
    assert await store.view(lambda tx: tx.message(id + 1)) is None


async def test_the_first_of_a_control_id_is_the_one_that_repeats_meet(store: Store) -> None:
    first = await store.unit(AGENT, lambda tx: tx.add_message(**fields()))
    await store.unit(AGENT, lambda tx: tx.add_message(**fields(state="refused", body_hash="other")))
    await store.unit(AGENT, lambda tx: tx.add_message(**fields(direction="out", state="queued")))
    await store.unit(AGENT, lambda tx: tx.add_message(**fields(facility="ELSEWHERE")))
    found = await store.view(lambda tx: tx.find_message("in", "RIS", "HOSP", "C1"))
    assert found is not None
    assert found.id == first
    assert await store.view(lambda tx: tx.find_message("in", "RIS", "HOSP", "C2")) is None
    everything = await store.view(lambda tx: tx.find_messages(control_id="C1"))
    assert [row.id for row in everything] == sorted((row.id for row in everything), reverse=True)
    assert len(everything) == 4
    assert [row.state for row in await store.view(lambda tx: tx.find_messages(direction="out"))] == ["queued"]
    assert len(await store.view(lambda tx: tx.find_messages(state="received", limit=1))) == 1


async def test_what_is_not_given_is_left_as_it_was(store: Store) -> None:
    id = await store.unit(AGENT, lambda tx: tx.add_message(**fields(direction="out", state="queued", ack_code="AE")))
    await store.unit(AGENT, lambda tx: tx.update_message(id, state="sent", ack=b"x", order_id="o"))
    row = await store.view(lambda tx: tx.message(id))
    assert row is not None
    assert (row.state, row.ack_code, row.ack, row.order_id, row.issues) == ("sent", "AE", b"x", "o", [])
    assert [each.id for each in await store.view(lambda tx: tx.find_messages(order_id="o"))] == [id]
    with pytest.raises(NotFoundError):
        await store.unit(AGENT, lambda tx: tx.update_message(id + 1, state="sent"))


async def test_a_nul_in_a_field_does_not_keep_the_message_out(store: Store) -> None:
    id = await store.unit(AGENT, lambda tx: tx.add_message(**fields(control_id="C\x00 1", application="R\x00IS")))
    found = await store.view(lambda tx: tx.find_message("in", "R\x00IS", "HOSP", "C\x00 1"))
    assert found is not None
    assert (found.id, found.control_id, found.raw) == (id, "C 1", RAW)


async def test_messages_are_counted_by_direction_and_state(store: Store) -> None:
    for direction, state in (("in", "received"), ("in", "received"), ("out", "dead")):
        await store.unit(AGENT, lambda tx, d=direction, s=state: tx.add_message(**fields(direction=d, state=s)))
    assert (await store.stats()).messages == {("in", "received"): 2, ("out", "dead"): 1}
