"""transaction and batch: https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import orjson
import pytest

from interop.store import Store
from interop.workflow import resources
from tests.fhir_door import BASE, agent, audited, client, expressions, order, patient
from tests.sites import a_site

P = "urn:uuid:0a5d26c9-6b6f-4a3c-9d0c-111111111111"
S = "urn:uuid:0a5d26c9-6b6f-4a3c-9d0c-222222222222"


def bundle(*entries: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def post(resource: dict[str, Any], full_url: str | None = None, **request: str) -> dict[str, Any]:
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"], **request}}
    return {"fullUrl": full_url, **entry} if full_url else entry


def put(resource: dict[str, Any], **request: str) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": f"{BASE}/{url}", "resource": resource, "request": {"method": "PUT", "url": url, **request}}


def plain(method: str, url: str) -> dict[str, Any]:
    return {"request": {"method": method, "url": url}}


async def count(http: httpx.AsyncClient, type: str) -> int:
    total: int = (await http.get(f"{type}?_summary=count")).json()["total"]
    return total


async def send(http: httpx.AsyncClient, *entries: dict[str, Any], kind: str = "transaction") -> httpx.Response:
    return await http.post("", json=bundle(*entries, kind=kind))


async def test_links_between_entries_in_either_order(store: Store) -> None:
    async with client(store) as http:
        done = await send(http, post(order(P, reasonReference=[{"reference": S}]), S), post(patient(), P))
        refused = done.json()
        assert done.status_code == 422, refused  # reasonReference may not be a ServiceRequest
        assert expressions(done) == ["Bundle.entry[0].resource.reasonReference[0].reference"]
        done = await send(http, post(order(P, basedOn=[{"reference": S}]), S), post(patient(), P))
        assert done.status_code == 200, done.text
        entries = done.json()["entry"]
        assert done.json()["type"] == "transaction-response"
        assert [entry["response"]["status"] for entry in entries] == ["201 Created", "201 Created"]
        made = (await http.get(entries[0]["response"]["location"])).json()
        person = entries[1]["response"]["location"].removesuffix("/_history/1")
        assert made["subject"]["reference"] == person
        assert made["basedOn"][0]["reference"] == f"ServiceRequest/{made['id']}"
        assert entries[0]["response"]["etag"] == 'W/"1"'


async def test_all_or_nothing_and_faults_are_located(store: Store) -> None:
    async with client(store) as http:
        bad = order(P, priority="now")
        refused = await send(http, post(patient(), P), post(bad), post({"resourceType": "Patient", "x": 1}))
        assert refused.status_code == 422
        assert expressions(refused) == ["Bundle.entry[1].resource.priority", "Bundle.entry[2].resource.x"]
        missing = await send(http, post(patient(), P), post(order("Patient/nobody")))
        assert (missing.status_code, expressions(missing)) == (422, ["Bundle.entry[1].resource.subject"])
        dangling = await send(http, post(patient(), P), post(order(S)))
        assert (dangling.status_code, expressions(dangling)) == (422, ["Bundle.entry[1].resource.subject"])
        assert await count(http, "Patient") == 0
    assert [event for event in await audited(store) if event[0] == "transaction"] == [
        ("transaction", "4", None, None)
    ] * 3


async def test_delete_post_put_get_in_that_order(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/old", json=patient("1", id="old"))
        done = await send(
            http,
            plain("GET", "Patient?identifier=urn:x:mrn|1"),
            put(order("Patient/new", id="o")),
            put(patient("2", id="new")),
            post(patient("1"), P, ifNoneExist="identifier=urn:x:mrn|1"),
            plain("DELETE", "Patient/old"),
        )
        assert done.status_code == 200, done.text
        entries = done.json()["entry"]
        assert [entry["response"]["status"][:3] for entry in entries] == ["200", "201", "201", "201", "204"]
        found = [entry["resource"]["id"] for entry in entries[0]["resource"]["entry"]]
        assert found == [entries[3]["response"]["location"].split("/")[1]]


async def test_what_is_deleted_together_may_stand_in_any_order(store: Store) -> None:
    """http.html#trules: the outcome does not depend on the order of the entries."""
    async with client(store) as http:
        for names in (["Patient/p", "ServiceRequest/o"], ["ServiceRequest/o", "Patient?identifier=urn:x:mrn|1"]):
            await http.put("Patient/p", json=patient("1", id="p"))
            assert (await http.put("ServiceRequest/o", json=order("Patient/p", id="o"))).status_code == 201
            done = await send(http, *[plain("DELETE", name) for name in names])
            assert done.status_code == 200, done.text
            assert [entry["response"]["status"][:3] for entry in done.json()["entry"]] == ["204", "204"]


@pytest.mark.parametrize("patched", [False, True])
async def test_what_nothing_refers_to_in_the_end_is_deleted(store: Store, patched: bool) -> None:
    async with client(store, site=a_site(), writer=resources) as http:
        for name in ("old", "new"):
            assert (await http.put(f"/Patient/{name}", json=patient(name, id=name))).status_code == 201
        report = {
            "resourceType": "DiagnosticReport",
            "id": "r",
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": "Patient/old"},
        }
        assert (await http.put("/DiagnosticReport/r", json=report)).status_code == 201
        moved = put(report | {"subject": {"reference": "Patient/new"}})
        if patched:
            change = [{"op": "replace", "path": "/subject/reference", "value": "Patient/new"}]
            data = base64.b64encode(orjson.dumps(change)).decode()
            moved = plain("PATCH", "DiagnosticReport/r")
            moved["resource"] = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
        refused = await send(http, plain("DELETE", "Patient/old"), put(report | {"status": "amended"}))
        assert refused.status_code == 409, refused.text
        assert refused.json()["issue"][0]["expression"][0].startswith("Bundle.entry[0]")
        assert (await http.get("/DiagnosticReport/r")).json()["status"] == "final"
        done = await send(http, plain("DELETE", "Patient/old"), moved)
        assert done.status_code == 200, done.text
        assert [entry["response"]["status"][:3] for entry in done.json()["entry"]] == ["204", "200"]
        assert (await http.get("/Patient/old")).status_code == 410
        assert (await http.get("/DiagnosticReport/r")).json()["subject"]["reference"] == "Patient/new"


async def test_conditional_create_in_a_transaction_links_to_what_is_there(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/known", json=patient("7", id="known"))
        entry = post(patient("7"), P, ifNoneExist="identifier=urn:x:mrn|7")
        done = (await send(http, entry, post(order(P)))).json()["entry"]
        assert done[0]["response"]["status"] == "200 OK"
        assert (await http.get(done[1]["response"]["location"])).json()["subject"]["reference"] == "Patient/known"
        assert await count(http, "Patient") == 1


async def test_the_same_criteria_twice_make_one(store: Store) -> None:
    async with client(store) as http:
        entries = [post(patient("7"), f"{P[:-1]}{n}", ifNoneExist="identifier=urn:x:mrn|7") for n in range(2)]
        orders = [post(order(f"{P[:-1]}{n}")) for n in range(2)]
        done = await send(http, *entries, *orders)
        assert done.status_code == 200, done.text
        assert [entry["response"]["status"][:3] for entry in done.json()["entry"]] == ["201", "200", "201", "201"]
        assert await count(http, "Patient") == 1
        assert await count(http, "ServiceRequest") == 2


async def test_parallel_transactions_with_the_same_criteria_make_one(store: Store) -> None:
    async with client(store) as http:
        entry = post(patient("7"), P, ifNoneExist="identifier=urn:x:mrn|7")
        done = await asyncio.gather(*(send(http, entry, post(order(P))) for _ in range(16)))
        assert {answer.status_code for answer in done} == {200}
        assert await count(http, "Patient") == 1
        assert await count(http, "ServiceRequest") == 16


async def test_conditional_references(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/known", json=patient("7", id="known"))
        known = post(order("Patient?identifier=urn:x:mrn|7"))
        coming = post(order("Patient?identifier=urn:x:mrn|8"))
        done = await send(http, known, coming, post(patient("8")))
        assert done.status_code == 200, done.text
        entries = done.json()["entry"]
        first = (await http.get(entries[0]["response"]["location"])).json()
        second = (await http.get(entries[1]["response"]["location"])).json()
        assert first["subject"]["reference"] == "Patient/known"
        assert second["subject"]["reference"] == entries[2]["response"]["location"].removesuffix("/_history/1")
        none = await send(http, post(order("Patient?identifier=urn:x:mrn|9")))
        assert (none.status_code, expressions(none)) == (422, ["Bundle.entry[0].resource.subject"])
        await http.post("Patient", json=patient("7"))
        many = await send(http, known)
        assert (many.status_code, expressions(many)) == (412, ["Bundle.entry[0].resource.subject"])
        plainly = await http.post("ServiceRequest", json=order("Patient?identifier=urn:x:mrn|7"))
        assert plainly.status_code == 422


async def test_a_full_url_under_a_foreign_base_is_a_link_too(store: Store) -> None:
    async with client(store) as http:
        done = await send(http, post(patient(), "http://emr.example/fhir/Patient/23"), post(order("Patient/23")))
        assert done.status_code == 200, done.text
        made = (await http.get(done.json()["entry"][1]["response"]["location"])).json()
        assert made["subject"]["reference"] != "Patient/23"


async def test_if_match_in_an_entry(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient(id="a"))
        changed = patient(id="a", gender="male")
        stale = await send(http, put(changed, ifMatch='W/"9"'))
        assert (stale.status_code, expressions(stale)) == (412, ["Bundle.entry[0]"])
        assert (await send(http, put(changed, ifMatch='W/"1"'))).status_code == 200
        absent = await send(http, put(changed, ifMatch="*"), put(patient("2", id="b"), ifMatch="*"))
        assert (absent.status_code, expressions(absent)) == (412, ["Bundle.entry[1]"])
        assert (await send(http, put(patient(id="a"), ifMatch="*"))).status_code == 200


async def test_prefer_representation_returns_what_was_written(store: Store) -> None:
    async with client(store) as http:
        done = await http.post("", json=bundle(post(patient())), headers={"Prefer": "return=representation"})
        assert done.json()["entry"][0]["resource"]["resourceType"] == "Patient"
        done = await http.post("", json=bundle(post(patient())))
        assert "resource" not in done.json()["entry"][0]


async def test_a_batch_lets_each_entry_stand_for_itself(store: Store) -> None:
    async with client(store) as http:
        done = await send(
            http,
            post(patient("1")),
            post({"resourceType": "Patient", "x": 1}),
            plain("GET", "Patient/none"),
            plain("GET", "Nothing/1"),
            plain("GET", "Patient?nothing=1"),
            plain("GET", "Patient?_count=1"),
            plain("GET", "metadata"),
            plain("HEAD", "Patient/1"),
            plain("POST", "Patient"),
            kind="batch",
        )
        assert done.status_code == 200, done.text
        assert done.json()["type"] == "batch-response"
        responses = [entry["response"] for entry in done.json()["entry"]]
        statuses = [response["status"][:3] for response in responses]
        assert statuses == ["201", "422", "404", "404", "400", "200", "422", "400", "422"]
        assert responses[1]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[1].resource.x"]
        assert responses[6]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[6].request.url"]
        assert await count(http, "Patient") == 1


async def test_bundles_that_cannot_be_carried_out(store: Store) -> None:
    async with client(store) as http:
        cases: list[tuple[dict[str, Any], int]] = [
            ({"resourceType": "Patient"}, 400),
            (bundle(kind="collection"), 422),
            (bundle(kind="document"), 422),
            ({**bundle(post(patient())), "surprise": 1}, 422),
            (bundle({"resource": patient()}), 422),
            (bundle(plain("GET", "")), 422),
            (bundle(plain("POST", "Patient")), 422),
            (bundle({**plain("GET", "Patient/1"), "resource": patient()}), 422),
            (bundle(plain("PATCH", "Patient/1")), 422),
            (bundle(plain("HEAD", "Patient/1")), 400),
            (bundle({"resource": patient(), "request": {"method": "PUT", "url": "Patient"}}), 400),
            (bundle({"resource": patient(), "request": {"method": "POST", "url": "Patient?identifier=1"}}), 400),
            (bundle(put(patient(id="a")), put(patient(id="a"))), 400),
            (bundle(put(patient(id="a")), plain("DELETE", "Patient/a")), 400),
            (bundle(post(patient("1"), P), post(patient("2"), P)), 400),
            (bundle(post({"resourceType": "ImagingStudy"})), 403),
            (bundle({**plain("GET", "Patient"), "resource": []}), 422),
            (bundle({**plain("POST", "Patient"), "resource": {"resourceType": None, "a": {"reference": "x"}}}), 400),
            (bundle({**plain("POST", "Patient"), "resource": {"resourceType": "AuditEvent", "entity": 5}}), 400),
            ({**bundle(), "entry": 5}, 422),
            ({**bundle(), "entry": [5]}, 422),
        ]
        for body, status in cases:
            refused = await http.post("", json=body)
            assert refused.status_code == status, (body, refused.text)
            assert refused.json()["issue"][0]["details"]["text"]
        assert (await http.post("", json={"resourceType": "Bundle", "type": "transaction"})).json() == {
            "resourceType": "Bundle",
            "type": "transaction-response",
        }
        assert await count(http, "Patient") == 0


async def test_each_entry_needs_its_own_right(store: Store) -> None:
    async with client(store, agent("system/Patient.cruds")) as http:
        refused = await send(http, post(patient(), P), post(order(P)))
        assert refused.status_code == 403
        assert expressions(refused) == ["Bundle.entry[1]"]
        assert await count(http, "Patient") == 0


async def test_each_entry_is_audited_and_the_transaction_too(store: Store) -> None:
    async with client(store) as http:
        done = (await send(http, post(order(P)), post(patient(), P))).json()["entry"]
    person = done[1]["response"]["location"]
    assert await audited(store) == [
        ("create", "0", person.removesuffix("/_history/1"), person),
        ("create", "0", person.removesuffix("/_history/1"), done[0]["response"]["location"]),
        ("transaction", "0", None, None),
    ]


def conditional(method: str, url: str, resource: dict[str, Any] | None = None, **request: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    return entry if resource is None else {**entry, "resource": resource}


KEY = "Patient?identifier=urn:x:mrn|1"


async def test_conditional_updates_and_deletes(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/old", json=patient("9", id="old"))
        update = {"fullUrl": P, **conditional("PUT", KEY, patient("1", gender="male"))}
        entries = (post(order(P), S), update, conditional("DELETE", "Patient?identifier=urn:x:mrn|9"))
        done = await send(http, *entries)
        assert done.status_code == 200, done.text
        assert [entry["response"]["status"][:3] for entry in done.json()["entry"]] == ["201", "201", "204"]
        person = done.json()["entry"][1]["response"]["location"].removesuffix("/_history/1")
        made = (await http.get(done.json()["entry"][0]["response"]["location"])).json()
        assert made["subject"]["reference"] == person
        assert (await http.get("Patient/old")).status_code == 410
        again = await send(http, {"fullUrl": P, **conditional("PUT", KEY, patient("1", gender="female"))})
        assert again.json()["entry"][0]["response"]["location"] == f"{person}/_history/2"


async def test_what_leads_to_one_resource_twice_is_refused(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient("1", id="a"))
        by_criteria = conditional("PUT", KEY, patient("1"))
        for entries in (
            (put(patient("1", id="a")), by_criteria),
            (by_criteria, conditional("PUT", f"{KEY}&_format=json", patient("1"))),
            (plain("DELETE", "Patient/a"), plain("DELETE", KEY)),
            (plain("DELETE", KEY), put(patient("1", id="a"))),
            (plain("DELETE", KEY), plain("DELETE", KEY)),
            (
                post(patient("2"), ifNoneExist="identifier=urn:x:mrn|2"),
                conditional("PUT", "Patient?identifier=urn:x:mrn|2", patient("2")),
            ),
        ):
            refused = await send(http, *entries)
            assert refused.status_code == 400, refused.text
            assert expressions(refused)[0].startswith("Bundle.entry["), refused.text
        assert (await http.get("Patient/a")).headers["etag"] == 'W/"1"'


async def test_conditions_of_an_entry(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=patient("1", id="a"))
        done = await send(
            http,
            conditional("GET", "Patient/a", ifNoneMatch='W/"1"'),
            conditional("GET", "Patient/a", ifNoneMatch='W/"2"'),
            conditional("GET", "Patient/a", ifModifiedSince="2999-01-01T00:00:00Z"),
            conditional("GET", "Patient/a?_summary=true"),
        )
        statuses = [entry["response"]["status"] for entry in done.json()["entry"]]
        assert statuses == ["304 Not Modified", "200 OK", "304 Not Modified", "200 OK"]
        assert "resource" not in done.json()["entry"][0]
        stale = await send(http, put(patient("1", id="a", gender="male"), ifMatch='W/"7"'))
        assert (stale.status_code, expressions(stale)) == (412, ["Bundle.entry[0]"])
        there = await send(http, put(patient("1", id="a", gender="male"), ifNoneMatch="*"))
        assert (there.status_code, expressions(there)) == (412, ["Bundle.entry[0]"])
        for entry in (
            conditional("GET", "Patient/a", ifNoneMatch="1"),
            conditional("GET", "Patient/a", ifModifiedSince="yesterday"),
        ):
            refused = await send(http, entry)
            assert refused.status_code in (400, 422)
            assert expressions(refused)[0].startswith("Bundle.entry[0]")


async def test_faults_of_criteria_are_located(store: Store) -> None:
    async with client(store) as http:
        for value in ("1", "2"):
            await http.post("Patient", json=patient(value, gender="female"))
        for entry, status in (
            (conditional("PUT", "Patient?gender=female", patient("3")), 412),
            (conditional("DELETE", "Patient?gender=female"), 412),
            (post(patient("3"), ifNoneExist="gender=female"), 412),
            (conditional("PUT", "Patient?surname=x", patient("3")), 400),
            (conditional("DELETE", "Patient"), 400),
        ):
            refused = await send(http, post(patient("4"), P), entry)
            assert refused.status_code == status, refused.text
            assert expressions(refused)[0].startswith("Bundle.entry[1]"), refused.text
        assert await count(http, "Patient") == 2
