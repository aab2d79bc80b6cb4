"""Acknowledged means fsynced: a power cut loses no unit whose caller was told that it stands.

The same harness loses acknowledged units where the engine is told not to wait for the disk, so it is known to bite.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.fhir.query import Query
from interop.store import Store, open_store
from tests.durability.power_loss import VolatileDisk
from tests.postgres import Cluster

ROOT = Path(__file__).resolve().parents[2]
ENOUGH = 300  # acknowledgements before the power goes


def acknowledged(url: str, synchronous: str, environment: dict[str, str]) -> Iterator[str]:
    """Ids as they are acknowledged; closing kills the process and hands out what it had printed until then."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.durability.acknowledge", url, synchronous],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    with child:
        for number, line in enumerate(child.stdout):
            if number == ENOUGH:
                child.send_signal(signal.SIGKILL)
            if line.endswith("\n"):
                yield line.strip()
    assert child.returncode == -signal.SIGKILL


async def stored(store: Store) -> set[str]:
    """The ids of all that is there, each with its audit event and its job."""
    found: set[str] = set()
    after = None
    while True:
        page = await store.view(lambda tx, a=after: tx.search(Query("Patient", count=1000, after=a)))
        found |= {row.id for row in page.rows}
        after = page.next
        if after is None:
            break
    events = await store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=100_000)))
    assert {(row.event.patient or "").removeprefix("Patient/") for row in events} == found
    assert (await store.stats()).jobs["ready"] == len(found)
    return found


async def reopened(url: str) -> set[str]:
    store = await open_store(url)
    found = await stored(store)
    await store.close()
    return found


async def lose_power_on_sqlite(tmp_path: Path, synchronous: str, kept: random.Random | None = None) -> set[str]:
    """The acknowledged ids that the reopened store does not have."""
    folder = tmp_path / "data"
    url = f"sqlite:///{folder}/interop.db"
    await (await open_store(url)).close()
    disk = VolatileDisk(folder, tmp_path)
    acknowledgements = set(acknowledged(url, synchronous, disk.environment))
    assert len(acknowledgements) >= ENOUGH
    disk.cut_power(kept=kept)
    lost = acknowledgements - await reopened(url)
    with sqlite3.connect(f"{folder}/interop.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    return lost


async def test_sqlite_keeps_every_acknowledged_unit(tmp_path: Path) -> None:
    assert await lose_power_on_sqlite(tmp_path, "FULL") == set()


@pytest.mark.parametrize("seed", [1, 2])
async def test_sqlite_keeps_them_also_where_a_part_of_the_rest_reached_the_disk(tmp_path: Path, seed: int) -> None:
    assert await lose_power_on_sqlite(tmp_path, "FULL", random.Random(seed)) == set()


async def test_the_harness_bites_without_the_wait_for_the_disk(tmp_path: Path) -> None:
    assert await lose_power_on_sqlite(tmp_path, "NORMAL") != set()


@pytest.fixture
def durable_cluster() -> Iterator[Cluster]:
    cluster = Cluster(durable=True)
    yield cluster
    cluster.remove()


async def lose_power_on_postgresql(cluster: Cluster, tmp_path: Path, synchronous: str) -> set[str]:
    """The acknowledged ids that the restarted server does not have."""
    url = cluster.url(cluster.create_database())
    await (await open_store(url)).close()
    disk = VolatileDisk(cluster.folder / "data", cluster.workshop())
    await asyncio.to_thread(cluster.stop)
    await asyncio.to_thread(cluster.start, environment=disk.environment, settings={"wal_writer_delay": "10s"})
    acknowledgements = set(acknowledged(url, synchronous, {}))
    assert len(acknowledgements) >= ENOUGH
    cluster.kill()
    assert disk.cut_power() > 0
    await asyncio.to_thread(cluster.start)
    return acknowledgements - await reopened(url)


async def test_postgresql_keeps_every_acknowledged_unit(durable_cluster: Cluster, tmp_path: Path) -> None:
    assert await lose_power_on_postgresql(durable_cluster, tmp_path, "FULL") == set()


async def test_the_harness_bites_on_postgresql_too(durable_cluster: Cluster, tmp_path: Path) -> None:
    assert await lose_power_on_postgresql(durable_cluster, tmp_path, "NORMAL") != set()
