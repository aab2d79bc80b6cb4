"""What the shipped site files change, by data alone: the same message from their sender and from anybody else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from interop.fhir.query import Identity
from interop.jobs import Wanted, WorklistItems
from interop.store import OrderRow, Store
from interop.worklist_folder import WorklistFolder
from tests.mllp_door import listening, told
from tests.sites import a_site, tables

CASES = Path(__file__).parent.parent / "unit" / "mapping" / "cases"


@dataclass
class Came:
    """What the server made of a message."""

    answer: tuple[str, str]
    order: OrderRow
    service_request: dict[str, Any]
    patient: dict[str, Any]

    @property
    def family(self) -> str:
        return str(self.patient["name"][0]["family"])


async def sent(store: Store, raw: bytes) -> Came:
    """The message over a real connection, and what is in the store then."""
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(raw)
        answer = told(await peer.answer())
    (row,) = await store.view(lambda tx: tx.find_orders(limit=10))
    order = await store.view(lambda tx: tx.get("ServiceRequest", row.id).resource())
    patient = await store.view(lambda tx: tx.get("Patient", row.patient_id).resource())
    return Came(answer, row, order, patient)


def sample(name: str, *, stranger: str = "") -> bytes:
    """A site's sample message; ``stranger``: the same from another MSH-3."""
    raw = (CASES / f"site-{name}.hl7").read_bytes().replace(b"\n", b"\r")
    if stranger:
        fields = raw.split(b"|")
        fields[2] = stranger.encode()
        fields[3] = b"ELSEWHERE"
        raw = b"|".join(fields)
    return raw


async def item(store: Store, came: Came, folder: Path) -> Dataset:
    """The order's worklist file; there is one."""
    items = WorklistItems(store, a_site(), WorklistFolder(folder))
    (made,) = await items.write([Wanted(came.order.id, False)])
    assert (made.shown, made.fault) == (True, "")
    (file,) = folder.rglob("*.wl")
    return dcmread(file)


async def test_a_hosted_ris_with_greek_words_and_a_clock_abroad(store: Store, tmp_path: Path) -> None:
    came = await sent(store, sample("hosted-ris"))
    assert came.answer == ("AA", "HR1")
    assert came.family == "Μακρής"
    assert came.order.accession is not None
    assert (came.order.accession.value, came.order.modality) == ("A26-004711", "CT")
    assert came.order.start == datetime(2026, 7, 4, 8, 30, tzinfo=UTC)  # 09:30 in London
    assert (came.order.scheduled, came.order.stations) == (True, ("CT1", "CT2"))
    assert came.service_request["priority"] == "stat"


async def test_from_anybody_else_the_hosted_ris_would_be_refused(store: Store) -> None:
    """OBR-18 would be the accession number, and it is too long for one."""
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(sample("hosted-ris", stranger="OTHER"))
        answer = await peer.answer()
    assert told(answer) == ("AE", "HR1")
    assert answer.get("ERR-2") == "OBR^1^18^1"
    assert not await store.view(lambda tx: tx.find_orders(limit=10))


async def test_a_his_with_oids_and_a_segment_of_its_own(store: Store, tmp_path: Path) -> None:
    came = await sent(store, sample("oid-his"))
    assert came.answer == ("AA", "OH1")
    assert came.patient["identifier"][0]["system"] == "urn:oid:2.16.840.1.113883.2.40.99.1"
    assert came.order.accession == Identity("urn:oid:2.16.840.1.113883.2.40.99.3", "GEN26000417")
    assert came.order.stations == ("MR1",)
    assert came.service_request["priority"] == "urgent"
    dataset = await item(store, came, tmp_path)
    assert dataset.AccessionNumber == "GEN26000417"
    assert dataset.AdmissionID == "VISIT-2026-11-000000417"
    assert dataset.RequestedProcedurePriority == "HIGH"
    assert dataset.IssuerOfAccessionNumberSequence[0].UniversalEntityID == "2.16.840.1.113883.2.40.99.3"


async def test_a_visit_in_ipc_1_is_no_accession_number_of_anybody_else(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await peer.send(sample("oid-his", stranger="OTHER"))
        answer = await peer.answer()
    assert told(answer) == ("AE", "OH1")
    assert answer.get("ERR-2") == "IPC^1^1^1"


async def test_an_old_his_without_obr_24(store: Store, tmp_path: Path) -> None:
    came = await sent(store, sample("old-his"))
    assert came.answer == ("AA", "OLD1")
    assert came.family == "Χρίστου"
    assert [one["value"] for one in came.patient["identifier"]] == ["55123"]
    assert came.patient["gender"] == "male"
    assert (came.order.modality, came.order.stations) == ("CT", ("CT1",))
    assert came.order.start == datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
    dataset = await item(store, came, tmp_path)
    assert dataset.StudyInstanceUID == "1.2.826.0.1.3680043.9.7.23"
    assert str(dataset.PatientName) == "Χρίστου^Πέτρος"
    assert dataset.ScheduledProcedureStepSequence[0].ScheduledStationAETitle == "CT1"
    assert dataset.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime == "083000"


async def test_of_anybody_else_the_old_his_order_waits_for_a_modality(store: Store) -> None:
    came = await sent(store, sample("old-his", stranger="OTHER"))
    assert came.answer[0] == "AA"
    assert (came.order.modality, came.order.scheduled) == (None, False)
    assert came.patient["identifier"][0]["value"] == "BED-12"
    assert "gender" not in came.patient


@pytest.mark.parametrize(
    "site", [site for site in tables().sites if site.name != "example"], ids=lambda site: site.name
)
def test_each_site_file_has_a_sample_and_says_what_is_odd(site: Any) -> None:
    assert (CASES / f"site-{site.name.replace('_', '-')}.hl7").is_file()
    assert site.note
