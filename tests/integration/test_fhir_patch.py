"""PATCH over HTTP and in Bundles: https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from interop.fhir.names import DCM, EXT_STEP
from interop.store import Store
from interop.workflow import resources
from tests.fhir_door import agent, audited, client, expressions, order, patient
from tests.sites import a_site

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
FEMALE = [{"op": "add", "path": "/gender", "value": "female"}]


def fhirpath(*operations: dict[str, Any]) -> dict[str, Any]:
    listed = [{"name": "operation", "part": [_part(*each) for each in one.items()]} for one in operations]
    return {"resourceType": "Parameters", "parameter": listed}


def _part(name: str, value: Any) -> dict[str, Any]:
    if name == "value":
        return {"name": name, **value}
    return {"name": name, "valueCode" if name == "type" else "valueString": value}


BORN = {"type": "add", "path": "Patient", "name": "birthDate", "value": {"valueDate": "1970-01-01"}}


async def test_both_kinds_of_patch(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient(id="a"))
        one = await http.patch("Patient/a", json=FEMALE, headers=JSON_PATCH)
        assert (one.status_code, one.json()["gender"], one.headers["etag"]) == (200, "female", 'W/"2"')
        two = await http.patch(
            "Patient/a", json=fhirpath(BORN), headers={"Content-Type": "application/fhir+json", "If-Match": 'W/"2"'}
        )
        assert (two.status_code, two.json()["birthDate"], two.headers["etag"]) == (200, "1970-01-01", 'W/"3"')
        same = await http.patch("Patient/a", json=FEMALE, headers=JSON_PATCH)
        assert same.headers["etag"] == 'W/"3"'
        stale = await http.patch("Patient/a", json=FEMALE, headers={**JSON_PATCH, "If-Match": 'W/"1"'})
        assert stale.status_code == 412
    assert [event for event in await audited(store) if event[1] == "0"][1:] == [
        ("patch", "0", "Patient/a", f"Patient/a/_history/{version}") for version in (2, 3, 3)
    ]


async def test_by_criteria(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient(id="a"))
        params = {"identifier": "urn:x:mrn|1"}
        done = await http.patch("Patient", params=params, json=FEMALE, headers=JSON_PATCH)
        assert (done.status_code, done.json()["gender"]) == (200, "female")
        none = await http.patch("Patient", params={"identifier": "z"}, json=FEMALE, headers=JSON_PATCH)
        assert none.status_code == 404


async def test_what_a_patch_may_not_do(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient(id="a"))
        await http.put("Patient/gone", json=patient("2", id="gone"))
        await http.delete("Patient/gone")
        cases: list[tuple[str, Any, int, str]] = [
            ("Patient/a", [{"op": "replace", "path": "/id", "value": "b"}], 422, "business-rule"),
            ("Patient/a", [{"op": "replace", "path": "/resourceType", "value": "Basic"}], 422, "business-rule"),
            ("Patient/a", [{"op": "add", "path": "/gender", "value": "man"}], 422, "code-invalid"),
            ("Patient/a", [{"op": "add", "path": "/surname", "value": "x"}], 422, "structure"),
            ("Patient/a", [{"op": "remove", "path": "/gender"}], 422, "processing"),
            ("Patient/a", [{"op": "test", "path": "/identifier/0/value", "value": "2"}], 422, "processing"),
            ("Patient/a", {"op": "add"}, 400, "structure"),
            ("Patient/nobody", FEMALE, 404, "not-found"),
            ("Patient/gone", FEMALE, 410, "deleted"),
            ("ImagingStudy/a", FEMALE, 403, "forbidden"),
            (
                "Patient/a",
                [{"op": "add", "path": "/managingOrganization", "value": {"reference": "Organization/none"}}],
                422,
                "not-found",
            ),
        ]
        for path, body, status, code in cases:
            refused = await http.patch(path, json=body, headers=JSON_PATCH)
            assert (refused.status_code, refused.json()["issue"][0]["code"]) == (status, code), refused.text
        assert (await http.get("Patient/a")).headers["etag"] == 'W/"1"'
        bad = await http.patch("Patient/a", json=fhirpath({**BORN, "type": "append"}))
        assert (bad.status_code, expressions(bad)) == (400, ["Parameters.parameter[0]"])
        xml_patch = await http.patch(
            "Patient/a", content="<diff/>", headers={"Content-Type": "application/xml-patch+xml"}
        )
        assert xml_patch.status_code == 415


async def test_rights(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient(id="a"))
        await http.put("Patient/b", json=patient("2", id="b"))
        await http.put("ServiceRequest/o", json=order("Patient/a", id="o"))
    async with client(store, agent("system/*.rs")) as http:
        assert (await http.patch("Patient/a", json=FEMALE, headers=JSON_PATCH)).status_code == 403
        assert (await http.patch("Patient/a", content="{", headers=JSON_PATCH)).status_code == 403
    async with client(store, agent("patient/*.cruds", patient="a")) as http:
        assert (await http.patch("Patient/a", json=FEMALE, headers=JSON_PATCH)).status_code == 200
        assert (await http.patch("Patient/b", json=FEMALE, headers=JSON_PATCH)).status_code == 403
        away = [{"op": "replace", "path": "/subject/reference", "value": "Patient/b"}]
        assert (await http.patch("ServiceRequest/o", json=away, headers=JSON_PATCH)).status_code == 403
        merging = [{"op": "add", "path": "/link", "value": [{"other": {"reference": "Patient/b"}, "type": "replaces"}]}]
        assert (await http.patch("Patient/a", json=merging, headers=JSON_PATCH)).status_code == 403
    async with client(store, agent("system/*.u")) as http:
        blind = await http.patch("Patient/b", json=FEMALE, headers=JSON_PATCH)
        assert (blind.status_code, blind.content) == (200, b"")


async def test_an_order_that_is_patched_keeps_to_its_life(store: Store) -> None:
    async with client(store, site=a_site(), writer=resources) as http:
        await http.put("Patient/a", json=patient(id="a"))
        ct = {"coding": [{"system": DCM, "code": "CT"}]}
        made = (await http.post("ServiceRequest", json=order("Patient/a", orderDetail=[ct], code={"text": "x"}))).json()
        path = f"ServiceRequest/{made['id']}"
        accession = next(each["value"] for each in made["identifier"] if each.get("type"))
        index = next(number for number, each in enumerate(made["identifier"]) if each.get("type"))
        changed = [{"op": "replace", "path": f"/identifier/{index}/value", "value": "OTHER"}]
        assert (await http.patch(path, json=changed, headers=JSON_PATCH)).status_code == 422
        dropped = await http.patch(path, json=[{"op": "remove", "path": "/identifier"}], headers=JSON_PATCH)
        assert dropped.status_code == 200
        assert accession in dropped.text
        cancelled = await http.patch(
            path, json=[{"op": "replace", "path": "/status", "value": "revoked"}], headers=JSON_PATCH
        )
        step = next(each["valueCode"] for each in cancelled.json()["extension"] if each["url"] == EXT_STEP)
        assert (cancelled.status_code, step) == (200, "cancelled")
        again = await http.patch(
            path, json=[{"op": "replace", "path": "/status", "value": "active"}], headers=JSON_PATCH
        )
        assert (again.status_code, again.json()["issue"][0]["code"]) == (422, "business-rule")


def _binary(patch: Any) -> dict[str, Any]:
    data = b64encode(json.dumps(patch).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


async def test_in_bundles(store: Store) -> None:
    new = "urn:uuid:0a5d26c9-6b6f-4a3c-9d0c-111111111111"
    async with client(store) as http:
        await http.put("Patient/a", json=patient(id="a"))
        link = [{"op": "add", "path": "/managingOrganization", "value": {"reference": new}}]
        entries = [
            {"resource": _binary(link), "request": {"method": "PATCH", "url": "Patient/a", "ifMatch": 'W/"1"'}},
            {
                "fullUrl": new,
                "resource": {"resourceType": "Organization", "name": "o"},
                "request": {"method": "POST", "url": "Organization"},
            },
        ]
        done = await http.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert done.status_code == 200, done.text
        made = done.json()["entry"][1]["response"]["location"].removesuffix("/_history/1")
        assert (await http.get("Patient/a")).json()["managingOrganization"]["reference"] == made
        entries = [
            {"resource": fhirpath(BORN), "request": {"method": "PATCH", "url": "Patient?identifier=urn:x:mrn|1"}},
            {"resource": fhirpath({**BORN, "name": "x"}), "request": {"method": "PATCH", "url": "Patient/a"}},
            {"resource": patient(), "request": {"method": "PATCH", "url": "Patient/a"}},
        ]
        done = await http.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
        responses = [entry["response"] for entry in done.json()["entry"]]
        assert [response["status"][:3] for response in responses] == ["200", "422", "400"]
        twice = await http.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries[:1] * 2})
        assert (twice.status_code, expressions(twice)) == (400, ["Bundle.entry[1].request.url"])
