"""A version held against a search says what the store's search says of it."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from interop.access import system_agent
from interop.fhir.matching import apart, meets
from interop.fhir.search import index_rows, parse_query
from interop.store import Store

PATIENTS: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "a", "name": [{"family": "Παπαδόπουλος", "given": ["Νίκος"]}], "gender": "male"},
    {
        "resourceType": "Patient",
        "id": "b",
        "telecom": [{"system": "phone", "value": "99"}],
        "birthDate": "1970-03",
        "identifier": [{"system": "urn:x", "value": "1"}],
    },
    {
        "resourceType": "Patient",
        "id": "c",
        "birthDate": "1970-03-15",
        "identifier": [{"value": "1"}],
        "active": True,
        "address": [{"city": "Λευκωσία"}],
        "telecom": [{"system": "email", "value": "a@x"}],
    },
    {
        "resourceType": "Patient",
        "id": "d",
        "birthDate": "1999",
        "generalPractitioner": [{"reference": "Organization/o"}],
    },
    {
        "resourceType": "Patient",
        "id": "e",
        "generalPractitioner": [{"identifier": {"system": "urn:gp", "value": "7"}}, {"reference": "http://x/gp"}],
    },
]
DATES = ("1970", "1970-03", "1970-03-15", "1999-06", "2030")
SEARCHES = [
    "",
    "_id=a,c",
    "_id=x",
    "family=ΠΑΠΑΔ",
    "name=νικος",
    "gender=male",
    "gender=female,male",
    "gender=http://hl7.org/fhir/administrative-gender|male",
    "identifier=1",
    "identifier=urn:x|1",
    "identifier=|1",
    "identifier=urn:x|",
    "identifier=1&active=true",
    "active=false",
    "general-practitioner=Organization/o",
    "general-practitioner=http://x/gp,Organization/o",
    "phone=99",
    "email=a@x",
    "telecom=99",
    "address=λευ",
    "phone=|99",
    "general-practitioner:Organization=o",
    "general-practitioner=http://x/gp",
    "general-practitioner:identifier=urn:gp|7",
    "_lastUpdated=gt2020",
    "_lastUpdated=lt2020",
    *(f"birthdate={prefix}{date}" for prefix in ("", "ne", "lt", "gt", "le", "ge", "sa", "eb", "ap") for date in DATES),
]


@pytest.mark.parametrize("text", SEARCHES)
async def test_the_same_as_the_store_finds(store: Store, text: str) -> None:
    params = [tuple(part.split("=", 1)) for part in text.split("&") if part]
    query = parse_query("Patient", params, UTC)  # type: ignore[arg-type]

    def found(tx: Any) -> tuple[set[str], set[str]]:
        made = [tx.create(one, id=one["id"]) for one in PATIENTS]
        held = {
            one.id
            for one in made
            if meets(apart(query)[0], one.id, int(one.last_updated.timestamp() * 1e6), index_rows(one.resource(), UTC))
        }
        return {row.id for row in tx.search(query).rows}, held

    assert apart(query)[1] is None
    searched, held = await store.unit(system_agent("test"), found)
    assert held == searched
