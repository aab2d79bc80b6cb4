"""Which messages there were: by patient, accession number, time and all else; and old ones let go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.errors import ConflictError
from interop.store import MessageQuery, Store, Tx
from tests.hl7_messages import PATIENT, adt, orm
from tests.hospital import Hospital
from tests.sites import RIS, a_site

AGENT = system_agent("test")
START = datetime(2026, 11, 20, 8, tzinfo=UTC)
OTHER = PATIENT.replace("100234", "100999")


async def ids(store: Store, **asked: Any) -> list[int]:
    """The numbers of the messages that are found."""
    return [line.id for line in await store.view(lambda tx: tx.list_messages(MessageQuery(**asked)))]


async def one_each_hour(store: Store, hours: int, **more: Any) -> list[int]:
    """Messages, the nth of which came n hours after the start."""
    made = []
    for hour in range(hours):
        fields = {
            "direction": "in",
            "peer": "10.0.0.1",
            "application": "RIS",
            "facility": "HOSP",
            "control_id": f"C{hour}",
            "type": "ORM^O01",
            "raw": b"MSH|^~\\&|\r",
            "body_hash": "h",
            "state": "received",
            "at": START + timedelta(hours=hour),
        } | more
        made.append(await store.unit(AGENT, lambda tx, f=fields: tx.add_message(**f)))
    return made


async def test_messages_are_found_by_when_they_came(store: Store) -> None:
    made = await one_each_hour(store, 30)
    assert await ids(store, since=START + timedelta(hours=25)) == made[25:][::-1]
    assert await ids(store, until=START + timedelta(hours=3)) == made[:3][::-1]
    day = {"since": START + timedelta(hours=4, minutes=30), "until": START + timedelta(hours=8)}
    assert await ids(store, **day) == made[5:8][::-1]
    assert await ids(store, since=START + timedelta(days=9)) == []
    assert await ids(store, until=START) == []


async def test_pages_neither_overlap_nor_leave_out(store: Store) -> None:
    made = await one_each_hour(store, 7)
    first = await ids(store, limit=4)
    assert first + await ids(store, limit=4, before=first[-1]) == made[::-1]


async def test_an_empty_store_has_none(store: Store) -> None:
    assert await ids(store, since=START, until=START, patient="x", accession="y") == []


async def test_everything_that_is_asked_has_to_hold(store: Store) -> None:
    (one,) = await one_each_hour(store, 1)
    (out,) = await one_each_hour(store, 1, direction="out", peer="RIS", state="dead", type="ORU^R01")
    assert await ids(store, direction="out") == [out]
    assert await ids(store, state="received", type="ORM") == [one]
    assert await ids(store, type="ORM^O01", peer="10.0.0.1", control_id="C0") == [one]
    assert await ids(store, type="ORU", direction="in") == []
    assert await ids(store, type="O") == [out, one]


async def test_a_patients_messages_are_those_about_its_orders_and_itself_and_what_was_refused(store: Store) -> None:
    hospital = Hospital(store, a_site(RIS))
    await hospital.send(adt(id="A"))
    await hospital.send(orm(id="O", accession="ACC1"))
    await hospital.send(orm("XO", "NOBODY", id="R"))  # refused: no such order
    await hospital.send(orm(id="X", placer="P9", patient=OTHER))
    (patient,) = await hospital.found("Patient", None, "100234")
    named = {
        number: [
            line.control_id
            for line in await store.view(lambda tx, n=number: tx.list_messages(MessageQuery(patient=n, direction="in")))
        ]
        for number in ("100234", patient["id"], f"Patient/{patient['id']}")
    }
    assert named["100234"] == ["R", "O", "A"]
    assert named[patient["id"]] == named[f"Patient/{patient['id']}"] == ["O", "A"]


async def test_an_accession_number_finds_its_messages_in_and_out_and_refused_ones(store: Store) -> None:
    hospital = Hospital(store, a_site(RIS))
    await hospital.send(orm(id="O", accession="ACC1", sender="OTHER|HOSP"))
    await hospital.send(orm("XO", "NOBODY", id="R", accession="ACC1"))
    await hospital.send(orm(id="N", placer="P2", accession="ACC12"))
    lines = await store.view(lambda tx: tx.list_messages(MessageQuery(accession="ACC1")))
    assert [(line.direction, line.control_id) for line in lines if line.direction == "in"] == [("in", "R"), ("in", "O")]
    (out,) = [line for line in lines if line.direction == "out"]
    order = (await hospital.found("ServiceRequest", None, "ACC1"))[0]["id"]
    assert (out.peer, out.state, out.touched) == ("RIS", "queued", (f"ServiceRequest/{order}",))


async def test_a_line_says_what_was_touched_how_often_and_how_long(store: Store) -> None:
    hospital = Hospital(store)
    await hospital.send(orm(id="O"))
    (line,) = await store.view(lambda tx: tx.list_messages(MessageQuery()))
    kinds = [reference.partition("/")[0] for reference in line.touched]
    assert (kinds, line.attempts, line.took, line.size) == (["Patient", "ServiceRequest"], 1, None, len(orm(id="O")))
    arrived = int((datetime.now(UTC) - timedelta(seconds=2)).timestamp() * 1e6)
    (id,) = await one_each_hour(store, 1, arrived=arrived, at=None)
    row = await store.view(lambda tx: tx.message(id))
    assert row is not None
    assert row.took is not None
    assert 2_000_000 <= row.took < 60_000_000


async def test_old_messages_go_and_what_is_owed_or_undecided_stays(store: Store) -> None:
    settled = await one_each_hour(store, 10)
    owed = [*await one_each_hour(store, 1, state="queued"), *await one_each_hour(store, 1, state="dead")]
    before = START + timedelta(hours=6)
    assert await store.unit(AGENT, lambda tx: tx.prune_messages(before, 4)) == 4
    assert await store.unit(AGENT, lambda tx: tx.prune_messages(before, 4)) == 2
    assert await store.unit(AGENT, lambda tx: tx.prune_messages(before, 4)) == 0
    assert await ids(store) == [*owed[::-1], *settled[6:][::-1]]


async def test_which_message_answers_which_goes_with_the_answer(store: Store) -> None:
    asked, first, second = await one_each_hour(store, 3)

    def link(tx: Tx) -> None:
        tx.link_answer(first, asked)
        tx.link_answer(second, asked)

    await store.unit(AGENT, link)
    assert [row.id for row in await store.view(lambda tx: tx.answers_to(asked))] == [first, second]
    assert await store.view(lambda tx: tx.answers_to(first)) == []
    assert await store.unit(AGENT, lambda tx: tx.prune_messages(START + timedelta(hours=2), 10)) == 2
    assert [row.id for row in await store.view(lambda tx: tx.answers_to(asked))] == [second]
    left = await store.view(lambda tx: tx.session.rows("SELECT id FROM answer"))
    assert [row[0] for row in left] == [second]


async def test_a_message_moves_from_one_state_only(store: Store) -> None:
    (id,) = await one_each_hour(store, 1, state="dead")
    await store.unit(AGENT, lambda tx: tx.move_message(id, "queued", "dead"))
    with pytest.raises(ConflictError):
        await store.unit(AGENT, lambda tx: tx.move_message(id, "dropped", "dead"))
