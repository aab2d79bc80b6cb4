"""XML over HTTP: https://hl7.org/fhir/R4/http.html#mime-type"""

from __future__ import annotations

import httpx
import pytest

from interop.fhir.json import dumps, loads
from interop.fhir.xml_reading import from_xml
from interop.fhir.xml_writing import to_xml
from interop.store import Store
from tests.fhir_door import client, order, patient

XML = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+xml"}
NS = 'xmlns="http://hl7.org/fhir"'


def read(answer: httpx.Response) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/fhir+xml"
    return from_xml(answer.content)


async def test_a_resource_goes_in_and_out(store: Store) -> None:
    document = (
        f'<Observation {NS}><status value="final"/><code><text value="EF"/></code>'
        '<valueQuantity><value value="1.10"/></valueQuantity></Observation>'
    )
    async with client(store) as http:
        made = await http.post("Observation", content=document, headers=XML)
        assert made.status_code == 201, made.text
        assert b'<value value="1.10"/>' in made.content
        path = f"Observation/{read(made)['id']}"
        as_json = await http.get(path)
        assert b'"value":1.10' in as_json.content
        assert read(await http.get(f"{path}?_format=xml")) == loads(as_json.content)
        assert read(await http.get(f"{path}?_format=application/fhir+xml")) == loads(as_json.content)
        pretty = await http.get(f"{path}?_pretty=true", headers={"Accept": "text/xml"})
        assert b'\n  <status value="final"/>\n' in pretty.content
        partly = read(await http.get(f"{path}?_format=xml&_elements=status"))
        assert "valueQuantity" not in partly
        changed = document.replace("<status", f'<id value="{path[12:]}"/><status').replace("1.10", "1.100")
        put = await http.put(path, content=changed, headers={**XML, "Content-Type": "text/xml; charset=UTF-8"})
        assert (put.status_code, put.headers["etag"]) == (200, 'W/"2"')
        assert put.headers["vary"] == "Accept"
    best = "application/fhir+json;q=0.3, application/fhir+xml;q=0.7"
    async with client(store) as http:
        assert (await http.get(path, headers={"Accept": best})).headers["content-type"] == "application/fhir+xml"


async def test_bundles_searches_histories_and_errors(store: Store) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:0a5d26c9-6b6f-4a3c-9d0c-111111111111",
                "resource": patient(),
                "request": {"method": "POST", "url": "Patient"},
            },
            {
                "resource": order("urn:uuid:0a5d26c9-6b6f-4a3c-9d0c-111111111111"),
                "request": {"method": "POST", "url": "ServiceRequest"},
            },
        ],
    }
    async with client(store) as http:
        done = await http.post("", content=to_xml(bundle), headers=XML)
        assert done.status_code == 200, done.text
        assert read(done)["type"] == "transaction-response"
        for path in ("ServiceRequest", "ServiceRequest/_history", "_history", "Patient?_summary=count"):
            mark = "&" if "?" in path else "?"
            answer = await http.get(f"{path}{mark}_format=xml")
            assert read(answer)["resourceType"] == "Bundle"
        refused = await http.post("Patient", content=f"<Patient {NS}>\n<surname/></Patient>", headers=XML)
        outcome = read(refused)
        assert refused.status_code == 400
        assert "line 2" in dumps(outcome).decode()
        invalid = f'<Patient {NS}><gender value="man"/></Patient>'
        refused = await http.post("Patient", content=invalid, headers=XML)
        assert refused.status_code == 422
        assert b'<expression value="Patient.gender"/>' in refused.content
        assert read(await http.get("Patient/nobody", headers={"Accept": "application/fhir+xml"}))
        assert (await http.get("metadata?_format=xml")).status_code == 200
        statement = read(await http.get("metadata", headers={"Accept": "application/fhir+xml"}))
        assert "application/fhir+xml" in statement["format"]  # type: ignore[operator]


async def test_a_patch_in_xml(store: Store) -> None:
    patch = (
        f'<Parameters {NS}><parameter><name value="operation"/>'
        '<part><name value="type"/><valueCode value="add"/></part>'
        '<part><name value="path"/><valueString value="Patient"/></part>'
        '<part><name value="name"/><valueString value="gender"/></part>'
        '<part><name value="value"/><valueCode value="female"/></part></parameter></Parameters>'
    )
    async with client(store) as http:
        await http.put("Patient/a", json=patient(id="a"))
        done = await http.patch("Patient/a", content=patch, headers=XML)
        assert (done.status_code, read(done)["gender"]) == (200, "female")


async def test_what_is_stored_but_no_xml(store: Store) -> None:
    odd = patient(id="a", name=[{"family": "x\u0001"}])
    async with client(store) as http:
        made = await http.put("Patient/a", json=odd, headers={"Accept": "application/fhir+xml"})
        assert (made.status_code, made.headers["content-type"]) == (201, "application/fhir+json")
        refused = await http.get("Patient/a", headers={"Accept": "application/fhir+xml"})
        assert refused.status_code == 406
        assert (await http.get("Patient/a")).status_code == 200


@pytest.mark.parametrize("kind", ["application/xhtml+xml", "text/plain", "application/fhir+xml; charset=latin1", ""])
async def test_other_bodies_are_415(store: Store, kind: str) -> None:
    async with client(store) as http:
        refused = await http.post("Patient", content=b"<Patient/>", headers={"Content-Type": kind})
        assert refused.status_code == 415
        assert refused.json()["issue"][0]["code"] == "not-supported"


async def test_a_large_document_is_refused_by_its_size(store: Store) -> None:
    async with client(store, max_bytes=2_000) as http:
        refused = await http.post("Patient", content=f"<Patient {NS}>{' ' * 2000}</Patient>", headers=XML)
        assert refused.status_code == 413
        assert read(refused)["resourceType"] == "OperationOutcome"
