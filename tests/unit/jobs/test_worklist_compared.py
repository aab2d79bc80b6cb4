"""What happens to the worklist's items behind the server's back is found, and mended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from interop.errors import UnavailableError
from interop.jobs import (
    Made,
    Wanted,
    WorklistItems,
    keep_compared,
    mend,
    reconcile,
    verify,
    worklist_answers,
    worklist_compared,
    worklist_kept,
)
from interop.jobs.worklist_compared import FAULT
from interop.jobs.worklist_items import Change
from interop.store import Store
from tests.hl7_messages import orm
from tests.hospital import Hospital, an_order
from tests.unit.jobs.test_worklist import Folder, outcomes, steps_of_one_order, work_off


async def test_folder_and_database_are_compared_and_mended(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    kept = (await hospital.send(orm())).orders[0]
    lost = (await hospital.send(orm(placer="P2"))).orders[0]
    over = (await hospital.send(orm(placer="P3"))).orders[0]
    await work_off(hospital, folder)
    await hospital.send(orm("CA", "P3"))
    await hospital.jobs("worklist")  # a worker that died between the job and its effect
    del folder.files[lost]
    folder.files["stranger"] = {"CT1": b""}
    assert await reconcile(store, hospital.site, folder) == 3
    assert await work_off(hospital, folder) == 3
    assert set(folder.files) == {kept, lost}
    assert over not in folder.files
    assert await reconcile(store, hospital.site, folder) == 0


async def test_a_file_of_a_wrong_station_in_the_place_of_a_right_one_is_seen(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    order = (await hospital.send(orm())).orders[0]
    await work_off(hospital, folder)
    folder.files[order]["XX1"] = folder.files[order].pop("CT2")
    assert await reconcile(store, hospital.site, folder) == 1
    await work_off(hospital, folder)
    assert set(folder.files[order]) == {"CT1", "CT2"}


async def test_items_of_steps_are_compared_by_step_and_station(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    order = (await hospital.send(steps_of_one_order("NW", "S1", "S2"))).orders[0]
    await work_off(hospital, folder)
    assert await reconcile(store, hospital.site, folder) == 0
    folder.files[order]["S2|CT1"] = folder.files[order].pop("S1|CT1")
    assert await reconcile(store, hospital.site, folder) == 1
    await work_off(hospital, folder)
    assert set(folder.files[order]) == {"S1|CT1", "S1|CT2", "S2|MR1"}


async def test_many_orders_are_compared_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist_compared, "_PAGE", 2)
    hospital, folder = Hospital(store), Folder()
    for number in range(4):
        await hospital.send(orm(placer=f"N{number}"))
    steps = (await hospital.send(steps_of_one_order("NW", "S1", "S2"))).orders[0]
    await work_off(hospital, folder)
    assert await reconcile(store, hospital.site, folder) == 0
    del folder.files[steps]["S2|MR1"]
    assert await reconcile(store, hospital.site, folder) == 1


class Looker:
    """As the worklist's process does it, in this one."""

    def __init__(self, hospital: Hospital, folder: Folder) -> None:
        self._folder = folder
        self._items = WorklistItems(hospital.store, hospital.site, self)

    def make_all(self, changes: Sequence[Change]) -> list[bool | UnavailableError]:
        """What would change; a folder that is full cannot be read here."""
        full, files = self._folder.full_for, self._folder.files
        return [
            UnavailableError("it cannot be read") if order in full else files.get(order, {}) != wanted
            for order, wanted, _ in changes
        ]

    async def look(self, wanted: Sequence[Wanted]) -> Sequence[Made]:
        return await self._items.write(wanted)


async def test_items_that_somebody_altered_are_written_anew(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    order = (await hospital.send(orm())).orders[0]
    await hospital.send(orm(placer="P2"))
    await work_off(hospital, folder)
    right = dict(folder.files[order])
    folder.files[order]["CT1"] = b""
    assert await verify(store, Looker(hospital, folder)) == 1
    assert await work_off(hospital, folder) == 1
    assert folder.files[order] == right
    assert await verify(store, Looker(hospital, folder)) == 0


async def test_content_is_compared_again_while_the_server_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist_compared, "_CONTENT", 0.0)
    hospital, folder = Hospital(store), Folder()
    order = (await hospital.send(orm())).orders[0]
    await work_off(hospital, folder)
    right = dict(folder.files[order])
    keeping = asyncio.create_task(keep_compared(store, folder, 0.0, Looker(hospital, folder)))
    try:
        async with asyncio.timeout(30):
            for _ in range(2):
                folder.files[order]["CT1"] = b"altered"
                while folder.files[order] != right:
                    await work_off(hospital, folder)
                    await asyncio.sleep(0.01)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_what_cannot_be_looked_at_is_owed_and_what_no_item_can_hold_is_not(store: Store) -> None:
    hospital, folder = Hospital(store), Folder()
    order = (await hospital.send(orm())).orders[0]
    await hospital.post(an_order(await hospital.patient("N" * 65), "P2"))
    await hospital.jobs("worklist")
    folder.full_for = {order}
    assert await verify(store, Looker(hospital, folder)) == 1
    assert [job["order"] for job in await hospital.jobs("worklist")] == [order]


async def buried(hospital: Hospital, folder: Folder) -> None:
    """Run what is owed, and bury what fails for good as the runner does."""
    jobs = await hospital.store.claim(["worklist"], 100, 60)
    for job, outcome in zip(jobs, await outcomes(hospital.store, hospital.site, folder, *jobs), strict=True):
        if isinstance(outcome, Exception):
            assert hasattr(outcome, "outcome")
            await hospital.store.unit(outcome.outcome.agent, outcome.outcome.keep)
            await hospital.store.bury(job, str(outcome))
        else:
            assert outcome is not None
            await hospital.store.unit(outcome.agent, outcome.keep)
            await hospital.store.finish(job)


async def dead(store: Store) -> list[str]:
    return await store.view(lambda tx: [job.key for job in tx.dead_jobs(kinds=["worklist"])])


async def test_an_order_that_no_item_can_hold_has_one_dead_letter_until_it_is_corrected(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worklist_compared, "_SETTLING", 0.0)
    hospital, folder = Hospital(store), Folder()
    patient = await hospital.patient("N" * 65)  # LO holds 64 characters
    order = await hospital.post(an_order(patient))
    await buried(hospital, folder)
    for _ in range(3):  # starts
        assert await reconcile(store, hospital.site, folder) == 1
        await buried(hospital, folder)
    assert await dead(store) == [order.id]
    assert await mend(store, folder) == 0  # while it runs: it waits for whoever corrects it
    resource = await hospital.get("Patient", patient.removeprefix("Patient/"))
    resource["identifier"][0]["value"] = "100234"
    await hospital.put(resource)
    await buried(hospital, folder)
    assert await dead(store) == []
    assert set(folder.files) == {order.id}


async def test_files_that_are_lost_while_the_server_runs_come_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worklist_compared, "_SETTLING", 0.0)
    hospital, folder = Hospital(store), Folder()
    await hospital.send(orm())
    await work_off(hospital, folder)
    whole = {id: set(files) for id, files in folder.files.items()}
    folder.files.clear()
    assert await mend(store, folder) == 1
    await work_off(hospital, folder)
    assert {id: set(files) for id, files in folder.files.items()} == whole
    assert await mend(store, folder) == 0


async def test_what_is_on_its_way_is_not_owed_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital, folder, sleep = Hospital(store), Folder(), asyncio.sleep
    await hospital.send(orm())

    async def meanwhile(seconds: float) -> None:
        await (work_off(hospital, folder) if seconds else sleep(0))

    monkeypatch.setattr(worklist_compared.asyncio, "sleep", meanwhile)
    assert await mend(store, folder) == 0
    assert await hospital.jobs("worklist") == []


async def test_a_worklist_that_cannot_be_looked_at_is_told_and_mended_when_it_is_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital = Hospital(store)
    monkeypatch.setattr(worklist_compared, "_AGAIN", 0.0)
    monkeypatch.setattr(worklist_compared, "_SETTLING", 0.0)
    await hospital.send(orm())
    await hospital.jobs("worklist")
    told: list[str] = []

    class Away(Folder):
        async def names(self) -> Sequence[str]:
            try:
                await worklist_answers(store)
            except UnavailableError as error:
                told.append(error.text)
            if len(told) < 2:
                raise UnavailableError("the worklist folder cannot be opened")
            return []

    keeping = asyncio.create_task(keep_compared(store, Away(), 60.0))
    try:
        async with asyncio.timeout(30):
            while not await hospital.jobs("worklist"):
                await asyncio.sleep(0.01)
            while await store.view(lambda tx: tx.get_state(FAULT)) is not None:
                await asyncio.sleep(0.01)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert set(told) == {"the worklist folder cannot be opened"}
    await worklist_answers(store)


async def test_a_start_plans_anew_where_the_worklist_is_away(store: Store) -> None:
    hospital = Hospital(store)
    order = (await hospital.send(orm())).orders[0]

    class Away(Folder):
        async def names(self) -> Sequence[str]:
            raise UnavailableError("the worklist folder cannot be opened")

        async def sweep(self) -> int:
            raise UnavailableError("the worklist folder cannot be opened")

    fewer = replace(hospital.site, stations=hospital.site.stations[1:])
    (await worklist_kept(store, fewer, Away(), None)).close()
    assert (await hospital.row(order)).stations == ("CT2",)


async def test_items_that_cannot_be_written_are_told(store: Store) -> None:
    hospital = Hospital(store)
    await hospital.send(orm())
    await worklist_answers(store)
    (job,) = await store.claim(["worklist"], 1, 60)
    await store.retry(job, "No space left on device", 3600)
    with pytest.raises(UnavailableError, match="orders not shown as they are: 1; interop doctor"):
        await worklist_answers(store)
