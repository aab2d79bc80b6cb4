"""read, vread, create, update, delete over HTTP: https://hl7.org/fhir/R4/http.html"""

from __future__ import annotations

import pytest

from interop.store import Store
from tests.fhir_door import BASE, JSON, anonymous, audited, client, expressions, order, patient


async def test_a_created_resource_is_read_back_as_it_was_sent(store: Store) -> None:
    async with client(store) as http:
        made = await http.post("Patient", json=patient(name=[{"family": "Παπαδόπουλος"}]))
        assert made.status_code == 201
        id = made.json()["id"]
        assert made.headers["location"] == f"{BASE}/Patient/{id}/_history/1"
        assert made.headers["etag"] == 'W/"1"'
        assert made.json()["meta"]["versionId"] == "1"
        read = await http.get(f"Patient/{id}")
        assert read.status_code == 200
        assert read.content == made.content
        assert read.headers["content-type"] == "application/fhir+json"
        assert read.headers["last-modified"].endswith("GMT")
        assert read.json()["name"][0]["family"] == "Παπαδόπουλος"


async def test_decimals_stay_as_sent(store: Store) -> None:
    body = (
        b'{"resourceType":"Observation","status":"final","code":{"text":"EF"},'
        b'"valueQuantity":{"value":1.10,"unit":"m"},"component":[{"code":{"text":"x"},"valueQuantity":{"value":1E2}}]}'
    )
    async with client(store) as http:
        made = await http.post("Observation", content=body, headers=JSON)
        assert made.status_code == 201, made.text
        read = await http.get(f"Observation/{made.json()['id']}")
        assert b'"value":1.10,' in read.content
        assert b'"value":1E2}' in read.content
        pretty = await http.get(f"Observation/{made.json()['id']}?_pretty=true")
        assert b'"value": 1.10,\n' in pretty.content


async def test_the_clients_id_is_not_used_for_a_create(store: Store) -> None:
    async with client(store) as http:
        made = await http.post("Patient", json=patient(id="mine"))
        assert made.status_code == 201
        assert made.json()["id"] != "mine"


async def test_update_makes_a_version_and_vread_gives_each(store: Store) -> None:
    async with client(store) as http:
        id = (await http.post("Patient", json=patient())).json()["id"]
        put = await http.put(f"Patient/{id}", json=patient(id=id, gender="female"))
        assert (put.status_code, put.headers["etag"]) == (200, 'W/"2"')
        same = await http.put(f"Patient/{id}", json=patient(id=id, gender="female"))
        assert (same.status_code, same.headers["etag"]) == (200, 'W/"2"')
        first = await http.get(f"Patient/{id}/_history/1")
        assert "gender" not in first.json()
        assert (await http.get(f"Patient/{id}/_history/2")).json()["gender"] == "female"
        assert (await http.get(f"Patient/{id}/_history/3")).status_code == 404
        assert (await http.get(f"Patient/{id}/_history/x")).status_code == 404


async def test_update_as_create(store: Store) -> None:
    async with client(store) as http:
        made = await http.put("Patient/own-id", json=patient(id="own-id"))
        assert made.status_code == 201
        assert made.headers["location"] == f"{BASE}/Patient/own-id/_history/1"


@pytest.mark.parametrize("body", [patient(), patient(id="other")])
async def test_the_id_in_the_body_must_be_the_one_in_the_address(store: Store, body: dict[str, object]) -> None:
    async with client(store) as http:
        refused = await http.put("Patient/a", json=body)
        assert refused.status_code == 400
        assert expressions(refused) == ["Patient.id"]


async def test_if_match(store: Store) -> None:
    async with client(store) as http:
        id = (await http.post("Patient", json=patient())).json()["id"]
        changed = patient(id=id, gender="male")
        stale = await http.put(f"Patient/{id}", json=changed, headers={"If-Match": 'W/"7"'})
        assert stale.status_code == 412
        malformed = await http.put(f"Patient/{id}", json=changed, headers={"If-Match": "seven"})
        assert malformed.status_code == 400
        assert (await http.put(f"Patient/{id}", json=changed, headers={"If-Match": 'W/"1"'})).status_code == 200
        absent = await http.put("Patient/new", json=patient(id="new"), headers={"If-Match": 'W/"1"'})
        assert absent.status_code == 412
        assert (await http.delete(f"Patient/{id}", headers={"If-Match": 'W/"1"'})).status_code == 412
        assert (await http.delete(f"Patient/{id}", headers={"If-Match": 'W/"2"'})).status_code == 204


async def test_if_match_of_several_versions_or_any(store: Store) -> None:
    """RFC 9110 13.1.1: a list holds if any of it is current, * if anything is there."""
    any_, several = {"If-Match": "*"}, {"If-Match": 'W/"1", W/"2"'}
    async with client(store) as http:
        for headers in (any_, several):
            assert (await http.put("Patient/a", json=patient(id="a"), headers=headers)).status_code == 412
            assert (await http.delete("Patient/a", headers=headers)).status_code == 412
        assert (await http.get("Patient/a")).status_code == 404
        await http.put("Patient/a", json=patient(id="a"))
        for headers, gender, status in ((any_, "male", 200), (several, "female", 200), (several, "other", 412)):
            done = await http.put("Patient/a", json=patient(id="a", gender=gender), headers=headers)
            assert done.status_code == status, gender
        patched = await http.patch(
            "Patient/a",
            json=[{"op": "replace", "path": "/gender", "value": "unknown"}],
            headers={"Content-Type": "application/json-patch+json", **any_},
        )
        assert (patched.status_code, patched.headers["etag"]) == (200, 'W/"4"')
        assert (await http.delete("Patient/a", headers=several)).status_code == 412
        assert (await http.delete("Patient/a", headers=any_)).status_code == 204
        assert (await http.delete("Patient/a", headers=any_)).status_code == 412
        assert (await http.put("Patient/a", json=patient(id="a"), headers=any_)).status_code == 412


async def test_delete(store: Store) -> None:
    async with client(store) as http:
        id = (await http.post("Patient", json=patient())).json()["id"]
        gone = await http.delete(f"Patient/{id}")
        assert (gone.status_code, gone.content) == (204, b"")
        read = await http.get(f"Patient/{id}")
        assert (read.status_code, read.json()["issue"][0]["code"]) == (410, "deleted")
        assert (await http.get(f"Patient/{id}/_history/2")).status_code == 410
        assert (await http.delete(f"Patient/{id}")).status_code == 204
        never = await http.delete("Patient/never")  # http.html#delete: also "if the resource does not exist at all"
        assert (never.status_code, never.content, "etag" in never.headers) == (204, b"", False)
        assert (await http.delete("Patient/never", headers={"If-Match": 'W/"1"'})).status_code == 412
        assert (await http.get("Patient/never")).status_code == 404
        back = await http.put(f"Patient/{id}", json=patient(id=id))
        assert (back.status_code, back.headers["etag"]) == (201, 'W/"3"')


async def test_history(store: Store) -> None:
    async with client(store) as http:
        id = (await http.post("Patient", json=patient())).json()["id"]
        await http.put(f"Patient/{id}", json=patient(id=id, gender="male"))
        await http.delete(f"Patient/{id}")
        bundle = (await http.get(f"Patient/{id}/_history")).json()
        assert bundle["type"] == "history"
        assert [e["request"]["method"] for e in bundle["entry"]] == ["DELETE", "PUT", "POST"]
        assert [e["response"]["etag"] for e in bundle["entry"]] == ['W/"3"', 'W/"2"', 'W/"1"']
        assert "resource" not in bundle["entry"][0]
        page = (await http.get(f"Patient/{id}/_history?_count=2")).json()
        following = next(link["url"] for link in page["link"] if link["relation"] == "next")
        rest = (await http.get(following)).json()
        assert [e["request"]["method"] for e in rest["entry"]] == ["POST"]
        everything = (await http.get("Patient/_history")).json()
        assert len(everything["entry"]) == 3
        assert (await http.get("Patient/never/_history")).status_code == 404
        assert (await http.get("Patient/_history?_since=yesterday")).status_code == 400


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("return=minimal", ""),
        ("Return=minimal", ""),  # RFC 7240 2: names of preferences have no case
        ("return=representation", "Patient"),
        ("return=OperationOutcome", "OperationOutcome"),
    ],
)
async def test_prefer(store: Store, prefer: str, expected: str) -> None:
    async with client(store) as http:
        made = await http.post("Patient", json=patient(), headers={"Prefer": prefer})
        assert made.status_code == 201
        assert (made.json()["resourceType"] if made.content else "") == expected


async def test_head_is_a_read_without_its_body(store: Store) -> None:
    async with client(store) as http:
        id = (await http.post("Patient", json=patient())).json()["id"]
        head = await http.head(f"Patient/{id}")
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", 'W/"1"')


async def test_a_reference_to_something_that_is_not_here_is_refused(store: Store) -> None:
    async with client(store) as http:
        refused = await http.post("ServiceRequest", json=order("Patient/nobody"))
        assert refused.status_code == 422
        assert refused.json()["issue"][0]["code"] == "not-found"
        assert expressions(refused) == ["ServiceRequest.subject"]
        elsewhere = await http.post("ServiceRequest", json=order("https://other.example/fhir/Patient/1"))
        assert elsewhere.status_code == 201


async def test_an_absolute_reference_to_this_server_is_made_relative(store: Store) -> None:
    async with client(store) as http:
        id = (await http.post("Patient", json=patient())).json()["id"]
        made = await http.post("ServiceRequest", json=order(f"{BASE}/Patient/{id}"))
        assert made.json()["subject"]["reference"] == f"Patient/{id}"
        refused = await http.post("ServiceRequest", json=order(f"{BASE}/Patient/nobody"))
        assert refused.status_code == 422


async def test_a_slash_at_the_end_changes_nothing(store: Store) -> None:
    async with client(store) as http:
        assert (await http.post("Patient/", json=patient())).status_code == 201
        assert (await http.get("Patient/")).status_code == 200
        assert (await http.get("metadata/")).status_code == 200


async def test_without_an_agent_only_the_metadata_is_open(store: Store) -> None:
    async with anonymous(store) as http:
        refused = await http.get("Patient/1")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert refused.json()["resourceType"] == "OperationOutcome"
        assert (await http.get("metadata")).status_code == 200


async def test_every_interaction_leaves_its_event(store: Store) -> None:
    async with client(store) as http:
        id = (await http.post("Patient", json=patient())).json()["id"]
        await http.get(f"Patient/{id}")
        await http.put(f"Patient/{id}", json=patient(id=id, gender="male"))
        await http.get(f"Patient/{id}/_history/1")
        await http.get(f"Patient/{id}/_history")
        await http.get("Patient?identifier=1")
        await http.get("Patient?identifier=none")
        await http.delete(f"Patient/{id}")
        await http.get(f"Patient/{id}")
        await http.post("Patient", content=b"{", headers=JSON)
    person = f"Patient/{id}"
    assert await audited(store) == [
        ("create", "0", person, f"{person}/_history/1"),
        ("read", "0", person, person),
        ("update", "0", person, f"{person}/_history/2"),
        ("vread", "0", person, f"{person}/_history/1"),
        ("history-instance", "0", person, person),
        ("search-type", "0", person, None),
        ("search-type", "0", None, None),
        ("delete", "0", person, f"{person}/_history/3"),
        ("read", "4", person, person),
        ("create", "4", None, None),
    ]
