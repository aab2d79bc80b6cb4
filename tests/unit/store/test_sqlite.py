"""What only the embedded engine has: one process, one file, groups of units in one commit, and a disk that fails."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.errors import ConflictError, RefusedError, UnavailableError
from interop.fhir.query import Query
from interop.store import Store, StoreInUseError, Tx, file_lock, open_store, sqlite
from interop.store.sqlite import CAREFUL_GROUPS, SqliteStore

AGENT = system_agent("test")
PATIENT: dict[str, Any] = {"resourceType": "Patient"}


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture
async def sqlite_store(database_url: str) -> AsyncIterator[SqliteStore]:
    store = await open_store(database_url)
    assert isinstance(store, SqliteStore)
    yield store
    await store.close()


def connection_of(store: SqliteStore) -> sqlite3.Connection:
    assert store._connection is not None
    return store._connection


@contextmanager
def statements(store: SqliteStore) -> Iterator[list[str]]:
    """What the connection executes meanwhile."""
    seen: list[str] = []
    connection_of(store).set_trace_callback(seen.append)
    yield seen
    connection_of(store).set_trace_callback(None)


async def count(store: Store) -> int:
    return len((await store.view(lambda tx: tx.search(Query("Patient", count=1000)))).rows)


def create(tx: Tx) -> str:
    return tx.create(PATIENT).id


async def test_the_settings_that_durability_rests_on(sqlite_store: SqliteStore) -> None:
    def setting(name: str) -> Any:
        return connection_of(sqlite_store).execute(f"PRAGMA {name}").fetchone()[0]

    assert (setting("journal_mode"), setting("synchronous"), setting("mmap_size")) == ("wal", 2, 0)


# groups


async def test_units_of_one_turn_share_a_commit(sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "GROUP_SECONDS", 10)
    with statements(sqlite_store) as seen:
        await asyncio.gather(*(sqlite_store.unit(AGENT, create) for _ in range(16)))
    assert seen.count("COMMIT") == 1
    assert not any("SAVEPOINT" in each for each in seen)
    assert await count(sqlite_store) == 16


async def test_those_who_were_answered_together_share_the_next_commit_though_they_come_one_by_one(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 10.0)
    await asyncio.gather(*(sqlite_store.unit(AGENT, create) for _ in range(4)))
    with statements(sqlite_store) as seen:
        asked = []
        for _ in range(4):
            asked.append(asyncio.ensure_future(sqlite_store.unit(AGENT, create)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*asked)
    assert seen.count("COMMIT") == 1


async def test_when_all_have_come_nobody_is_waited_for(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 60.0)
    async with asyncio.timeout(5):
        for _ in range(4):
            await asyncio.gather(*(sqlite_store.unit(AGENT, create) for _ in range(4)))


async def test_the_last_of_them_is_waited_for_too(sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 10.0)
    for _ in range(2):
        await asyncio.gather(*(sqlite_store.unit(AGENT, create) for _ in range(4)))
    with statements(sqlite_store) as seen:
        asked = [asyncio.ensure_future(sqlite_store.unit(AGENT, create)) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        await asyncio.gather(*asked, sqlite_store.unit(AGENT, create))
    assert seen.count("COMMIT") == 1


async def test_a_sender_who_is_alone_waits_for_nobody(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 60.0)
    async with asyncio.timeout(5):
        for _ in range(3):
            await sqlite_store.unit(AGENT, create)


async def test_nobody_waits_long_for_those_who_do_not_come_back(sqlite_store: SqliteStore) -> None:
    await asyncio.gather(*(sqlite_store.unit(AGENT, create) for _ in range(16)))
    async with asyncio.timeout(5):
        await sqlite_store.unit(AGENT, create)


async def test_a_refusal_sends_the_group_through_savepoints_and_keeps_the_others(sqlite_store: SqliteStore) -> None:
    def refuse(tx: Tx) -> str:
        create(tx)
        raise RefusedError("no")

    with statements(sqlite_store) as seen:
        units = [sqlite_store.unit(AGENT, refuse if n == 3 else create) for n in range(8)]
        results = await asyncio.gather(*units, return_exceptions=True)
    assert [isinstance(each, RefusedError) for each in results] == [n == 3 for n in range(8)]
    assert await count(sqlite_store) == 7
    assert seen.count("BEGIN IMMEDIATE") - seen.count("ROLLBACK") == seen.count("COMMIT") <= 2
    with statements(sqlite_store) as later:
        for _ in range(CAREFUL_GROUPS + 1):
            await sqlite_store.unit(AGENT, create)
    assert later.count("SAVEPOINT unit") in (CAREFUL_GROUPS - 1, CAREFUL_GROUPS)


async def test_a_long_group_is_committed_in_pieces_so_that_the_loop_has_turns(sqlite_store: SqliteStore) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count_turns())
    await asyncio.gather(*(sqlite_store.unit(AGENT, create) for _ in range(600)))
    counting.cancel()
    assert turns > 3
    assert await count(sqlite_store) == 600


async def test_closing_finishes_what_waits(sqlite_store: SqliteStore, database_url: str) -> None:
    waiting = [asyncio.ensure_future(sqlite_store.unit(AGENT, create)) for _ in range(3)]
    await asyncio.sleep(0)
    await sqlite_store.close()
    assert len({await each for each in waiting}) == 3
    again = await open_store(database_url)
    assert await count(again) == 3
    await again.close()


async def test_an_identity_taken_behind_the_rooms_back_is_a_conflict(sqlite_store: SqliteStore) -> None:
    def twice(tx: Tx) -> None:
        for _ in range(2):
            tx.session.run("INSERT INTO state (name, value) VALUES ('a', 'b')")

    with pytest.raises(ConflictError):
        await sqlite_store.unit(AGENT, twice)


async def test_a_reader_from_outside_holds_nobody_up(sqlite_store: SqliteStore, database_url: str) -> None:
    reader = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM resource").fetchone()
    await sqlite_store.unit(AGENT, create)
    reader.close()
    assert await count(sqlite_store) == 1


# one process


async def test_a_second_opening_is_refused_and_names_the_holder(
    sqlite_store: SqliteStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "PATIENCE", 0.1)
    with pytest.raises(StoreInUseError, match=f"in use by the process with pid {os.getpid()}$"):
        await open_store(database_url)


async def test_an_opening_waits_for_one_that_is_closing(sqlite_store: SqliteStore, database_url: str) -> None:
    opening = asyncio.ensure_future(open_store(database_url))
    await asyncio.sleep(0.2)
    assert not opening.done()
    await sqlite_store.close()
    await (await opening).close()


HOLD = """
import asyncio, sys
from interop.store import open_store
async def hold():
    await open_store(sys.argv[1])
    print("held", flush=True)
    await asyncio.sleep(60)
asyncio.run(hold())
"""


async def test_the_lock_of_a_killed_process_is_free(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "PATIENCE", 0.1)
    with subprocess.Popen([sys.executable, "-c", HOLD, database_url], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreInUseError, match=str(holder.pid)):
            await open_store(database_url)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    await (await open_store(database_url)).close()


# a disk that fails


async def test_a_full_database_refuses_whole_units_and_goes_on_with_what_fits(database_url: str) -> None:
    store = await open_store(f"{database_url}?max_page_count=200")
    kept = await store.unit(AGENT, create)

    def large(tx: Tx) -> None:
        create(tx)
        tx.create({**PATIENT, "text": {"div": "x" * 2_000_000}})

    with pytest.raises(UnavailableError, match="full") as refused:
        await store.unit(AGENT, large)
    assert refused.value.retry_after
    assert await count(store) == 1
    await store.unit(AGENT, create)
    assert await count(store) == 2

    written = 0

    async def fill() -> None:
        nonlocal written
        while True:
            await store.unit(AGENT, lambda tx: tx.create({**PATIENT, "text": {"div": "x" * 20_000}}))
            written += 1

    with pytest.raises(UnavailableError, match="full"):
        await fill()
    assert await count(store) == 2 + written
    assert (await store.view(lambda tx: tx.get("Patient", kept))).version == 1
    await store.ping()
    await store.close()
    larger = await open_store(database_url)
    await larger.unit(AGENT, large)
    assert await count(larger) == 4 + written
    await larger.close()


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    """Every write past the first bytes of a file fails with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_error_refuses_the_group_and_the_store_recovers(database_url: str) -> None:
    store = await open_store(database_url)
    before = await store.unit(AGENT, create)
    with no_file_may_grow():
        results = await asyncio.gather(*(store.unit(AGENT, create) for _ in range(4)), return_exceptions=True)
    assert all(isinstance(each, UnavailableError) and each.retry_after for each in results)
    assert await count(store) == 1
    after = await store.unit(AGENT, create)
    assert await count(store) == 2
    await store.close()
    again = await open_store(database_url)
    assert {row.id for row in (await again.view(lambda tx: tx.search(Query("Patient")))).rows} == {before, after}
    await again.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "not.db"
    path.write_bytes(b"this is no database, whatever its name says; it is long enough to be looked at" * 20)
    with pytest.raises(sqlite3.DatabaseError):
        await open_store(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"this is no database")


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite://host/x", "sqlite:///x?unknown=1", "mysql://x/y", "file.db"]
)
async def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite"):
        await open_store(url)
