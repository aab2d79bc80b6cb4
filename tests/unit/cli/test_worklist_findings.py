"""What ``interop doctor`` says of the worklist, and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from interop.cli.installed import Finding
from interop.cli.worklist_findings import worklist_findings
from interop.jobs import Wanted, WorklistItems
from interop.parts import open_worklist, site
from interop.settings import Settings, child_environment
from interop.store import Store
from tests.hl7_messages import orm
from tests.hospital import Hospital, an_order
from tests.sites import tables


class Doctor:
    """A server's worklist, and who looks at it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.hospital = Hospital(store, site(settings))

    async def place(self, placer: str) -> str:
        """An order; nobody has written its item yet."""
        return (await self.hospital.send(orm(placer=placer))).orders[0]

    async def write(self) -> None:
        """Work off what is owed."""
        items = WorklistItems(self.store, site(self.settings), open_worklist(self.settings))
        for job in await self.store.claim(["worklist"], 100, 60):
            (made,) = await items.write([Wanted(str(job.payload["order"]), thorough=False)])
            await (self.store.bury(job, made.fault) if made.fault else self.store.finish(job))

    async def findings(self) -> list[Finding]:
        """What is told."""
        return await worklist_findings(self.store, self.settings)

    def files(self) -> list[Path]:
        """The files that stand there."""
        return sorted(self.settings.worklist.iterdir())


def told(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.subject) for finding in findings]


@pytest.fixture
def doctor(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    monkeypatch.setattr("interop.cli.worklist_findings._SETTLING", 0.0)
    monkeypatch.setattr("interop.parts.mapping_tables", tables)  # compiled once for all tests
    return Doctor(store, Settings.of(child_environment({"INTEROP_DATA_DIR": str(tmp_path)})))


async def test_a_worklist_as_it_should_be(doctor: Doctor) -> None:
    assert told(await doctor.findings()) == [("warning", "worklist")]  # not there yet
    await doctor.place("P1")
    await doctor.write()
    assert await doctor.findings() == [Finding("ok", "worklist", "as the database has it: 1 orders")]


@pytest.mark.parametrize("harm", ["lost", "emptied", "left behind", "of a wrong station"])
async def test_what_happened_to_a_file_is_found(doctor: Doctor, harm: str) -> None:
    order = await doctor.place("P1")
    await doctor.place("P2")
    await doctor.write()
    file = next(file for file in doctor.files() if file.name.startswith(order))
    match harm:
        case "lost":
            file.unlink()
        case "emptied":
            file.write_bytes(b"")
        case "left behind":
            order = "nobody-s"
            shutil.copy(file, file.with_name(f"{order}~0123456789abcdef.wl"))
        case _:
            file.rename(file.with_name(f"{order}~0123456789abcdef.wl"))
    (finding,) = await doctor.findings()
    assert (finding.level, finding.seen) == (
        "fault",
        f"orders that differ from the database: 1: ServiceRequest/{order}",
    )
    assert "restart" in finding.remedy


async def test_an_order_that_no_item_can_hold_is_named_with_its_reason_apart_from_what_a_restart_mends(
    doctor: Doctor,
) -> None:
    unfit = (await doctor.hospital.post(an_order(await doctor.hospital.patient("N" * 65)))).id
    lost = await doctor.place("P2")
    await doctor.write()
    next(file for file in doctor.files() if file.name.startswith(lost)).unlink()
    first, second = await doctor.findings()
    assert (first.level, first.subject) == ("fault", "worklist item")
    assert first.seen.startswith(f"ServiceRequest/{unfit}: the order does not fit into a worklist item: ")
    assert "PatientID" in first.seen
    assert "correct the order or its patient" in first.remedy
    assert "restart changes nothing" in first.remedy.lower()
    assert second.seen == f"orders that differ from the database: 1: ServiceRequest/{lost}"
    await doctor.hospital.delete("ServiceRequest", unfit)
    await doctor.place("P3")
    await doctor.write()
    findings = await doctor.findings()
    assert ("warning", "dead letters") in told(findings)
    assert "interop jobs drop --kind worklist" in findings[-1].remedy


async def test_of_many_that_no_item_can_hold_the_first_are_named(doctor: Doctor) -> None:
    patient = await doctor.hospital.patient("N" * 65)
    for number in range(7):
        await doctor.hospital.post(an_order(patient, f"P{number}"))
    doctor.settings.worklist.mkdir()
    findings = [finding for finding in await doctor.findings() if finding.subject == "worklist item"]
    assert len(findings) == 6
    assert (findings[-1].seen, findings[-1].remedy) == ("and 2 more", "interop jobs list --kind worklist names them")


async def test_a_dead_letter_whose_order_can_be_shown_by_now_is_to_be_tried_again(doctor: Doctor) -> None:
    await doctor.place("P1")
    (job,) = await doctor.store.claim(["worklist"], 1, 60)
    await doctor.store.bury(job, "the tables were others")
    doctor.settings.worklist.mkdir()
    findings = await doctor.findings()
    assert told(findings) == [("fault", "worklist"), ("warning", "dead letters")]
    assert findings[1].remedy.startswith("interop jobs retry --kind worklist")


async def test_why_items_are_not_written_is_said(doctor: Doctor) -> None:
    await doctor.place("P1")
    doctor.settings.worklist.mkdir()
    (job,) = await doctor.store.claim(["worklist"], 1, 60)
    await doctor.store.retry(job, "the worklist folder cannot be written: No space left on device", 3600)
    (finding,) = await doctor.findings()
    assert finding.seen.endswith("1: the worklist folder cannot be written: No space left on device")
    assert "tries again by itself" in finding.remedy


async def test_a_folder_that_is_gone_or_no_folder_is_a_fault_once_there_is_something_to_show(doctor: Doctor) -> None:
    await doctor.place("P1")
    await doctor.write()
    shutil.rmtree(doctor.settings.worklist)
    (gone,) = await doctor.findings()
    assert (gone.level, gone.seen) == (
        "fault",
        f"{doctor.settings.worklist}: not there, and orders are to be shown: 1",
    )
    assert not doctor.settings.worklist.exists()
    doctor.settings.worklist.write_text("")
    (file,) = await doctor.findings()
    assert (file.level, file.seen) == ("fault", f"{doctor.settings.worklist}: no folder")


async def test_files_of_another_program_are_told(doctor: Doctor) -> None:
    await doctor.place("P1")
    await doctor.write()
    shutil.copy(doctor.files()[0], doctor.settings.worklist / "theirs.wl")
    well, strange = await doctor.findings()
    assert (well.level, strange.level) == ("ok", "warning")
    assert strange.seen.endswith("shown to modalities too: 1: theirs.wl")
