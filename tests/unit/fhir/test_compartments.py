"""Searches within the compartment of a patient: https://hl7.org/fhir/R4/compartmentdefinition-patient.html"""

from __future__ import annotations

from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.errors import NotFoundError
from interop.fhir.compartments import compartment_parameters, within_compartment
from interop.fhir.query import Clause, Query, ReferenceValue
from interop.store import Store, Tx

AGENT = system_agent("test")
NOBODYS: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "a"},
    {"resourceType": "Patient", "id": "b", "link": [{"other": {"reference": "Patient/a"}, "type": "seealso"}]},
    {"resourceType": "Patient", "id": "c", "active": False},
    {"resourceType": "Observation", "id": "about", "subject": {"reference": "Patient/a"}},
    {"resourceType": "Observation", "id": "by", "performer": [{"reference": "Patient/a"}]},
    {"resourceType": "Observation", "id": "other", "subject": {"reference": "Patient/b"}},
    {"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/a"}},
]


def test_one_way_into_a_compartment_is_one_clause() -> None:
    held = within_compartment(Query("ImagingStudy"), "Patient", "x")
    assert held.clauses == (Clause("patient", "reference", (ReferenceValue("Patient", "x"),)),)
    assert compartment_parameters("Patient", "ServiceRequest") == ("subject", "performer")


@pytest.mark.parametrize("type", ["Organization", "Location", "Binary", "Slot"])
def test_what_is_in_no_compartment(type: str) -> None:
    with pytest.raises(NotFoundError):
        within_compartment(Query(type), "Patient", "x")


async def test_all_ways_into_a_compartment(store: Store) -> None:
    def fill(tx: Tx) -> None:
        for resource in NOBODYS:
            tx.create(resource, id=resource["id"])

    await store.unit(AGENT, fill)
    for type, expected in (("Observation", ["about", "by"]), ("Patient", ["a", "b"]), ("Encounter", ["e"])):
        query = within_compartment(Query(type), "Patient", "a")
        page = await store.view(lambda tx, q=query: tx.search(q))
        assert [each.id for each in page.rows] == expected


async def test_a_merged_patient_leads_to_the_survivor(store: Store) -> None:
    def fill(tx: Tx) -> None:
        for resource in NOBODYS:
            tx.create(resource, id=resource["id"])
        link = [{"other": {"reference": "Patient/a"}, "type": "replaced-by"}]
        tx.update({"resourceType": "Patient", "id": "c", "active": False, "link": link})

    await store.unit(AGENT, fill)
    query = within_compartment(Query("Observation"), "Patient", "c")
    page = await store.view(lambda tx: tx.search(query))
    assert [each.id for each in page.rows] == ["about", "by"]
