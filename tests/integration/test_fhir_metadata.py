"""/fhir/metadata says what the routes do, no more and no less."""

from __future__ import annotations

from typing import Any

import pytest

from interop.fhir.capability import capability
from interop.fhir.json import dumps, loads
from interop.fhir.profile import accepted_types
from interop.fhir.validation import validate
from interop.fhir_api.incoming import JSON_PATCH
from interop.fhir_api.metadata import statement as statement_of
from interop.fhir_api.negotiation import MEDIA_TYPES
from interop.fhir_api.routing import FORMS
from interop.store import Store
from tests.fhir_door import BASE, JSON, client

REQUESTS = {
    "read": ("GET", "{type}/x"),
    "vread": ("GET", "{type}/x/_history/1"),
    "create": ("POST", "{type}"),
    "update": ("PUT", "{type}/x"),
    "patch": ("PATCH", "{type}/x"),
    "delete": ("DELETE", "{type}/x"),
    "history-instance": ("GET", "{type}/x/_history"),
    "history-type": ("GET", "{type}/_history"),
    "search-type": ("GET", "{type}"),
}


def rest() -> dict[str, Any]:
    statement: dict[str, Any] = loads(statement_of(BASE))["rest"][0]
    return statement


async def test_the_statement_is_a_correct_resource(store: Store) -> None:
    async with client(store) as http:
        answer = await http.get("metadata")
        assert answer.status_code == 200
        statement = answer.json()
        validate(statement, type="CapabilityStatement")
        assert (statement["fhirVersion"], statement["implementation"]["url"]) == ("4.0.1", BASE)
        assert statement["rest"][0] == rest()


async def test_what_it_lists_is_answered_and_what_it_does_not_list_is_refused(store: Store) -> None:
    async with client(store) as http:
        for resource in rest()["resource"]:
            offered = {interaction["code"] for interaction in resource["interaction"]}
            for code, (method, path) in REQUESTS.items():
                json = {"resourceType": resource["type"], "id": "x"} if method in ("POST", "PUT") else None
                kind = {"Content-Type": "application/json-patch+json"} if method == "PATCH" else JSON
                body = b"[]" if method == "PATCH" else dumps(json) if json else None
                answer = await http.request(method, path.format(type=resource["type"]), content=body, headers=kind)
                if code in offered:
                    assert answer.status_code in (200, 201, 204, 404, 422), (code, resource["type"], answer.text)
                else:
                    assert answer.status_code in (403, 405), (code, resource["type"], answer.text)


EXAMPLES = {
    "token": "x",
    "reference": "Patient/x",
    "date": "2026",
    "string": "x",
    "uri": "urn:x",
    "quantity": "5",
    "composite": "x$2026",
    "special": "35|33|5|km",
    "deceased": "true",
    "_filter": "_id eq x or not (_lastUpdated ge 2026)",
}


async def test_every_parameter_it_lists_is_searched_and_no_other(store: Store) -> None:
    async with client(store) as http:
        for resource in rest()["resource"]:
            type = resource["type"]
            listed = [parameter["name"] for parameter in resource["searchParam"]]
            for parameter in resource["searchParam"]:
                answer = await http.get(
                    type, params={parameter["name"]: EXAMPLES.get(parameter["name"]) or EXAMPLES[parameter["type"]]}
                )
                assert answer.status_code == 200, (type, parameter, answer.text)
            refused = await http.get(f"{type}?surely-unknown=1")
            assert refused.status_code == 400
            text = refused.json()["issue"][0]["details"]["text"]
            assert all(f" {name}" in text for name in listed)
            offers = await http.get(type, params={"_filter": EXAMPLES["_filter"]})
            assert (offers.status_code == 200) is ("_filter" in listed), type


async def test_the_operations_it_lists_are_answered_and_others_are_not(store: Store) -> None:
    async with client(store) as http:
        for resource in rest()["resource"]:
            for row in resource.get("operation", ()):
                paths = (f"{resource['type']}/${row['name']}", f"{resource['type']}/x/${row['name']}")
                answers = [await http.post(path) for path in paths]
                told = [one.json()["issue"][0]["code"] if one.is_error else "answered" for one in answers]
                assert any(code != "not-supported" for code in told), (resource["type"], row)
            assert (await http.post(f"{resource['type']}/$surely-unknown")).status_code == 404


@pytest.mark.parametrize("code", ["transaction", "batch"])
async def test_system_interactions(store: Store, code: str) -> None:
    assert {"code": code} in rest()["interaction"]
    async with client(store) as http:
        answer = await http.post("", json={"resourceType": "Bundle", "type": code})
        assert answer.status_code == 200


def test_the_statement_is_made_of_the_routes_and_tables() -> None:
    systemwide = {code for form in ("", "_history") for code in FORMS[form].values()}
    assert {each["code"] for each in rest()["interaction"]} == (systemwide - {"bundle"}) | {"transaction", "batch"}
    routed = {code for form, methods in FORMS.items() if form.startswith("type") for code in methods.values()}
    for resource in rest()["resource"]:
        accepted = accepted_types().get(resource["type"])
        if accepted is None:  # a definition of ours
            continue
        offered = {each["code"] for each in resource["interaction"]}
        assert offered == accepted.interactions & routed
        assert resource["conditionalCreate"] is ("create" in offered)
        assert resource["conditionalUpdate"] is resource["updateCreate"] is ("update" in offered)
        assert resource["conditionalRead"] == "full-support"
        assert resource["conditionalDelete"] == ("single" if "delete" in offered else "not-supported")
        assert ("patch" in offered) is ("update" in offered)
    statement = capability(base_url=BASE, version="1", date="2026-01-01")
    assert {form for form in statement["format"] if "/" in form} == set(MEDIA_TYPES.values())
    assert set(statement["patchFormat"]) == {JSON_PATCH, *MEDIA_TYPES.values()}
    everything = capability(base_url=BASE, version="1", date="2026-01-01", delete_multiple=True)
    deletes = {resource.get("conditionalDelete") for resource in everything["rest"][0]["resource"]}
    assert deletes == {"multiple", "not-supported", None}
