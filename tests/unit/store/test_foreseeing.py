"""Questions that are foreseen: PostgreSQL is asked them with the next one, and never says what is no longer so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.store import Store, Tx, open_store
from tests.round_trips import recorded

AGENT = system_agent("test")
PATIENT: dict[str, Any] = {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": "1"}]}


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
async def pg(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    return recorded(monkeypatch)


async def made(store: Store) -> str:
    return (await store.unit(AGENT, lambda tx: tx.create(PATIENT))).id


async def test_what_was_foreseen_is_asked_with_the_first_question(pg: Store, exchanges: list[list[str]]) -> None:
    id = await made(pg)

    def work(tx: Tx) -> tuple[list[str], str]:
        tx.foresee_identifier("Patient", "urn:s", "1")
        tx.foresee("Patient", id)
        exchanges.clear()
        found = (
            tx.get("Patient", id).id,
            tx.by_identifier("Patient", "urn:s", "1"),
            tx.by_identifier("Patient", "", "2"),
        )
        return [found[0], *(one.id for one in found[1]), *(one.id for one in found[2])], str(
            [len(each) for each in exchanges]
        )

    assert await pg.unit(AGENT, work) == ([id, id], "[3, 1]")


async def test_a_change_that_was_foreseen_is_one_question_and_the_commit(pg: Store, exchanges: list[list[str]]) -> None:
    id = await made(pg)

    def work(tx: Tx) -> int:
        tx.lock(f"Patient/{id}")
        tx.foresee_change("Patient", id)
        exchanges.clear()
        assert not tx.get("Patient", id).deleted
        tx.lock("something else")
        return tx.update({**PATIENT, "id": id, "identifier": [{"system": "urn:s", "value": "2"}]}).version

    assert await pg.unit(AGENT, work) == 2
    assert len(exchanges) == 3  # the index is asked for again behind the lock
    assert [len(await pg.view(lambda tx, n=n: tx.by_identifier("Patient", "urn:s", n))) for n in "12"] == [0, 1]


async def test_an_answer_is_forgotten_with_the_next_write(pg: Store) -> None:
    def work(tx: Tx) -> list[int]:
        tx.foresee_identifier("Patient", "urn:s", "1")
        before = tx.by_identifier("Patient", "urn:s", "2")  # both are asked
        tx.create(PATIENT)
        tx.foresee_identifier("Patient", "urn:s", "1")
        tx.create(PATIENT)
        return [len(before), len(tx.by_identifier("Patient", "urn:s", "1"))]

    assert await pg.unit(AGENT, work) == [0, 2]


async def test_a_row_that_will_be_changed_is_this_units_from_when_it_is_read(pg: Store) -> None:
    id = await made(pg)

    def twice(tx: Tx) -> list[int]:
        tx.foresee_change("Patient", id)
        versions = [tx.get("Patient", id).version]
        for number in "23":
            changed = {**PATIENT, "id": id, "identifier": [{"system": "urn:s", "value": number}]}
            versions += [tx.update(changed).version, tx.get("Patient", id).version]
        return versions

    assert await pg.unit(AGENT, twice) == [1, 2, 2, 3, 3]
    assert [len(await pg.view(lambda tx, n=n: tx.by_identifier("Patient", "urn:s", n))) for n in "123"] == [0, 0, 1]


async def test_a_number_that_was_foreseen_is_the_next_one(store: Store) -> None:
    def work(tx: Tx) -> list[int]:
        return [tx.foresee_number("n"), tx.foresee_number("n"), tx.next_number("n"), tx.next_number("n")]

    first, again, given, next_one = await store.unit(AGENT, work)
    assert first == again == given
    assert next_one > given
