"""Reads that leave nothing but events: answered once those are kept, on PostgreSQL many by one commit."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.errors import ConflictError, InteropError, NotFoundError
from interop.fhir.query import Query
from interop.store import Store, Tx
from interop.store import postgresql_readings as readings
from tests.round_trips import recorded

AGENT = system_agent("test")
PATIENT: dict[str, Any] = {"resourceType": "Patient"}
READ = Event("rest", "read", "R", patient="Patient/1")


async def made(store: Store, count: int) -> list[str]:
    return [(await store.unit(AGENT, lambda tx: tx.create(PATIENT))).id for _ in range(count)]


async def events(store: Store) -> int:
    return len((await store.view(lambda tx: tx.search(Query("AuditEvent", count=1000)))).rows)


def reading(id: str) -> Any:
    def work(tx: Tx) -> str:
        found = tx.get("Patient", id)
        tx.audit(READ)
        return found.id

    return work


def refused(tx: Tx, error: InteropError) -> InteropError:
    tx.audit(Event("rest", "read", "R", outcome="4"))
    return error


async def test_each_gets_its_own_and_leaves_its_event(store: Store) -> None:
    ids = await made(store, 20)
    found = await asyncio.gather(*(store.reading(AGENT, reading(id), (("Patient", id),)) for id in ids * 2))
    assert found == ids * 2
    assert await events(store) == 40


async def test_what_is_not_there_is_refused_for_whoever_asked_alone(store: Store) -> None:
    (id,) = await made(store, 1)
    wanted = [id, "nobody", id]
    answers = await asyncio.gather(
        *(store.reading(AGENT, reading(each), (("Patient", each),), refused=refused) for each in wanted)
    )
    assert [answers[0], answers[2]] == [id, id]
    assert isinstance(answers[1], NotFoundError)
    assert await events(store) == 3
    with pytest.raises(NotFoundError):
        await store.reading(AGENT, reading("nobody"), (("Patient", "nobody"),))


async def test_one_that_turns_out_to_write_is_carried_out_as_a_unit(store: Store) -> None:
    def work(tx: Tx) -> str:
        tx.lock("something")
        return tx.create(PATIENT).id

    id = await store.reading(AGENT, work)
    assert await store.reading(AGENT, reading(id)) == id


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
class TestOnPostgresql:
    async def test_those_who_come_together_share_questions_and_commits(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = await made(store, 30)
        seen = recorded(monkeypatch)
        await asyncio.gather(*(store.reading(AGENT, reading(id), (("Patient", id),)) for id in ids))
        assert sum("COMMIT" in each for each in seen) <= 4
        assert len(seen) <= 8
        assert await events(store) == 30

    async def test_a_commit_that_fails_leaves_each_to_find_out_for_itself(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = await made(store, 5)

        def failing(*_: Any) -> None:
            raise psycopg.errors.DiskFull("no room")

        monkeypatch.setattr(readings, "_write", failing)
        found = await asyncio.gather(*(store.reading(AGENT, reading(id), (("Patient", id),)) for id in ids))
        assert found == ids
        assert await events(store) == 5

    async def test_a_fault_of_one_is_its_own(self, store: Store) -> None:
        (id,) = await made(store, 1)

        def faulty(tx: Tx) -> str:
            raise ZeroDivisionError

        answers = await asyncio.gather(
            store.reading(AGENT, reading(id), (("Patient", id),)),
            store.reading(AGENT, faulty, (("Patient", id),)),
            return_exceptions=True,
        )
        assert answers[0] == id
        assert isinstance(answers[1], ZeroDivisionError)

    async def test_a_conflict_among_what_is_read_is_raised_as_it_is(self, store: Store) -> None:
        def conflict(_tx: Tx) -> str:
            raise ConflictError("two of them")

        with pytest.raises(ConflictError):
            await store.reading(AGENT, conflict)
