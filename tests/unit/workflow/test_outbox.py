"""Who is told what of an order's life, in which message, and over which key it is owed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.hl7.conformance import examine
from interop.hl7.message import Message, parse
from interop.mapping.messages import map_message
from interop.store import Store
from interop.workflow import outbox
from tests.hl7_messages import orm
from tests.hospital import Hospital, a_patient, an_order, images_of
from tests.sites import RIS, a_site

SENDER = system_agent("sender")


def taking(type_: str, **more: Any) -> Any:
    return replace(RIS, name=type_, types=frozenset({type_}), sending_facility="HOSP", **more)


@pytest.mark.parametrize("type_", ["ORM^O01", "OMG^O19", "OMI^O23"])
async def test_each_step_of_an_order_is_told_as_the_receiver_takes_it(store: Store, type_: str) -> None:
    hospital = Hospital(store, a_site(taking(type_)))
    order = (await hospital.post(an_order(await hospital.patient()))).resource()
    order = (await hospital.put({**order, "occurrenceDateTime": "2026-11-22T08:00:00+02:00"})).resource()
    order = (await hospital.put({**order, "status": "on-hold"})).resource()
    order = (await hospital.put({**order, "status": "active"})).resource()
    row = await hospital.row(order["id"])
    await hospital.register(images_of(row, 1, quiet=True))
    order = await hospital.get("ServiceRequest", order["id"])
    await hospital.put({**order, "status": "completed"})
    other = (await hospital.post(an_order(order["subject"]["reference"], "P2"))).resource()
    await hospital.put({**other, "status": "revoked"})
    told = [parse(each.raw) for each in await hospital.outgoing()]
    assert {one.type for one in told} == {type_}
    assert {each.type for each in await hospital.outgoing()} == {type_}
    assert [(one.get("ORC-1"), one.get("ORC-5")) for one in told] == [
        ("NW", "SC"),
        ("XO", "SC"),
        ("HD", "HD"),
        ("RL", "SC"),
        ("SC", "SC"),
        ("SC", "CM"),
        ("NW", "SC"),
        ("CA", "CA"),
    ]
    for one in told:
        assert [found for found in examine(one).found if found.severity == "error"] == []
        assert numbers(one, hospital) == numbers_of(await hospital.get("ServiceRequest", named(one, order, other)))


def named(message: Message, order: dict[str, Any], other: dict[str, Any]) -> str:
    return str((order if message.get("ORC-2.1") == "P1" else other)["id"])


def numbers(message: Message, hospital: Hospital) -> dict[str, str]:
    """The numbers that our own mapping reads in it."""
    (told,) = map_message(message, hospital.site.tables, zone=hospital.site.zone, facility="IMG").orders
    return numbers_of(told.service_request)


def numbers_of(order: dict[str, Any]) -> dict[str, str]:
    return {one.get("system", ""): one["value"] for one in order["identifier"]}


async def test_an_imaging_order_names_station_only_where_there_is_one(store: Store) -> None:
    hospital = Hospital(store, a_site(taking("OMI^O23")))
    subject = await hospital.patient()
    await hospital.post(an_order(subject))  # of two CTs
    dcm = "http://dicom.nema.org/resources/ontology/DCM"
    await hospital.post(an_order(subject, "P2", orderDetail=[{"coding": [{"system": dcm, "code": "MR"}]}]))
    told = [parse(each.raw) for each in await hospital.outgoing()]
    assert [(one.get("IPC-5.1"), one.get("IPC-9")) for one in told] == [("CT", ""), ("MR", "MR1")]


async def test_the_peer_that_an_order_came_from_is_not_told_of_it(store: Store) -> None:
    origin = replace(taking("OMI^O23"), application="RIS", facility="HOSP")
    hospital = Hospital(store, a_site(origin, replace(taking("OMG^O19"), application="OTHER")))
    await hospital.send(orm())
    assert [each.peer for each in await hospital.outgoing()] == ["OMG^O19"]


async def test_a_merge_that_was_refused_is_sent_again_by_hand(store: Store) -> None:
    hospital = Hospital(store, a_site(taking("ADT^A40")))
    prior = (await hospital.post(a_patient("100"))).resource()
    stays = await hospital.patient("200")
    await hospital.put({**prior, "link": [{"other": {"reference": stays}, "type": "replaced-by"}]})
    (job,) = await store.claim(["send"], 9, 60)
    assert job.key == f"ADT^A40:{stays.partition('/')[2]}"
    await store.bury(job, "AR")
    await store.unit(SENDER, lambda tx: tx.move_message(job.payload["message"], "dead", "queued"))
    (row,) = await hospital.outgoing()
    assert row.touched == (stays,)
    await store.unit(SENDER, lambda tx: outbox.resend(tx, row))
    (again,) = await store.claim(["send"], 9, 60)
    assert again.payload == job.payload
