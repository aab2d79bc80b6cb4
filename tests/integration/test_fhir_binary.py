"""Binary: content as its own bytes or as a resource: https://hl7.org/fhir/R4/binary.html#rest"""

from __future__ import annotations

from base64 import b64encode

import pytest

from interop.store import Store
from tests.fhir_door import BASE, agent, audited, client, expressions, order, patient

PDF = b"%PDF-1.4 \x00\xff"
AS_PDF = {"Content-Type": "application/pdf"}


async def test_content_goes_in_and_out_as_it_is(store: Store) -> None:
    async with client(store) as http:
        made = await http.post("Binary", content=PDF, headers=AS_PDF)
        assert made.status_code == 201, made.text
        id = made.json()["id"]
        assert made.headers["location"] == f"{BASE}/Binary/{id}/_history/1"
        assert made.json()["contentType"] == "application/pdf"
        for accept in ("*/*", "application/pdf", "application/*", "application/pdf, application/fhir+json;q=0.5"):
            raw = await http.get(f"Binary/{id}", headers={"Accept": accept})
            assert (raw.content, raw.headers["content-type"]) == (PDF, "application/pdf"), accept
            assert raw.headers["etag"] == 'W/"1"'
            assert raw.headers["content-disposition"] == "attachment"
            assert "sandbox" in raw.headers["content-security-policy"]
        for accept in ("application/fhir+json", "application/json", "application/fhir+json, */*;q=0.1"):
            resource = await http.get(f"Binary/{id}", headers={"Accept": accept})
            assert resource.json()["data"] == b64encode(PDF).decode(), accept
        assert (await http.get(f"Binary/{id}?_format=xml")).content.startswith(b"<?xml")
        assert (await http.get(f"Binary/{id}", headers={"Accept": "image/png"})).status_code == 406
        assert (await http.get(f"Binary/{id}", headers={"If-None-Match": 'W/"1"'})).status_code == 304
        changed = await http.put(
            f"Binary/{id}", content=b"plain", headers={"Content-Type": "text/plain; charset=UTF-8"}
        )
        assert (changed.status_code, changed.headers["etag"]) == (200, 'W/"2"')
        assert (await http.get(f"Binary/{id}")).text == "plain"
        assert (await http.get(f"Binary/{id}/_history/1")).content == PDF
        assert (await http.head(f"Binary/{id}")).content == b""
        assert (await http.delete(f"Binary/{id}")).status_code == 204
        assert (await http.get(f"Binary/{id}")).status_code == 410
    assert [event[0] for event in await audited(store)][:3] == ["create", "read", "read"]


@pytest.mark.parametrize("kind", ["application/fhir+json", "application/json"])
async def test_a_resource_is_one(store: Store, kind: str) -> None:
    resource = {"resourceType": "Binary", "contentType": "application/pdf", "data": b64encode(PDF).decode()}
    async with client(store) as http:
        made = await http.post("Binary", json=resource, headers={"Content-Type": kind})
        assert made.status_code == 201
        assert (await http.get(f"Binary/{made.json()['id']}")).content == PDF
        document = '<Binary xmlns="http://hl7.org/fhir"><contentType value="text/plain"/><data value="aGk="/></Binary>'
        made = await http.post("Binary", content=document, headers={"Content-Type": "application/fhir+xml"})
        assert (await http.get(f"Binary/{made.json()['id']}")).text == "hi"


async def test_json_and_xml_that_are_content(store: Store) -> None:
    async with client(store) as http:
        for body, kind in ((b'{"a":1}', "application/json"), (b"<a/>", "application/xml"), (b"{", "application/json")):
            made = await http.post("Binary", content=body, headers={"Content-Type": kind})
            assert made.status_code == 201, made.text
            raw = await http.get(f"Binary/{made.json()['id']}")
            assert (raw.content, raw.headers["content-type"]) == (body, kind)


async def test_what_is_refused(store: Store) -> None:
    async with client(store, max_bytes=1000) as http:
        assert (await http.post("Binary", content=PDF, headers={"Content-Type": ""})).status_code == 415
        assert (await http.post("Binary", content=b"x" * 1001, headers=AS_PDF)).status_code == 413
        bad = await http.post("Binary", content=PDF, headers={"Content-Type": "no type"})
        assert (bad.status_code, expressions(bad)) == (422, ["Binary.contentType"])
        nobody = await http.post("Binary", content=PDF, headers={**AS_PDF, "X-Security-Context": "Patient/nobody"})
        assert (nobody.status_code, expressions(nobody)) == (422, ["Binary.securityContext"])
        assert (await http.put("Binary?_tag=x", content=PDF, headers=AS_PDF)).status_code == 400


async def test_the_security_context_decides(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient("1", id="a"))
        await http.put("Patient/b", json=patient("2", id="b"))
        await http.put("ServiceRequest/o", json=order("Patient/a", id="o"))
        ids = []
        for context in ("Patient/a", "ServiceRequest/o", "Patient/b", None):
            headers = {**AS_PDF, **({"X-Security-Context": context} if context else {})}
            ids.append((await http.post("Binary", content=PDF, headers=headers)).json()["id"])
        of_a = await http.get(f"Binary/{ids[1]}")
        assert of_a.headers["x-security-context"] == "ServiceRequest/o"

    async def statuses(*scopes: str, own: str | None = None) -> list[int]:
        async with client(store, agent(*scopes, patient=own)) as reader:
            return [(await reader.get(f"Binary/{id}")).status_code for id in ids]

    assert await statuses("patient/*.rs", own="a") == [200, 200, 403, 403]
    assert await statuses("system/Binary.rs") == [403, 403, 403, 200]
    assert await statuses("system/Binary.rs", "system/Patient.r") == [200, 403, 200, 200]
    assert await statuses("system/*.rs") == [200, 200, 200, 200]
    async with client(store, agent("patient/*.cruds", patient="a")) as mine:
        own = {**AS_PDF, "X-Security-Context": "Patient/a"}
        other = {**AS_PDF, "X-Security-Context": "Patient/b"}
        assert (await mine.post("Binary", content=PDF, headers=own)).status_code == 201
        assert (await mine.post("Binary", content=PDF, headers=other)).status_code == 403
        assert (await mine.post("Binary", content=PDF, headers=AS_PDF)).status_code == 403
        assert (await mine.put(f"Binary/{ids[2]}", content=PDF, headers=own)).status_code == 403
        assert (await mine.put(f"Binary/{ids[0]}", content=PDF, headers=other)).status_code == 403
        assert (await mine.delete(f"Binary/{ids[2]}")).status_code == 403
        patch = [{"op": "add", "path": "/contentType", "value": "text/plain"}]
        kind = {"Content-Type": "application/json-patch+json"}
        assert (await mine.patch(f"Binary/{ids[2]}", json=patch, headers=kind)).status_code == 403
    async with client(store, agent("system/Binary.rs")) as narrow:
        assert (await narrow.get("Binary")).status_code == 403
        assert (await narrow.get("Binary/_history")).status_code == 403
        assert (await narrow.get(f"Binary/{ids[0]}/_history")).status_code == 403
        included = await narrow.get("Provenance?_include=Provenance:target")
        assert included.status_code == 403
        assert (await narrow.get("$export?_type=Binary", headers={"Prefer": "respond-async"})).status_code == 403
    async with client(store) as http:
        provenance = {
            "resourceType": "Provenance",
            "recorded": "2026-01-01T00:00:00Z",
            "agent": [{"who": {"display": "x"}}],
        }
        targets = [{"reference": f"Binary/{ids[1]}"}, {"reference": f"Binary/{ids[3]}"}]
        assert (await http.post("Provenance", json={**provenance, "target": targets})).status_code == 201
    async with client(store, agent("system/Binary.rs", "system/Provenance.rs")) as narrow:
        found = (await narrow.get("Provenance?_include=Provenance:target")).json()["entry"]
        assert [entry["resource"]["id"] for entry in found if entry["search"]["mode"] == "include"] == [ids[3]]
    touched = [event for event in await audited(store) if event[0] == "read" and event[1] == "0"]
    assert ("read", "0", "Patient/a", f"Binary/{ids[0]}") in touched
