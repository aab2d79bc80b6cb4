"""On PostgreSQL a write is two round trips: all that it asks, and all that it does with the commit."""

from __future__ import annotations

from typing import Any

import pytest

from interop.store import Stored, Tx
from interop.workflow import resources
from tests.hospital import EMR, Hospital
from tests.round_trips import recorded

ORDER = {
    "resourceType": "ServiceRequest",
    "status": "active",
    "intent": "order",
    "identifier": [
        {
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]},
            "system": "urn:emr",
            "value": "77",
        }
    ],
    "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "363679005"}]}],
}


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    return recorded(monkeypatch)


async def written(hospital: Hospital, resource: dict[str, Any]) -> Stored:
    """What the FHIR door does, from the reading of what the resource refers to on."""

    def work(tx: Tx) -> Stored:
        id = resource.get("id")
        resources.foresee(tx, hospital.site, resource, id)
        for type_, other in [("Patient", str(resource.get("subject", {}).get("reference", ""))[8:]), (None, None)]:
            if type_ and other:
                tx.get(type_, other)
        if id is None:
            return resources.create(tx, hospital.site, resource)
        return resources.update(tx, hospital.site, resource)

    return await hospital.store.unit(EMR, work)


def patient(family: str, **more: Any) -> dict[str, Any]:
    number = {"system": "urn:mrn", "value": "1"}
    return {"resourceType": "Patient", "identifier": [number], "name": [{"family": family}], **more}


async def test_each_write_of_a_door_is_two_round_trips(hospital: Hospital, exchanges: list[list[str]]) -> None:
    first = await written(hospital, patient("A"))
    order = {**ORDER, "subject": {"reference": first.reference}}
    await written(hospital, order)  # takes a block of numbers
    counts = []
    for one in (patient("B", id=first.id), {**order, "identifier": [{**ORDER["identifier"][0], "value": "78"}]}):
        exchanges.clear()
        stored = await written(hospital, one)
        counts.append((stored.type, stored.version, len(exchanges)))
    assert counts == [("Patient", 2, 2), ("ServiceRequest", 1, 2)]
