"""The worklist's own process: it writes what the database says, comes back when killed, and ends with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydicom import dcmread

from interop.errors import UnavailableError
from interop.jobs import Wanted
from interop.settings import Settings, child_environment
from interop.store import Store
from interop.worklist_process import WorklistProcess
from tests.hl7_messages import orm
from tests.hospital import Hospital
from tests.worklists_plugin import PASSWORD, USER, plugin

PARENT = """
import asyncio, json, sys
from interop.settings import Settings
from interop.worklist_process import WorklistProcess

async def main():
    process = WorklistProcess(Settings())
    await process.start()
    print(process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings.of(
        child_environment({"INTEROP_DATA_DIR": str(tmp_path / "data"), "INTEROP_DATABASE_URL": database_url})
    )


@pytest.fixture
async def process(settings: Settings) -> AsyncIterator[WorklistProcess]:
    process = WorklistProcess(settings)
    yield process
    await process.stop()
    assert process.pid is None


async def test_orders_are_written_as_the_database_has_them(
    process: WorklistProcess, store: Store, settings: Settings
) -> None:
    hospital = Hospital(store)
    ids = [(await hospital.send(orm(placer=f"P{n}"))).orders[0] for n in range(3)]
    made = await process.write([Wanted(id, False) for id in (*ids, "no-such-order")])
    assert [(one.order, one.shown, one.changed, one.fault) for one in made] == [
        *((id, True, True, "") for id in ids),
        ("no-such-order", False, False, ""),
    ]
    (first, *_) = sorted(settings.worklist.glob(f"{ids[0]}~*.wl"))
    assert str(dcmread(first).PatientName) == "Παπαδόπουλος^Νίκος"
    first.write_bytes(b"altered")
    seen = await process.look([Wanted(id, True) for id in ids])
    assert ([one.changed for one in seen], first.read_bytes()) == ([True, False, False], b"altered")
    await process.write([Wanted(ids[0], False)])
    await hospital.send(orm("CA", "P1"))
    again = await process.write([Wanted(id, False) for id in ids])
    assert [(one.shown, one.changed) for one in again] == [(True, False), (False, True), (True, False)]
    assert not list(settings.worklist.glob(f"{ids[1]}~*"))


async def test_a_process_that_was_killed_is_said_to_have_ended_and_is_started_again(
    process: WorklistProcess, store: Store
) -> None:
    (id,) = (await Hospital(store).send(orm())).orders
    await process.start()
    before = process.pid
    assert before is not None
    asked = asyncio.create_task(process.write([Wanted(id, False)]))
    await asyncio.sleep(0)  # the question is under way
    os.kill(before, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="worklist's process"):
        await asked
    (made,) = await process.write([Wanted(id, False)])
    assert made.shown
    assert process.pid not in (None, before)


async def test_a_question_that_is_given_up_is_not_answered_to_the_next(process: WorklistProcess, store: Store) -> None:
    hospital = Hospital(store)
    first, second = [(await hospital.send(orm(placer=placer))).orders[0] for placer in ("P1", "P2")]
    asked = asyncio.create_task(process.write([Wanted(first, False)]))
    await asyncio.sleep(0.05)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert [one.order for one in await process.write([Wanted(second, False)])] == [second]


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_it_ends_when_its_parent_is_killed(settings: Settings, tmp_path: Path, database_url: str) -> None:
    environment = child_environment({"INTEROP_DATA_DIR": str(tmp_path / "data"), "INTEROP_DATABASE_URL": database_url})
    with subprocess.Popen([sys.executable, "-c", PARENT], env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        parent.kill()
    async with asyncio.timeout(15):
        while _runs(pid):
            await asyncio.sleep(0.05)


async def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    process = WorklistProcess(Settings.of(child_environment({"INTEROP_DATA_DIR": str(tmp_path / "nothing")})))
    with pytest.raises(UnavailableError, match="worklist's process"):
        await process.write([Wanted("o-1", False)])
    await process.stop()


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_the_same_items_are_told_over_rest(store: Store, settings: Settings) -> None:
    hospital = Hospital(store)
    (id,) = (await hospital.send(orm(placer="P1", accession="R1"))).orders
    with plugin() as there:
        told = {"worklist_driver": "orthanc-rest", "orthanc_url": there.url, "orthanc_username": USER}
        secret = settings.data_dir / "orthanc.password"
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text(PASSWORD)
        process = WorklistProcess(settings.model_copy(update={**told, "orthanc_password_file": secret}))
        try:
            (made,) = await process.write([Wanted(id, False)])
            assert (made.shown, made.changed, made.fault) == (True, True, "")
            (again,) = await process.write([Wanted(id, True)])
            (tags,) = there.items.values()
            assert not again.changed
            assert (tags["AccessionNumber"].strip(), tags["PatientID"].strip()) == ("R1", "100234")
            assert tags["PatientName"].strip() == "Παπαδόπουλος^Νίκος"
            assert tags["ScheduledProcedureStepSequence"][0]["Modality"] == "CT"
            there.missing = True
            (failed,) = await process.write([Wanted(id, False)])
            assert "needs the worklists plugin" in failed.fault
            there.missing = False
            await hospital.send(orm("CA", placer="P1"))
            (gone,) = await process.write([Wanted(id, False)])
            assert (gone.shown, gone.changed, there.items) == (False, True, {})
        finally:
            await process.stop()
