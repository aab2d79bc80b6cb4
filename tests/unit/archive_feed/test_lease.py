"""One process consumes; another takes over when it ends, at once where that can be seen."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from interop.archive_feed.lease import AGENT, ROW, Lease, LeaseLostError, this_process
from interop.store import Store, Tx, open_store


@pytest.fixture
async def store(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Store]:
    shutil.copyfile(sqlite_template, tmp_path / "interop.db")
    opened = await open_store(f"sqlite:///{tmp_path / 'interop.db'}", zone=UTC, index=lambda _resource, _zone: [])
    yield opened
    await opened.close()


async def test_the_first_has_it_and_the_second_waits(store: Store) -> None:
    one, two = Lease(store, "elsewhere/1/1"), Lease(store, "elsewhere/2/2")
    taken = await one.take()
    assert taken is not None
    assert taken.cursor is None
    assert await two.take() is None
    await one.release()
    assert await two.take() is not None


async def test_the_cursor_stays_with_the_row_and_never_goes_back(store: Store) -> None:
    one, two = Lease(store, "elsewhere/1/1"), Lease(store, "elsewhere/2/2")
    await one.take()
    await store.unit(AGENT, lambda tx: one.move(tx, 7))
    await store.unit(AGENT, lambda tx: one.move(tx, 5))
    await one.release()
    taken = await two.take()
    assert taken is not None
    assert taken.cursor == 7
    await store.unit(AGENT, lambda tx: two.reset(tx, 0))
    retaken = await two.take()
    assert retaken is not None
    assert retaken.cursor == 0


async def test_who_lost_it_cannot_commit(store: Store) -> None:
    one, two = Lease(store, "elsewhere/1/1"), Lease(store, "elsewhere/2/2")
    await one.take()
    await one.release()
    await two.take()

    def late(tx: Tx) -> None:
        tx.set_state("study", "registered")
        one.move(tx, 9)

    with pytest.raises(LeaseLostError):
        await store.unit(AGENT, late)
    with pytest.raises(LeaseLostError):
        await one.renew()
    assert await store.view(lambda tx: tx.get_state("study")) is None
    await one.release()  # not ours: left alone
    assert await one.take() is None


async def test_an_expired_term_is_free(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Lease(store, "elsewhere/1/1"), Lease(store, "elsewhere/2/2")
    monkeypatch.setattr("interop.archive_feed.lease.TERM", timedelta(seconds=-1))
    await one.take()
    monkeypatch.undo()
    assert await two.take() is not None
    with pytest.raises(LeaseLostError):
        await one.renew()


async def test_a_process_of_this_machine_that_died_holds_nothing(store: Store) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        machine = this_process().split("/")[0]
        dead = Lease(store, f"{machine}/{process.pid}/{fields[19]}")
        await dead.take()
        assert await Lease(store).take() is None
        process.kill()
    assert await Lease(store).take() is not None
    assert str(os.getpid()) in (await store.view(lambda tx: tx.get_state(ROW)) or "")
