"""Search over HTTP: https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from interop.store import Store
from tests.fhir_door import BASE, PlainSite, audited, client, order, patient


def found(response: httpx.Response) -> set[str]:
    assert response.status_code == 200, response.text
    bundle = response.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    for entry in bundle.get("entry", []):
        resource = entry["resource"]
        assert entry["fullUrl"] == f"{BASE}/{resource['resourceType']}/{resource['id']}"
        assert entry["search"] == {"mode": "match"}
    return {entry["resource"]["id"] for entry in bundle.get("entry", [])}


def link(response: httpx.Response, relation: str) -> str | None:
    return next((each["url"] for each in response.json()["link"] if each["relation"] == relation), None)


async def put(http: httpx.AsyncClient, resource: dict[str, Any]) -> None:
    made = await http.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
    assert made.status_code == 201, made.text


PEOPLE = [
    patient(
        "1", id="nikos", name=[{"family": "Παπαδόπουλος", "given": ["Νίκος"]}], gender="male", birthDate="1970-05-01"
    ),
    patient("2", id="eve", name=[{"family": "Évora", "given": ["Eve", "Ann"]}], gender="female", birthDate="1980"),
    {
        "resourceType": "Patient",
        "id": "bare",
        "identifier": [{"value": "1"}],
        "telecom": [{"system": "phone", "value": "99123456"}, {"system": "email", "value": "a@b.c"}],
    },
]
ORDERS = [
    order("Patient/nikos", id="ct", authoredOn="2026-03-10T23:30:00Z", occurrenceDateTime="2026-03-12"),
    order(
        "Patient/eve",
        id="us",
        status="completed",
        authoredOn="2026-03-11T10:00:00+02:00",
        basedOn=[{"reference": "ServiceRequest/ct"}],
        extension=[{"url": "urn:interop:StructureDefinition:order-step", "valueCode": "scheduled"}],
        requester={"identifier": {"system": "urn:x:staff", "value": "dr1"}},
    ),
    order("https://other.example/fhir/Patient/9", id="far", occurrencePeriod={"start": "2026-04-01"}),
]

VECTORS = [
    ("Patient?_id=eve", {"eve"}),
    ("Patient?_id=eve,nikos,none", {"eve", "nikos"}),
    ("Patient?identifier=1", {"nikos", "bare"}),
    ("Patient?identifier=urn:x:mrn|1", {"nikos"}),
    ("Patient?identifier=|1", {"bare"}),
    ("Patient?identifier=urn:x:mrn|", {"nikos", "eve"}),
    ("Patient?identifier=urn:x:mrn|1,urn:x:mrn|2", {"nikos", "eve"}),
    ("Patient?identifier=1&gender=male", {"nikos"}),
    ("Patient?family=παπαδοπουλοσ", {"nikos"}),
    ("Patient?family=ΠΑΠΑΔ", {"nikos"}),
    ("Patient?name=νικος", {"nikos"}),
    ("Patient?name=evo", {"eve"}),
    ("Patient?given=ann", {"eve"}),
    ("Patient?birthdate=1970-05-01", {"nikos"}),
    ("Patient?birthdate=1970", {"nikos"}),
    ("Patient?birthdate=1980-05", set()),
    ("Patient?birthdate=ge1980", {"eve"}),
    ("Patient?birthdate=lt1980", {"nikos"}),
    ("Patient?phone=99123456", {"bare"}),
    ("Patient?phone=a@b.c", set()),
    ("Patient?email=a@b.c", {"bare"}),
    ("ServiceRequest?patient=nikos", {"ct"}),
    ("ServiceRequest?patient=Patient/nikos", {"ct"}),
    (f"ServiceRequest?patient={BASE}/Patient/nikos", {"ct"}),
    ("ServiceRequest?subject=Patient/nikos", {"ct"}),
    ("ServiceRequest?subject=nikos", {"ct"}),
    ("ServiceRequest?subject:Patient=nikos", {"ct"}),
    ("ServiceRequest?subject=https://other.example/fhir/Patient/9", {"far"}),
    ("ServiceRequest?patient=9", set()),
    ("ServiceRequest?status=active", {"ct", "far"}),
    ("ServiceRequest?status=http://hl7.org/fhir/request-status|completed", {"us"}),
    ("ServiceRequest?status=active,completed&patient=eve", {"us"}),
    ("ServiceRequest?based-on=ServiceRequest/ct", {"us"}),
    ("ServiceRequest?step=scheduled", {"us"}),
    ("ServiceRequest?requester:identifier=urn:x:staff|dr1", {"us"}),
    ("ServiceRequest?authored=2026-03-10", {"ct"}),
    ("ServiceRequest?authored=2026-03-11", {"us"}),
    ("ServiceRequest?authored=2026-03-11T08:00:00Z", {"us"}),
    ("ServiceRequest?authored=2026-03-11T10:00:00%2B02:00", {"us"}),
    ("ServiceRequest?authored=2026-03-11T10:00:00+02:00", {"us"}),
    ("ServiceRequest?authored=ge2026-03-10&authored=lt2026-03-11", {"ct"}),
    ("ServiceRequest?occurrence=2026-03-12", {"ct"}),
    ("ServiceRequest?occurrence=gt2026-03-12", {"far"}),
    ("ServiceRequest?occurrence=sa2026-03-12", {"far"}),
    ("ServiceRequest?occurrence=2026-04-01", set()),
    ("ServiceRequest?_lastUpdated=gt2020", {"ct", "us", "far"}),
    ("ServiceRequest?_lastUpdated=lt2020", set()),
]


async def test_every_vector(store: Store) -> None:
    async with client(store) as http:
        for resource in PEOPLE + ORDERS:
            await put(http, resource)
        for query, expected in VECTORS:
            assert found(await http.get(query)) == expected, query
            type, _, form = query.partition("?")
            posted = await http.post(
                f"{type}/_search", content=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
            )
            assert found(posted) == expected, query


async def test_days_are_the_sites_days(store: Store) -> None:
    async with client(store, site=PlainSite(ZoneInfo("Asia/Nicosia"))) as http:
        await put(http, PEOPLE[0])
        await put(http, ORDERS[0])
        assert found(await http.get("ServiceRequest?authored=2026-03-11")) == {"ct"}
        assert found(await http.get("ServiceRequest?authored=2026-03-10")) == set()


async def test_a_write_is_found_at_once_and_no_longer_after_it_changed(store: Store) -> None:
    async with client(store) as http:
        await put(http, PEOPLE[0])
        assert found(await http.get("Patient?gender=male")) == {"nikos"}
        await http.put("Patient/nikos", json={**PEOPLE[0], "gender": "other"})
        assert found(await http.get("Patient?gender=male")) == set()
        await http.delete("Patient/nikos")
        assert found(await http.get("Patient?gender=other")) == set()


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("Patient?identifer=1", "identifier"),
        ("Patient?name:above=x", "no modifier"),
        ("Patient?_sort=nothing", "_lastUpdated"),
        ("Patient?birthdate=1.1.1970", "birthdate"),
        ("Patient?birthdate=xx1970", "eq, ne"),
        ("Patient?identifier=", "identifier"),
        ("Patient?identifier=|", "identifier"),
        ("Patient?_count=many", "_count"),
        ("Patient?_count=1&_count=2", "twice"),
        ("Patient?_cursor=nonsense", ""),
        ("Patient?_id=%00", "U+0000"),
        ("ServiceRequest?patient=not an id", "patient"),
        ("ServiceRequest?subject:Practitioner=1", "modifier"),
        ("Patient?_summary=all", "_summary"),
    ],
)
async def test_what_is_not_understood_is_refused_and_never_ignored(store: Store, query: str, named: str) -> None:
    async with client(store) as http:
        refused = await http.get(query)
        assert refused.status_code == 400, refused.text
        assert named in refused.json()["issue"][0]["details"]["text"]


async def test_pages_follow_their_links_both_ways(store: Store) -> None:
    async with client(store) as http:
        for n in range(7):
            await put(http, patient("same", id=f"p{n}"))
        first = await http.get("Patient?identifier=same&_count=3&_sort=_lastUpdated")
        assert link(first, "self") == f"{BASE}/Patient?identifier=same&_count=3&_sort=_lastUpdated"
        assert link(first, "previous") is None
        assert "total" not in first.json()
        seen = []
        page = first
        while True:
            seen += [entry["resource"]["id"] for entry in page.json()["entry"]]
            following = link(page, "next")
            if following is None:
                break
            page = await http.get(following)
        assert seen == [f"p{n}" for n in range(7)]
        back = link(page, "previous")
        assert back is not None
        assert found(await http.get(back)) == {"p3", "p4", "p5"}
        newest = await http.get("Patient?_sort=-_lastUpdated&_count=2")
        assert [entry["resource"]["id"] for entry in newest.json()["entry"]] == ["p6", "p5"]


async def test_total_only_if_asked(store: Store) -> None:
    async with client(store) as http:
        for n in range(3):
            await put(http, patient("same", id=f"p{n}"))
        assert (await http.get("Patient?_count=1&_total=accurate")).json()["total"] == 3
        for counting in ("_summary=count", "_count=0"):
            bundle = (await http.get(f"Patient?{counting}")).json()
            assert (bundle["total"], "entry" in bundle) == (3, False)


async def test_a_count_beyond_the_limit_is_cut_and_the_self_link_says_so(store: Store) -> None:
    async with client(store) as http:
        assert link(await http.get("Patient?_count=5000"), "self") == f"{BASE}/Patient?_count=1000"


async def test_a_search_leaves_one_event_for_each_patient(store: Store) -> None:
    async with client(store) as http:
        for resource in PEOPLE + ORDERS:
            await put(http, resource)
        before = len(await audited(store))
        await http.get("ServiceRequest")
        events = (await audited(store))[before:]
        assert sorted(events, key=str) == [
            ("search-type", "0", "Patient/eve", None),
            ("search-type", "0", "Patient/nikos", None),
        ]


async def test_audit_events_are_searched_like_anything_else(store: Store) -> None:
    async with client(store) as http:
        await put(http, PEOPLE[0])
        await http.get("Patient/nikos")
        await http.get("Patient/nobody")
        for query, expected in [
            ("patient=nikos", 2),
            ("patient=Patient/nikos&subtype=read", 1),
            ("entity=Patient/nikos", 2),
            ("agent=emr", 3),
            ("agent=somebody", 0),
            ("outcome=4", 1),
            ("action=R", 2),
            ("date=ge2020&patient=nikos", 2),
            ("date=lt2020", 0),
        ]:
            kinds = "" if "subtype" in query else "&subtype=read,update,create,delete"
            bundle = (await http.get(f"AuditEvent?{query}{kinds}")).json()
            assert len(bundle.get("entry", [])) == expected, query
        one = (await http.get("AuditEvent?patient=nikos&_count=1")).json()["entry"][0]["resource"]
        assert (await http.get(f"AuditEvent/{one['id']}")).json() == one
