"""Questions that take long on SQLite: asked beside the loop, on the same terms as in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.errors import InteropError, RefusedError, UnavailableError
from interop.fhir.query import Query
from interop.store import Store, Tx, beside, open_store

AGENT = system_agent("test")
PATIENT: dict[str, Any] = {"resourceType": "Patient"}
READ = Event(kind="rest", subtype="search-type", action="E", outcome="0", query="Patient")
_STEPS = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000) SELECT count(*) FROM c"


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(beside, "PATIENCE", 0.0)  # what takes any time takes long
    opened = await open_store(f"sqlite:///{tmp_path / 'interop.db'}")
    try:
        yield opened
    finally:
        await opened.close()


def ask_long(tx: Tx) -> None:
    assert tx.session.row(_STEPS) == (300000,)


def in_loop() -> bool:
    return threading.current_thread() is threading.main_thread()


async def audited(store: Store) -> int:
    return len(await store.view(lambda tx: tx.audit_rows(Query("AuditEvent"))))


async def test_a_long_question_lets_others_write_and_is_audited_before_it_is_answered(store: Store) -> None:
    written, asked = threading.Event(), threading.Event()

    def work(tx: Tx) -> tuple[bool, int]:
        tx.search(Query("Patient"))
        ask_long(tx)
        asked.set()
        if not in_loop():
            assert written.wait(30)
        found = len(tx.search(Query("Patient")).rows)
        tx.audit(READ)
        return in_loop(), found

    await store.unit(AGENT, lambda tx: tx.create(PATIENT))
    asking = asyncio.ensure_future(store.unit(AGENT, work))
    assert await asyncio.to_thread(asked.wait, 30)
    await store.unit(AGENT, lambda tx: tx.create(PATIENT))
    assert not asking.done()
    assert await audited(store) == 0
    written.set()
    assert await asking == (False, 1)  # all of one moment: what was committed when it began
    assert await audited(store) == 1


async def test_a_view_that_takes_long_is_beside_the_loop_too(store: Store) -> None:
    def work(tx: Tx) -> tuple[bool, int]:
        ask_long(tx)
        return in_loop(), len(tx.search(Query("Patient")).rows)

    await store.unit(AGENT, lambda tx: tx.create(PATIENT))
    assert await store.view(work) == (False, 1)


async def test_a_unit_that_writes_after_a_long_question_is_done_in_the_loop(store: Store) -> None:
    def work(tx: Tx) -> bool:
        ask_long(tx)
        tx.create(PATIENT, id="one")
        return in_loop()

    assert await store.unit(AGENT, work)
    assert len((await store.view(lambda tx: tx.search(Query("Patient")))).rows) == 1


async def test_a_unit_that_has_written_is_not_stopped(store: Store) -> None:
    def work(tx: Tx) -> bool:
        tx.create(PATIENT)
        ask_long(tx)
        return in_loop()

    assert await store.unit(AGENT, work)


@pytest.mark.parametrize("careful", [False, True])
async def test_its_neighbours_are_committed_once(store: Store, careful: bool) -> None:
    def refuse(_tx: Tx) -> None:
        raise RefusedError("no")

    def ask(tx: Tx) -> bool:
        ask_long(tx)
        return in_loop()

    create = store.unit(AGENT, lambda tx: tx.create(PATIENT))
    others = [store.unit(AGENT, refuse)] if careful else []
    first, asked, *_ = await asyncio.gather(create, store.unit(AGENT, ask), *others, return_exceptions=True)
    assert not isinstance(first, BaseException)
    assert asked is False
    assert len((await store.view(lambda tx: tx.search(Query("Patient")))).rows) == 1


async def test_a_refusal_after_a_long_question_is_audited_like_any_other(store: Store) -> None:
    def work(tx: Tx) -> str:
        ask_long(tx)
        raise RefusedError("no")

    def refused(tx: Tx, error: InteropError) -> str:
        tx.audit(READ)
        return error.text

    assert await store.unit(AGENT, work, refused=refused) == "no"
    assert await audited(store) == 1


async def test_what_takes_for_ever_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "LONGEST", 0.0)
    with pytest.raises(UnavailableError, match="longer than"):
        await store.unit(AGENT, ask_long)


async def test_more_than_can_wait_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "WAITING", 0)
    answers = await asyncio.gather(*(store.unit(AGENT, ask_long) for _ in range(6)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, UnavailableError)]
    assert len(refused) == 6 - beside.THREADS
    assert answers.count(None) == beside.THREADS


async def test_closing_ends_what_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "PATIENCE", 0.0)
    opened = await open_store(f"sqlite:///{tmp_path / 'closing.db'}")
    begun = threading.Event()

    def work(tx: Tx) -> None:
        if not in_loop():
            begun.set()
        tx.session.row(_STEPS.replace("300000", "3000000000"))

    asking = asyncio.ensure_future(opened.unit(AGENT, work))
    assert await asyncio.to_thread(begun.wait, 30)
    await opened.close()
    with pytest.raises(UnavailableError):
        await asking
