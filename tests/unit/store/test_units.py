"""Units of work: what is kept, what is undone, what is answered."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any, Never

import pytest

from interop.access.agent import Agent, system_agent
from interop.audit.event import Event
from interop.errors import ConflictError, InteropError, RefusedError, UnavailableError
from interop.fhir.query import Query
from interop.store import Store, Tx, open_store
from interop.store.sqlite_session import Options, connect_to_read

AGENT = system_agent("test")
PATIENT: dict[str, Any] = {"resourceType": "Patient"}


async def count(store: Store, type: str = "Patient") -> int:
    page = await store.view(lambda tx: tx.search(Query(type, total=True)))
    assert page.total is not None
    return page.total


async def test_a_refusal_undoes_the_work_and_is_raised(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.create(PATIENT)
        raise RefusedError("no")

    with pytest.raises(RefusedError, match="no"):
        await store.unit(AGENT, work)
    assert await count(store) == 0


async def test_what_the_refusal_leaves_is_committed_though_the_work_is_undone(store: Store) -> None:
    def work(tx: Tx) -> str:
        tx.create(PATIENT)
        raise RefusedError("no")

    def refused(tx: Tx, error: InteropError) -> str:
        tx.audit(Event("rest", "create", "C", outcome="4", detail=error.text))
        return "answered"

    assert await store.unit(AGENT, work, refused=refused) == "answered"
    assert await count(store) == 0
    assert await count(store, "AuditEvent") == 1


async def test_a_fault_in_one_unit_leaves_its_neighbours_alone(store: Store) -> None:
    def faulty(tx: Tx) -> None:
        tx.create(PATIENT)
        raise KeyError("a bug")

    good = [store.unit(AGENT, lambda tx: tx.create(PATIENT)) for _ in range(5)]
    results = await asyncio.gather(*good, store.unit(AGENT, faulty), *[], return_exceptions=True)
    assert isinstance(results[-1], KeyError)
    assert await count(store) == 5


async def test_a_fault_in_refused_is_raised_and_nothing_is_kept(store: Store) -> None:
    def work(tx: Tx) -> None:
        raise RefusedError("first")

    def refused(tx: Tx, error: InteropError) -> None:
        tx.create(PATIENT)
        raise RefusedError("second")

    with pytest.raises(RefusedError, match="second"):
        await store.unit(AGENT, work, refused=refused)
    assert await count(store) == 0


async def test_a_view_does_not_write(store: Store) -> None:
    def write(tx: Tx) -> Any:
        return tx.create(PATIENT)

    def change(tx: Tx) -> Any:
        return tx.update({**PATIENT, "id": "a"})

    for work in (write, change, lambda tx: tx.lock("a"), lambda tx: tx.next_number("a")):
        with pytest.raises(RuntimeError):
            await store.view(work)
    assert await count(store) == 0
    await store.unit(AGENT, write)


async def test_one_identity_is_created_once_by_64_at_the_same_time(store: Store) -> None:
    def conditional(tx: Tx) -> tuple[str, bool]:
        tx.lock("Patient?identifier=urn:a|42")
        found = tx.by_identifier("Patient", "urn:a", "42")
        if found:
            return found[0].id, False
        return tx.create({**PATIENT, "identifier": [{"system": "urn:a", "value": "42"}]}).id, True

    results = await asyncio.gather(*(store.unit(AGENT, conditional) for _ in range(64)))
    assert len({id for id, _ in results}) == 1
    assert sum(made for _, made in results) == 1
    assert await count(store) == 1


async def test_parallel_updates_of_one_resource_each_make_a_version(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.create({**PATIENT, "multipleBirthInteger": 0}))

    def increment(tx: Tx) -> int:
        tx.lock(made.reference)
        current = tx.get("Patient", made.id).resource()
        current["multipleBirthInteger"] += 1
        return tx.update(current).version

    versions = await asyncio.gather(*(store.unit(AGENT, increment) for _ in range(20)))
    assert sorted(versions) == list(range(2, 22))


async def test_parallel_creations_under_one_id_end_in_one_resource_and_versions(store: Store) -> None:
    def put(number: int) -> Any:
        return store.unit(AGENT, lambda tx: tx.update({**PATIENT, "id": "same", "multipleBirthInteger": number}))

    versions = await asyncio.gather(*(put(number) for number in range(12)), return_exceptions=True)
    assert all(not isinstance(each, BaseException) or isinstance(each, ConflictError) for each in versions)
    numbers = sorted(each.version for each in versions if not isinstance(each, BaseException))
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 2


async def test_numbers_are_never_given_twice(store: Store) -> None:
    numbers = await asyncio.gather(*(store.unit(AGENT, lambda tx: tx.next_number("accession")) for _ in range(100)))
    assert len(set(numbers)) == 100
    assert min(numbers) == 1
    assert await store.unit(AGENT, lambda tx: tx.next_number("step")) == 1


async def test_state_is_kept_and_forgotten(store: Store) -> None:
    await store.unit(AGENT, lambda tx: tx.set_state("cursor", "1"))
    await store.unit(AGENT, lambda tx: tx.set_state("cursor", "2"))
    assert await store.view(lambda tx: tx.get_state("cursor")) == "2"
    await store.unit(AGENT, lambda tx: tx.set_state("cursor", None))
    assert await store.view(lambda tx: tx.get_state("cursor")) is None


async def test_the_unit_knows_its_agent_and_moment(store: Store) -> None:
    agent = Agent("dr-who")
    seen = await store.unit(agent, lambda tx: (tx.agent, tx.now, tx.zone))
    assert seen[0] is agent
    assert seen[1].microsecond % 1000 == 0
    assert seen[2] is store.zone


async def test_a_closed_store_refuses(store: Store) -> None:
    await store.close()
    with pytest.raises(UnavailableError):
        await store.unit(AGENT, lambda tx: tx.create(PATIENT))
    with pytest.raises(UnavailableError):
        await store.view(lambda tx: tx.search(Query("Patient")))


async def test_a_caller_who_leaves_does_not_hold_up_the_others(store: Store) -> None:
    async def impatient() -> Never:
        await store.unit(AGENT, lambda tx: tx.create(PATIENT))
        raise AssertionError("was cancelled before")

    leaving = asyncio.ensure_future(impatient())
    staying = asyncio.ensure_future(store.unit(AGENT, lambda tx: tx.create(PATIENT)))
    await asyncio.sleep(0)
    leaving.cancel()
    made = await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await store.view(lambda tx: tx.get("Patient", made.id)) == made


async def test_statistics_and_ping(store: Store) -> None:
    await store.unit(AGENT, lambda tx: [tx.create(PATIENT) for _ in range(3)])
    await store.ping()
    stats = await store.stats()
    assert stats.resources == {"Patient": 3}
    assert stats.messages == {}
    assert stats.jobs == {"ready": 0, "running": 0, "waiting": 0, "dead": 0}


async def test_counting_holds_no_unit_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting, written = threading.Event(), threading.Event()

    def slow(options: Options) -> sqlite3.Connection:
        counting.set()
        assert written.wait(30)
        return connect_to_read(options)

    monkeypatch.setattr("interop.store.beside.connect_to_read", slow)
    store = await open_store(f"sqlite:///{tmp_path / 'interop.db'}")
    try:
        stats = asyncio.ensure_future(store.stats())
        also = asyncio.ensure_future(store.stats())
        assert await asyncio.to_thread(counting.wait, 30)
        await store.unit(AGENT, lambda tx: tx.create(PATIENT))
        written.set()
        assert (await stats).resources == {"Patient": 1}
        assert await also is await stats
    finally:
        await store.close()
