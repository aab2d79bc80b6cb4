"""What only the server engine has: connections that are lost, transactions that race, several processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from interop.access.agent import system_agent
from interop.errors import UnavailableError
from interop.fhir.query import Query
from interop.store import Store, Tx, open_store, postgresql
from interop.store.fibers import wait
from interop.store.postgresql import PostgresqlStore
from interop.store.postgresql_session import PostgresqlSession
from tests.postgres import Cluster

AGENT = system_agent("test")
PATIENT: dict[str, Any] = {"resourceType": "Patient"}


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
async def pg(database_url: str) -> AsyncIterator[PostgresqlStore]:
    store = await open_store(database_url)
    assert isinstance(store, PostgresqlStore)
    yield store
    await store.close()


def create(tx: Tx) -> str:
    return tx.create(PATIENT).id


async def count(store: Store) -> int:
    return len((await store.view(lambda tx: tx.search(Query("Patient", count=1000)))).rows)


def end_sessions(url: str) -> None:
    """What an administrator, a failover or a restart does to the connections that are open."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_connections_that_were_lost_meanwhile_are_replaced_unnoticed(
    pg: PostgresqlStore, database_url: str
) -> None:
    await asyncio.gather(*(pg.unit(AGENT, create) for _ in range(16)))
    numbers = [await pg.unit(AGENT, lambda tx: tx.next_number("n")) for _ in range(postgresql.NUMBERS_AT_ONCE)]
    end_sessions(database_url)
    assert await count(pg) == 16
    end_sessions(database_url)
    await asyncio.gather(*(pg.unit(AGENT, create) for _ in range(16)))
    assert await count(pg) == 32
    assert await pg.unit(AGENT, lambda tx: tx.next_number("n")) not in numbers


async def test_a_connection_lost_before_commit_runs_the_work_again(pg: PostgresqlStore, database_url: str) -> None:
    runs = 0

    def work(tx: Tx) -> str:
        nonlocal runs
        runs += 1
        if runs == 1:
            create(tx)
            end_sessions(database_url)
        return create(tx)

    made = await pg.unit(AGENT, work)
    assert runs == 2
    assert [row.id for row in (await pg.view(lambda tx: tx.search(Query("Patient")))).rows] == [made]


async def test_a_connection_lost_in_commit_is_unavailable_and_not_done_twice(
    pg: PostgresqlStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0

    def work(tx: Tx) -> str:
        nonlocal runs
        runs += 1
        return create(tx)

    whole = PostgresqlSession.commit

    def cut(self: PostgresqlSession) -> str:
        end_sessions(database_url)
        return whole(self)

    monkeypatch.setattr(PostgresqlSession, "commit", cut)
    with pytest.raises(UnavailableError) as refused:
        await pg.unit(AGENT, work)
    monkeypatch.undo()
    assert (runs, bool(refused.value.retry_after)) == (1, True)
    assert await count(pg) == 0


async def test_a_server_that_is_away_is_unavailable_and_comes_back(
    pg: PostgresqlStore, postgres_cluster: Cluster
) -> None:
    await pg.unit(AGENT, create)
    postgres_cluster.stop()
    try:
        for attempt in (pg.unit(AGENT, create), pg.view(create), pg.ping()):
            with pytest.raises(UnavailableError) as refused:
                await attempt
            assert refused.value.retry_after
        with pytest.raises(UnavailableError, match="does not answer"):
            await open_store(postgres_cluster.url("postgres"))
    finally:
        postgres_cluster.start()
    await pg.unit(AGENT, create)
    await pg.ping()
    assert await count(pg) == 2


async def test_units_that_block_each_other_both_come_through(pg: PostgresqlStore) -> None:
    """A deadlock, which PostgreSQL ends by refusing one of the two."""
    both = asyncio.Barrier(2)

    def crossing(first: str, second: str) -> Any:
        met = False

        def work(tx: Tx) -> str:
            nonlocal met
            tx.lock(first)
            tx.get_state("any")  # a lock is taken with the next question
            if not met:
                met = True
                wait(both.wait())
            tx.lock(second)
            return create(tx)

        return work

    await asyncio.gather(pg.unit(AGENT, crossing("a", "b")), pg.unit(AGENT, crossing("b", "a")))
    assert await count(pg) == 2


async def test_a_unit_that_goes_on_after_a_failed_statement_is_not_taken_for_committed(pg: PostgresqlStore) -> None:
    def work(tx: Tx) -> str:
        create(tx)
        with pytest.raises(psycopg.errors.DivisionByZero):
            tx.session.row("SELECT 1 / 0")
        return "went on"

    with pytest.raises(RuntimeError, match="nothing was kept"):
        await pg.unit(AGENT, work)
    assert await count(pg) == 0


async def test_a_fault_of_the_work_leaves_a_usable_connection(pg: PostgresqlStore) -> None:
    def faulty(tx: Tx) -> None:
        create(tx)
        raise KeyError("a bug")

    for _ in range(20):
        with pytest.raises(KeyError):
            await pg.unit(AGENT, faulty)
    assert await count(pg) == 0
    assert len(pg._idle) <= pg._options.pool_size


async def test_two_processes_share_the_jobs_and_the_numbers(pg: PostgresqlStore, database_url: str) -> None:
    other = await open_store(database_url)

    def fill(tx: Tx) -> None:
        for number in range(60):
            tx.enqueue("send", f"k{number % 6}", {"n": number})

    await pg.unit(AGENT, fill)
    done: list[tuple[str, int]] = []

    async def worker(store: Store) -> None:
        while len(done) < 60:
            for job in await store.claim(None, 2, 30):
                done.append((job.key, job.payload["n"]))
                assert await store.finish(job)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(worker(store) for store in (pg, other) for _ in range(4)))
    assert len(done) == 60
    assert sorted(done, key=lambda each: each[0]) == sorted(done)

    stores = [pg, other] * 30
    numbers = await asyncio.gather(*(store.unit(AGENT, lambda tx: tx.next_number("acc")) for store in stores))
    assert len(set(numbers)) == 60
    await other.close()


async def test_a_level_triggered_job_is_never_lost_to_a_claim_at_the_same_moment(pg: PostgresqlStore) -> None:
    """Whoever claims after the change sees it: the last payload is always the last one worked on."""
    last_worked = -1
    stopped = False

    async def worker() -> None:
        nonlocal last_worked
        while not stopped or await pg.view(lambda tx: tx.next_due()) is not None:
            for job in await pg.claim(["worklist"], 5, 30):
                last_worked = job.payload["n"]
                assert await pg.finish(job)
            await asyncio.sleep(0)

    working = asyncio.ensure_future(worker())
    for number in range(200):
        await pg.unit(AGENT, lambda tx, n=number: tx.enqueue("worklist", "o", {"n": n}, replace=True))
    stopped = True
    await working
    assert last_worked == 199


async def test_commits_wait_for_the_disk_unless_asked_not_to(database_url: str, postgres_cluster: Cluster) -> None:
    async def setting(synchronous: str) -> str:
        store = await open_store(database_url, synchronous=synchronous)
        value = await store.view(lambda tx: tx.session.row("SELECT current_setting('synchronous_commit')"))
        await store.close()
        assert value is not None
        return str(value[0])

    assert (await setting("FULL"), await setting("NORMAL")) == ("on", "off")
    name = database_url.rpartition("/")[2]
    with psycopg.connect(postgres_cluster.conninfo("postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        assert await setting("FULL") == "on"
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = remote_apply')
        assert await setting("FULL") == "remote_apply"


def test_libpq_reads_its_own_options_and_not_ours() -> None:
    from interop.store.opening import postgresql_options

    options = postgresql_options("postgresql+psycopg://u:p%40ss@h:5/d?pool_size=3&sslmode=require&host=%2Ftmp%2Fs")
    assert options.pool_size == 3
    parsed = psycopg.conninfo.conninfo_to_dict(options.conninfo)
    assert parsed == {
        "user": "u",
        "password": "p@ss",
        "host": "/tmp/s",
        "port": "5",
        "dbname": "d",
        "sslmode": "require",
    }


async def test_a_unit_is_carried_out_though_whoever_waits_for_it_has_gone(pg: PostgresqlStore) -> None:
    waiting = asyncio.create_task(pg.unit(AGENT, create))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.gather(*(pg.unit(AGENT, create) for _ in range(2)))
    async with asyncio.timeout(10):  # the first may be the last to end: nobody waits for it
        while await count(pg) < 3:
            await asyncio.sleep(0.01)
    assert await count(pg) == 3
