"""Search as a whole over HTTP, on both engines: every kind of parameter, modifier, chain, include and sort of R4."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from interop.store import Store
from interop.store.including import INCLUDED
from tests.fhir_door import BASE, agent, client

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
MRN = {
    "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}], "text": "Number"}
}


def coded(code: str, display: str = "", system: str = LOINC) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def quantity(value: float, code: str = "mm[Hg]", **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": code, "system": UCUM, "code": code, **more}


def observation(id: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": coded("29463-7", "Body weight"),
        "subject": {"reference": "Patient/ann"},
        **more,
    }


RESOURCES: list[dict[str, Any]] = [
    {
        "resourceType": "Organization",
        "id": "north",
        "name": "North Clinic",
        "alias": ["The Nord"],
        "address": [{"city": "Nicosia", "postalCode": "1010"}],
    },
    {"resourceType": "Organization", "id": "ward", "name": "Ward 5", "partOf": {"reference": "Organization/north"}},
    {"resourceType": "Practitioner", "id": "dr", "name": [{"family": "Georgiou"}]},
    {
        "resourceType": "Patient",
        "id": "ann",
        "meta": {"source": "http://emr.example/a", "profile": ["http://example.org/p/x|1"]},
        "identifier": [{**MRN, "system": "urn:mrn", "value": "77"}, {"system": "urn:other", "value": "78"}],
        "name": [{"family": "van Dijk", "given": ["Ann", "José"]}],
        "telecom": [{"system": "phone", "value": "99-1"}, {"system": "email", "value": "ann@x"}],
        "gender": "female",
        "birthDate": "1980-02-29",
        "deceasedDateTime": "2026-01-02T10:00:00Z",
        "address": [{"line": ["1 High Street"], "city": "Limassol", "country": "CY", "use": "home"}],
        "generalPractitioner": [{"reference": "Practitioner/dr"}],
        "managingOrganization": {"reference": "Organization/ward"},
        "communication": [{"language": {"text": "Greek"}}],
    },
    {
        "resourceType": "Patient",
        "id": "bob",
        "identifier": [{"system": "urn:other", "value": "77"}],
        "name": [{"family": "Dijk"}, {"text": "Bob the Jose"}],
        "birthDate": "1980-03",
        "deceasedBoolean": False,
        "telecom": [{"system": "phone", "value": "ann@x"}],
        "managingOrganization": {"reference": "Organization/north"},
    },
    {"resourceType": "Patient", "id": "cyd", "birthDate": "1979"},
    observation("w70", valueQuantity=quantity(70, "kg"), effectiveDateTime="2026-02-01"),
    observation(
        "w70.4", valueQuantity=quantity(70.4, "kg"), effectivePeriod={"start": "2026-02-01", "end": "2026-02-03"}
    ),
    observation("under", valueQuantity=quantity(5, "kg", comparator="<"), performer=[{"reference": "Practitioner/dr"}]),
    observation(
        "bp",
        code=coded("85354-9", "Blood pressure"),
        subject={"reference": "Patient/bob"},
        component=[
            {"code": coded("8480-6"), "valueQuantity": quantity(120)},
            {"code": coded("8462-4"), "valueQuantity": quantity(80)},
            {"code": coded("9999-9"), "valueCodeableConcept": coded("LA1", "left", "urn:side")},
        ],
    ),
    observation(
        "text", code={"text": "remark"}, valueString="Nothing Unusual", derivedFrom=[{"reference": "Observation/bp"}]
    ),
    observation(
        "wave",
        code=coded("131328"),
        valueSampledData={
            "origin": {"value": 10, "unit": "mV"},
            "period": 1,
            "factor": 2,
            "dimensions": 1,
            "data": "1 E 5",
        },
    ),
    {
        "resourceType": "ServiceRequest",
        "id": "ct",
        "status": "active",
        "intent": "order",
        "code": coded("71260", "CT chest with contrast", "urn:c4"),
        "subject": {"reference": "Patient/ann"},
        "requester": {"display": "somebody"},
        "instantiatesCanonical": ["http://example.org/plan|2"],
        "instantiatesUri": ["http://example.org/protocols/chest/ct"],
    },
    {
        "resourceType": "ServiceRequest",
        "id": "mr",
        "status": "completed",
        "intent": "order",
        "code": coded("70551", "MR brain", "urn:c4"),
        "subject": {"reference": "Patient/bob"},
        "requester": {"reference": "Practitioner/dr"},
        "basedOn": [{"reference": "ServiceRequest/ct"}],
        "instantiatesUri": ["http://example.org/protocols-of-old"],
        "extension": [{"url": "urn:interop:StructureDefinition:order-step", "valueCode": "reported"}],
    },
    {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "code": {"text": "CT"},
        "subject": {"reference": "Patient/ann"},
        "basedOn": [{"reference": "ServiceRequest/ct"}],
        "result": [{"reference": "Observation/text"}],
    },
    {
        "resourceType": "DocumentReference",
        "id": "new",
        "status": "current",
        "relatesTo": [
            {"code": "replaces", "target": {"reference": "DocumentReference/old"}},
            {"code": "appends", "target": {"reference": "DocumentReference/other"}},
        ],
        "content": [{"attachment": {"contentType": "application/pdf"}}],
    },
    {"resourceType": "Location", "id": "nic", "name": "Nicosia", "position": {"latitude": 35.17, "longitude": 33.36}},
    {"resourceType": "Location", "id": "lim", "name": "Limassol", "position": {"latitude": 34.68, "longitude": 33.04}},
    {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "AMB"},
        "length": quantity(30, "min"),
    },
]

VECTORS: list[tuple[str, set[str]]] = [
    # filters (R4 search_filter.html)
    ("Patient?_filter=family co dijk", {"ann", "bob"}),
    ("Patient?_filter=given eq ann and birthdate ge 1980-01-01", {"ann"}),
    ('Patient?_filter=family eq "VAN DIJK" or given sw zzz', {"ann"}),
    ("Patient?_filter=not (family co dijk) and gender pr true", set()),
    ('Patient?_filter=organization.name sw north or organization.name eq "ward 5"', {"ann", "bob"}),
    ("Patient?_filter=deceased eq true", {"ann"}),
    ("Patient?_filter=identifier eq urn:mrn|77", {"ann"}),
    ("Observation?_filter=value-quantity gt 70 and code eq 29463-7", {"w70.4"}),
    ("Observation?_filter=subject re Patient/nobody", set()),
    # strings
    ("Patient?family=van", {"ann"}),
    ("Patient?name=dijk", {"bob"}),
    ("Patient?name:contains=DIJK", {"ann", "bob"}),
    ("Patient?family:exact=van Dijk", {"ann"}),
    ("Patient?family:exact=van dijk", set()),
    ("Patient?family:exact=van", set()),
    ("Patient?given=jose", {"ann"}),
    ("Patient?given:exact=José", {"ann"}),
    ("Patient?given:exact=Jose", set()),
    ("Patient?name:contains=jose", {"ann", "bob"}),
    ("Patient?name:contains=%25", set()),
    ("Patient?address=lim", {"ann"}),
    ("Patient?address=1 high", {"ann"}),
    ("Patient?address-city=lim", {"ann"}),
    ("Patient?address-city=1 high", set()),
    ("Organization?name=the", {"north"}),
    ("Organization?address=1010", {"north"}),
    ("Observation?value-string=nothing", {"text"}),
    # tokens
    ("Patient?identifier=77", {"ann", "bob"}),
    ("Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|77", {"ann"}),
    ("Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|78", set()),
    ("Patient?identifier:text=num", {"ann"}),
    ("Patient?identifier:not=urn:mrn|77", {"bob", "cyd"}),
    ("Patient?gender:not=female", {"bob", "cyd"}),
    ("Patient?gender:not=male,other", {"ann", "bob", "cyd"}),
    ("Patient?phone=ann@x", {"bob"}),
    ("Patient?email=ann@x", {"ann"}),
    ("Patient?telecom=ann@x", {"ann", "bob"}),
    ("Patient?telecom=phone|ann@x", {"bob"}),
    ("Patient?email:missing=true", {"bob", "cyd"}),
    ("Patient?deceased=true", {"ann"}),
    ("Patient?deceased=false", {"bob", "cyd"}),
    ("Patient?deceased:not=true", {"bob", "cyd"}),
    ("Patient?deceased=true,false", {"ann", "bob", "cyd"}),
    ("Patient?language:missing=false", {"ann"}),
    ("Patient?language:text=gree", {"ann"}),
    ("Patient?address-use=home", {"ann"}),
    ("ServiceRequest?code:text=ct chest", {"ct"}),
    ("ServiceRequest?code:text=chest", set()),
    ("ServiceRequest?code:not=urn:c4|71260", {"mr"}),
    ("ServiceRequest?status=http://hl7.org/fhir/request-status|active", {"ct"}),
    ("ServiceRequest?step:in=urn:interop:ValueSet:order-step", {"mr"}),
    ("ServiceRequest?step:not-in=urn:interop:ValueSet:order-step", {"ct"}),
    ("Observation?code=85354-9", {"bp"}),
    ("Observation?combo-code=8480-6", {"bp"}),
    ("Observation?component-code=85354-9", set()),
    ("Observation?combo-code=85354-9,131328", {"bp", "wave"}),
    ("Observation?component-value-concept=urn:side|LA1", {"bp"}),
    ("Observation?combo-value-concept:text=left", {"bp"}),
    # uris
    ("Patient?_source=http://emr.example/a", {"ann"}),
    ("Patient?_source:below=http://emr.example", {"ann"}),
    ("Patient?_source:above=http://emr.example/a/b", {"ann"}),
    ("Patient?_profile=http://example.org/p/x|1", {"ann"}),
    ("Patient?_profile:below=http://example.org/p", {"ann"}),
    ("ServiceRequest?instantiates-uri:below=http://example.org/protocols", {"ct"}),
    ("ServiceRequest?instantiates-canonical=http://example.org/plan", {"ct"}),
    ("ServiceRequest?instantiates-canonical=http://example.org/plan|2", {"ct"}),
    # missing
    ("Patient?gender:missing=true", {"bob", "cyd"}),
    ("Patient?gender:missing=false", {"ann"}),
    ("Patient?name:missing=true", {"cyd"}),
    ("Patient?address:missing=false", {"ann"}),
    ("ServiceRequest?requester:missing=true", set()),
    ("ServiceRequest?encounter:missing=true", {"ct", "mr"}),
    ("ServiceRequest?patient:missing=false", {"ct", "mr"}),
    ("Observation?code:missing=true", set()),
    ("Observation?value-quantity:missing=false", {"w70", "w70.4", "under", "wave"}),
    ("Observation?combo-value-quantity:missing=true", {"text"}),
    # numbers
    ("Observation?value-quantity=70", {"w70", "w70.4"}),
    ("Observation?value-quantity=70.0", {"w70"}),
    ("Observation?value-quantity=7e1", {"w70", "w70.4"}),
    ("Observation?value-quantity=70|http://unitsofmeasure.org|kg", {"w70", "w70.4"}),
    ("Observation?value-quantity=70||kg", {"w70", "w70.4"}),
    ("Observation?value-quantity=70||g", set()),
    ("Observation?value-quantity=gt70", {"w70.4"}),
    ("Observation?value-quantity=ge70", {"w70", "w70.4"}),
    ("Observation?value-quantity=lt5", {"under"}),
    ("Observation?value-quantity=ge5", {"w70", "w70.4", "wave"}),
    ("Observation?value-quantity=ne70", {"under", "wave"}),
    ("Observation?value-quantity=ap75", {"w70", "w70.4"}),
    ("Observation?value-quantity=ap12", {"wave"}),
    ("Observation?value-quantity=ge20", {"w70", "w70.4", "wave"}),
    ("Observation?combo-value-quantity=120", {"bp"}),
    ("Encounter?length=30||min", {"e"}),
    ("Encounter?length=gt30", set()),
    # dates
    ("Patient?birthdate=1980-02-29", {"ann"}),
    ("Patient?birthdate=1980", {"ann", "bob"}),
    ("Patient?birthdate=lt1980-03", {"ann", "cyd"}),
    ("Patient?birthdate=le1980-03", {"ann", "bob", "cyd"}),
    ("Patient?birthdate=sa1980-02-29", {"bob"}),
    ("Patient?birthdate=eb1980", {"cyd"}),
    ("Patient?birthdate=ne1980", {"cyd"}),
    ("Patient?death-date=2026-01-02", {"ann"}),
    ("Observation?date=2026-02-01", {"w70"}),
    ("Observation?date=ge2026-02-02", {"w70.4"}),
    ("Observation?date=2026-02", {"w70", "w70.4"}),
    # composites
    ("Observation?component-code-value-quantity=8480-6$120", {"bp"}),
    ("Observation?component-code-value-quantity=8480-6$gt100", {"bp"}),
    ("Observation?component-code-value-quantity=8480-6$80", set()),
    ("Observation?component-code-value-quantity=http://loinc.org|8462-4$le80|http://unitsofmeasure.org|mm[Hg]", {"bp"}),
    ("Observation?combo-code-value-quantity=29463-7$70,8480-6$120", {"w70", "w70.4", "bp"}),
    ("Observation?code-value-quantity=29463-7$lt10", {"under"}),
    ("Observation?component-code-value-concept=9999-9$urn:side|LA1", {"bp"}),
    ("Observation?component-code-value-concept=8480-6$LA1", set()),
    ("DocumentReference?relationship=DocumentReference/old$replaces", {"new"}),
    ("DocumentReference?relationship=DocumentReference/old$appends", set()),
    # references and chains
    ("Patient?general-practitioner=Practitioner/dr", {"ann"}),
    ("ServiceRequest?patient.family=dijk", {"mr"}),
    ("ServiceRequest?subject:Patient.name=ann", {"ct"}),
    ("ServiceRequest?patient.identifier=urn:mrn|77", {"ct"}),
    ("ServiceRequest?patient.organization.name=ward", {"ct"}),
    ("ServiceRequest?patient.organization.partof.name=north", {"ct"}),
    ("ServiceRequest?patient.organization.partof.name=ward", set()),
    ("ServiceRequest?patient.gender:missing=true", {"mr"}),
    ("ServiceRequest?patient._id=ann", {"ct"}),
    ("ServiceRequest?based-on:ServiceRequest.status=active", {"mr"}),
    ("ServiceRequest?requester.name=georgiou", {"mr"}),
    ("Observation?patient.birthdate=lt1980-03-01&status=final", {"w70", "w70.4", "under", "text", "wave"}),
    ("Observation?subject:Patient.name:contains=dijk&code=85354-9", {"bp"}),
    # reverse chains
    ("Patient?_has:ServiceRequest:patient:status=active", {"ann"}),
    ("Patient?_has:Observation:patient:code=85354-9", {"bob"}),
    ("Patient?_has:Observation:patient:code:text=body", {"ann"}),
    ("Patient?_has:ServiceRequest:subject:_has:DiagnosticReport:based-on:status=final", {"ann"}),
    ("Patient?_has:ServiceRequest:subject:based-on.status=active", {"bob"}),
    ("Practitioner?_has:Patient:general-practitioner:_has:Observation:subject:value-quantity=70", {"dr"}),
    ("Organization?_has:Patient:organization:gender=female", {"ward"}),
    ("Patient?_has:Observation:patient:status=final", {"ann", "bob"}),
    ("Patient?_has:Observation:patient:status=amended", set()),
    # near
    ("Location?near=35.17|33.36|10|km", {"nic"}),
    ("Location?near=35.17|33.36|100|km", {"nic", "lim"}),
    ("Location?near=35.17|33.36|50|[mi_us]", {"nic", "lim"}),
    ("Location?near=35.17|33.36|61|km", {"nic"}),
    ("Location?near=35.17|33.36|63|km", {"nic", "lim"}),
]

SORTS: list[tuple[str, list[str]]] = [
    ("Patient?_sort=birthdate", ["cyd", "ann", "bob"]),
    ("Patient?_sort=-birthdate", ["bob", "ann", "cyd"]),
    ("Patient?_sort=family", ["bob", "ann", "cyd"]),
    ("Patient?_sort=-family", ["ann", "bob", "cyd"]),
    ("Patient?_sort=gender,-_id", ["ann", "cyd", "bob"]),
    ("Patient?_sort=-_id", ["cyd", "bob", "ann"]),
    ("Patient?_sort=organization,name", ["bob", "ann", "cyd"]),
    ("Patient?_sort=phone", ["ann", "bob", "cyd"]),
    ("Observation?_sort=-value-quantity&code=29463-7", ["w70.4", "w70", "under"]),
    ("Observation?_sort=value-quantity&code=29463-7", ["under", "w70", "w70.4"]),
    ("Observation?_sort=-combo-value-quantity,_id&status=final", ["bp", "w70.4", "w70", "wave", "under", "text"]),
    ("Observation?_sort=status,-date,code", ["w70", "w70.4", "wave", "under", "bp", "text"]),
]

REFUSED = [
    ("Patient?nothing=1", "identifier"),
    ("Patient?family:above=x", ":exact"),
    ("Patient?gender:text=x", ":not"),
    ("ServiceRequest?code:above=x", "hierarchies"),
    ("ServiceRequest?subject:below=x", "hierarchies"),
    ("ServiceRequest?code:in=http://example.org/vs", "urn:interop:ValueSet:order-step"),
    ("Patient?_text=x", "narrative"),
    ("Patient?_content=x", "full text"),
    ("Patient?_filter=x", "at character 2: a space and an operator"),
    ("Patient?_filter=gender eq x and family above x", "at character 24: one of the operators"),
    ("Observation?_filter=code ss x", "hierarchies of codes are not known here"),
    ("AuditEvent?_filter=_id eq x", "a search of their own"),
    ("Patient?_list=x", "List"),
    ("Patient?phonetic=x", "use name"),
    ("Patient?_source:above=urn:oid:1", "urn"),
    ("Observation?value-quantity=5x", "number"),
    ("Observation?value-quantity=zz5", "eq, ne"),
    ("Observation?value-quantity=5|x", "number|system|code"),
    ("Observation?code-value-quantity=5", "$"),
    ("Observation?focus.name=x", "any type"),
    ("Observation?subject:Medication.code=x", "never refers"),
    ("ServiceRequest?specimen:Patient=x", "modifier"),
    ("Patient?_has:Nothing:patient:code=x", "not served"),
    ("Patient?_has:Observation:encounter:code=x", "never refers to a Patient"),
    ("Patient?gender:missing=maybe", "true or false"),
    ("Patient?_sort=near", "sorted by"),
    ("Observation?_sort=code-value-quantity", "sorted by"),
    ("Location?near=1", "latitude"),
    ("Location?near=95|1|1|km", "within 90"),
    ("Patient?_include=Observation:subject", "_include:iterate"),
    ("Patient?_include=Patient:gender", "organization"),
    ("Patient?_revinclude=Observation:encounter", "never refers to a Patient"),
    ("Patient?_revinclude=AuditEvent:patient", "AuditEvent"),
    ("Patient?_include:above=Patient:link", "iterate"),
    ("Patient?_count:x=1", "modifier"),
    ("ServiceRequest?based-on.based-on.based-on.based-on.based-on.status=active", "at most 4"),
]


async def filled(http: httpx.AsyncClient) -> None:
    for resource in sorted(RESOURCES, key=lambda each: each["resourceType"] in ("ServiceRequest", "DiagnosticReport")):
        there = await http.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert there.status_code == 201, there.text


def ids(response: httpx.Response, mode: str = "match") -> list[str]:
    assert response.status_code == 200, response.text
    return [each["resource"]["id"] for each in response.json().get("entry", []) if each["search"]["mode"] == mode]


@pytest.fixture
async def http(store: Store) -> Any:
    def fill(tx: Any) -> None:
        for resource in RESOURCES:
            tx.create(resource, id=resource["id"])

    await store.unit(agent(), fill)
    async with client(store) as opened:
        yield opened


async def test_every_vector(http: httpx.AsyncClient) -> None:
    wrong = {}
    for query, expected in VECTORS:
        answer = await http.get(query)
        found = set(ids(answer)) if answer.status_code == 200 else answer.text
        if found != expected:
            wrong[query] = found
    assert wrong == {}


async def test_every_sort_and_its_pages(http: httpx.AsyncClient) -> None:
    for query, expected in SORTS:
        assert ids(await http.get(query)) == expected, query
        seen: list[str] = []
        url = f"{query}&_count=1"
        while url:
            page = await http.get(url)
            seen += ids(page)
            links = {link["relation"]: link["url"] for link in page.json()["link"]}
            assert links["first"].startswith(f"{BASE}/{query.partition('?')[0]}?_sort=")
            url = links.get("next", "")
        assert seen == expected, query
        back: list[str] = []
        while "previous" in links:
            page = await http.get(links["previous"])
            back = ids(page) + back
            links = {link["relation"]: link["url"] for link in page.json()["link"]}
        assert back == expected[:-1], query


@pytest.mark.parametrize(("query", "named"), REFUSED)
async def test_what_is_refused_says_what_is_offered(http: httpx.AsyncClient, query: str, named: str) -> None:
    answer = await http.get(query)
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["issue"][0]["details"]["text"]


INCLUDES = [
    ("ServiceRequest?_id=ct&_include=ServiceRequest:subject", {"ann"}),
    ("ServiceRequest?_id=ct&_include=ServiceRequest:patient", {"ann"}),
    ("ServiceRequest?_id=mr&_include=ServiceRequest:requester:Practitioner", {"dr"}),
    ("ServiceRequest?_id=mr&_include=ServiceRequest:requester:Organization", set()),
    ("ServiceRequest?_id=mr&_include=*", {"bob", "dr", "ct"}),
    ("ServiceRequest?_id=mr&_include=ServiceRequest:*", {"bob", "dr", "ct"}),
    ("ServiceRequest?_id=ct&_include=ServiceRequest:subject&_include:iterate=Patient:organization", {"ann", "ward"}),
    (
        "ServiceRequest?_id=ct&_include=ServiceRequest:subject&_include:iterate=Patient:organization"
        "&_include:iterate=Organization:partof",
        {"ann", "ward", "north"},
    ),
    ("Patient?_id=ann&_revinclude=ServiceRequest:patient", {"ct"}),
    ("Patient?_id=ann&_revinclude=ServiceRequest:patient&_revinclude:iterate=DiagnosticReport:based-on", {"ct", "r"}),
    ("Patient?_id=bob&_revinclude=*", {"bp", "mr"}),
    (
        "ServiceRequest?_id=ct&_revinclude=DiagnosticReport:based-on&_include:iterate=DiagnosticReport:result",
        {"r", "text"},
    ),
    ("ServiceRequest?_include=ServiceRequest:based-on", set()),
    ("Patient?gender=female&_include=Patient:link&_count=1", set()),
]


@pytest.mark.parametrize(("query", "expected"), INCLUDES)
async def test_includes(http: httpx.AsyncClient, query: str, expected: set[str]) -> None:
    answer = await http.get(query)
    brought = ids(answer, "include")
    assert set(brought) == expected
    assert len(brought) == len(expected)


async def test_a_count_is_of_matches_only(http: httpx.AsyncClient) -> None:
    answer = await http.get("Observation?_count=2&_include=Observation:subject&_sort=_id")
    assert ids(answer) == ["bp", "text"]
    assert set(ids(answer, "include")) == {"ann", "bob"}


async def test_lenient_says_what_it_left_out(http: httpx.AsyncClient) -> None:
    prefer = {"Prefer": "handling=lenient"}
    answer = await http.get("Patient?nothing=1&gender=female&phonetic=x&_include=Patient:gender", headers=prefer)
    assert ids(answer) == ["ann"]
    (entry,) = [each for each in answer.json()["entry"] if each["search"]["mode"] == "outcome"]
    assert [issue["severity"] for issue in entry["resource"]["issue"]] == ["warning"] * 3
    assert answer.json()["link"][0]["url"] == f"{BASE}/Patient?gender=female"
    assert (await http.get("Patient?birthdate=x", headers=prefer)).status_code == 400


async def test_a_patients_token_looks_at_nobody_else_by_chains_or_includes(
    store: Store, http: httpx.AsyncClient
) -> None:
    scopes = ("patient/*.rs",)
    async with client(store, agent(*scopes, patient="ann")) as own:
        assert ids(await own.get("ServiceRequest?patient.family=dijk")) == []
        assert ids(await own.get("ServiceRequest?patient.family=van")) == ["ct"]
        assert ids(await own.get("Patient?_has:Observation:patient:code=85354-9")) == []
        assert ids(await own.get("Organization?_has:Patient:organization:family=dijk")) == []
        assert ids(await own.get("ServiceRequest?_filter=patient.family co dijk or patient.family co x")) == ["ct"]
        assert ids(await own.get("ServiceRequest?_filter=not (patient.family eq nobody)")) == ["ct"]
        assert ids(await own.get("Patient?_filter=_id ne ann or gender pr true")) == ["ann"]
        assert ids(await own.get("Patient?_filter=link.family pr true or link.family pr false")) == []
        answer = await own.get("Organization?_revinclude=Patient:organization")
        assert ids(answer, "include") == ["ann"]
        assert "1 more" in answer.text
    async with client(store, agent("system/Patient.rs")) as narrow:
        assert (await narrow.get("Patient?_has:Observation:patient:code=1")).status_code == 403
        answer = await narrow.get("Patient?_revinclude=ServiceRequest:patient")
        assert ids(answer, "include") == []


async def test_includes_end_somewhere_and_say_so(store: Store) -> None:
    def fill(tx: Any) -> None:
        tx.create({"resourceType": "Patient"}, id="p")
        for number in range(INCLUDED + 5):
            tx.create(observation("", performer=[{"reference": "Patient/p"}]), id=f"o{number}")
        for number in range(15):
            above = {"partOf": {"reference": f"Organization/g{number - 1}"}} if number else {}
            tx.create({"resourceType": "Organization", **above}, id=f"g{number}")

    await store.unit(agent(), fill)
    async with client(store) as http:
        many = await http.get("Patient?_id=p&_revinclude=Observation:performer")
        assert len(ids(many, "include")) == INCLUDED
        deep = await http.get("Organization?_id=g14&_include:iterate=Organization:partof")
        assert ids(deep, "include") == [f"g{number}" for number in range(13, 3, -1)]
        for answer in (many, deep):
            (said,) = [each for each in answer.json()["entry"] if each["search"]["mode"] == "outcome"]
            assert said["resource"]["issue"][0]["code"] == "too-costly"
        round_trip = await http.get("Organization?_id=g0&_revinclude:iterate=Organization:partof&_include:iterate=*")
        assert "g0" not in ids(round_trip, "include")


async def test_a_page_link_of_another_search_is_refused(http: httpx.AsyncClient) -> None:
    page = await http.get("Patient?_count=1&_sort=family")
    following = next(link["url"] for link in page.json()["link"] if link["relation"] == "next")
    cursor = following.rpartition("_cursor=")[2]
    assert (await http.get(f"Patient?_count=1&_sort=-family&_cursor={cursor}")).status_code == 400
    assert (await http.get(f"Patient?_count=1&_sort=family&_cursor={cursor[:-2]}")).status_code == 400
