"""Receivers are told of every step of an order, and a site that reads what they are told has the same steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interop.fhir.scheduled_steps import steps_of, with_steps
from interop.hl7.message import Message, parse
from interop.store import Store, open_store
from tests.hl7_messages import PATIENT, header, message
from tests.hospital import Hospital, Resource, an_order, images_of
from tests.sites import RIS, a_site

EXT = "urn:interop:StructureDefinition:scheduled-step"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
STEPS = (("S1", "CT", "2026-11-21T08:30:00+02:00", "CT1"), ("S2", "MR", "2026-11-21T10:00:00+02:00", "MR1"))


def stepping(*steps: tuple[str, str, str, str]) -> list[Resource]:
    """The steps as an app tells them."""
    return [
        {
            "url": EXT,
            "extension": [
                {"url": "id", "valueIdentifier": {"value": id}},
                {"url": "modality", "valueCoding": {"system": DCM, "code": modality}},
                {"url": "start", "valueDateTime": start},
                {"url": "station", "valueString": station},
                {"url": "protocol", "valueCodeableConcept": {"coding": [{"code": f"{id}P", "display": f"{id} scan"}]}},
            ],
        }
        for id, modality, start, station in steps
    ]


def hospital_of(store: Store, type_: str, version: str = "2.5.1") -> Hospital:
    """A site that tells one receiver of its orders."""
    return Hospital(store, a_site(replace(RIS, types=frozenset({type_}), version=version)))


async def posted(hospital: Hospital) -> Resource:
    """An app's order of a CT and an MR."""
    return (await hospital.post(an_order(await hospital.patient(), extension=stepping(*STEPS)))).resource()


async def last(hospital: Hospital) -> Message:
    """The newest message out."""
    return parse((await hospital.outgoing())[-1].raw)


def groups(told: Message) -> list[tuple[str, str, str]]:
    """ORC-1, ORC-5 and OBR-20 of each group."""
    pairs = zip(told.all("ORC"), told.all("OBR"), strict=True)
    return [(orc.value(1).text(1), orc.value(5).text(1), obr.value(20).text(1)) for orc, obr in pairs]


@pytest.mark.parametrize(("type_", "version"), [("ORM^O01", "2.3.1"), ("ORM^O01", "2.5.1"), ("OMG^O19", "2.5.1")])
async def test_each_step_is_a_group_of_its_own(store: Store, type_: str, version: str) -> None:
    hospital = hospital_of(store, type_, version)
    await posted(hospital)
    told = await last(hospital)
    assert groups(told) == [("NW", "SC", "S1"), ("NW", "SC", "S2")]
    assert [one.value(24).text(1) for one in told.all("OBR")] == ["CT", "MR"]
    assert [one.value(1).text(1) for one in told.all("OBR")] == ["1", "2"]
    assert [one.value(36).text(1) for one in told.all("OBR")] == ["20261121083000+0200", "20261121100000+0200"]
    assert len(told.all("TQ1")) == (0 if version == "2.3.1" else 2)
    assert len(told.all("PID")) == 1


async def test_in_omi_each_step_is_an_ipc_with_its_time(store: Store) -> None:
    hospital = hospital_of(store, "OMI^O23")
    await posted(hospital)
    told = await last(hospital)
    assert groups(told) == [("NW", "SC", "S1")]
    assert [[ipc.value(n).text(1) for n in (4, 5, 6, 9)] for ipc in told.all("IPC")] == [
        ["S1", "CT", "S1P", "CT1"],
        ["S2", "MR", "S2P", "MR1"],
    ]
    assert [(one.value(1).text(1), one.value(7).text(1)) for one in told.all("TQ1")] == [
        ("1", "20261121083000+0200"),
        ("2", "20261121100000+0200"),
    ]


@pytest.mark.parametrize("type_", ["ORM^O01", "OMG^O19", "OMI^O23"])
async def test_a_site_that_reads_it_has_the_same_steps(store: Store, tmp_path: Any, type_: str) -> None:
    hospital = hospital_of(store, type_)
    order = await posted(hospital)
    raw = (await hospital.outgoing())[-1].raw
    other_store = await open_store(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        other = Hospital(other_store)
        reply = await other.send(raw)
        assert (reply.code, len(set(reply.orders)), reply.issues) == ("AA", 1, ())
        came = steps_of(await other.get("ServiceRequest", reply.orders[0]))
        kept = ("number", "status", "step", "start", "protocols")
        went = steps_of(order)
        assert [[getattr(one, name) for name in kept] for one in came] == [
            [getattr(one, name) for name in kept] for one in went
        ]
        assert [one.modality and one.modality["code"] for one in came] == ["CT", "MR"]
        if type_ == "OMI^O23":  # the others have no place for a station
            assert [one.stations for one in came] == [("CT1",), ("MR1",)]

        await hospital.put(_with(order, 1, status="revoked"))
        reply = await other.send((await hospital.outgoing())[-1].raw)
        assert reply.code == "AA"
        came = steps_of(await other.get("ServiceRequest", reply.orders[0]))
        assert [(one.number, one.status) for one in came] == [("S1", "active"), ("S2", "revoked")]
    finally:
        await other_store.close()


def _with(order: Resource, index: int, **changes: Any) -> Resource:
    steps = list(steps_of(order))
    steps[index] = replace(steps[index], **changes)
    return with_steps(order, steps)


@pytest.mark.parametrize("type_", ["ORM^O01", "OMI^O23"])
async def test_what_becomes_of_one_step_is_told_of_that_one(store: Store, type_: str) -> None:
    hospital = hospital_of(store, type_)
    order = await posted(hospital)
    for changes, expected in (
        ({"status": "on-hold"}, ("HD", "HD", "S2")),
        ({"status": "active"}, ("RL", "SC", "S2")),
        ({"start": "2026-11-22T10:00:00+02:00"}, ("XO", "SC", "S2")),
        ({"status": "revoked"}, ("CA", "CA", "S2")),
    ):
        order = (await hospital.put(_with(order, 1, **changes))).resource()
        assert groups(await last(hospital)) == [expected]


async def test_what_becomes_of_the_order_is_told_of_its_steps_and_none_is_cancelled_twice(store: Store) -> None:
    hospital = hospital_of(store, "ORM^O01")
    order = await posted(hospital)
    order = (await hospital.put({**order, "note": [{"text": "in a wheelchair"}]})).resource()
    told = await last(hospital)
    assert groups(told) == [("XO", "SC", "S1"), ("XO", "SC", "S2")]
    assert [one.value(3).text(1) for one in told.all("NTE")] == ["in a wheelchair"]
    order = (await hospital.put(_with(order, 0, status="revoked"))).resource()
    assert groups(await last(hospital)) == [("CA", "CA", "S1")]
    await hospital.delete("ServiceRequest", order["id"])
    assert groups(await last(hospital)) == [("CA", "ER", "S2")]


async def test_images_of_one_step_are_told_as_its_status(store: Store) -> None:
    hospital = hospital_of(store, "ORM^O01")
    order = await posted(hospital)
    row = await hospital.row(order["id"])
    await hospital.register(images_of(replace(row, modality="MR"), 1))
    await hospital.register(replace(images_of(row, 1), series=(), quiet=True))
    assert groups(await last(hospital)) == [("SC", "SC", "S2")]


async def test_a_further_step_is_told_as_new(store: Store) -> None:
    hospital = hospital_of(store, "OMI^O23")
    order = (await hospital.post(an_order(await hospital.patient(), extension=stepping(*STEPS[:1])))).resource()
    assert len((await last(hospital)).all("IPC")) == 1
    await hospital.put({**order, "extension": [*order["extension"], *stepping(STEPS[1])]})
    assert groups(await last(hospital))[-1] == ("NW", "SC", "S2")


async def test_a_step_has_its_own_filler_number(store: Store) -> None:
    hospital = Hospital(store, a_site(replace(RIS, application="OTHER")))
    obr = "OBR|1|P1^RIS|{0}^RIS|PETCT^PET-CT^L||||||||||||||ACC1||{1}||||{2}"
    await hospital.send(
        message(
            header("ORM^O01"),
            PATIENT,
            *("ORC|NW|P1^RIS|F1^RIS", obr.format("F1", "S1", "CT")),
            *("ORC|NW|P1^RIS|F2^RIS", obr.format("F2", "S2", "MR")),
        )
    )
    told = await last(hospital)
    assert groups(told) == [("NW", "SC", "S2")]
    assert told.get("ORC-3") == "F2^RIS"
