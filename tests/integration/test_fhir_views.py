"""_format, _pretty, _summary, _elements: https://hl7.org/fhir/R4/search.html#summary, http.html#mime-type"""

from __future__ import annotations

from typing import Any

import pytest

from interop.fhir.summary import SUBSETTED
from interop.store import Store
from tests.fhir_door import client, expressions, patient

WHOLE: dict[str, Any] = patient(
    id="a",
    text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    gender="female",
    birthDate="1970-03-01",
    maritalStatus={"text": "m"},
    contact=[{"name": {"text": "n"}}],
    link=[{"other": {"reference": "RelatedPerson/x"}, "type": "seealso"}],
    meta={"tag": [{"code": "own"}]},
)
VIEWS = {
    "_summary=true": {"identifier", "gender", "birthDate", "link"},
    "_summary=text": {"text"},
    "_summary=data": {"identifier", "gender", "birthDate", "link", "maritalStatus", "contact"},
    "_elements=gender,contact": {"gender", "contact"},
    "_elements=name": set(),
}


@pytest.mark.parametrize("query", list(VIEWS))
async def test_a_part_is_tagged_as_one(store: Store, query: str) -> None:
    async with client(store) as http:
        assert (await http.put("Patient/a", json=WHOLE)).status_code == 201
        read = (await http.get(f"Patient/a?{query}")).json()
        assert read.keys() - {"resourceType", "id", "meta"} == VIEWS[query]
        assert read["meta"]["tag"] == [{"code": "own"}, SUBSETTED]
        assert read["meta"]["versionId"] == "1"
        for path in ("Patient", "Patient/a/_history"):
            bundle = (await http.get(f"{path}?{query}")).json()
            assert [entry["resource"] for entry in bundle["entry"]] == [read]
            assert query.replace(",", "%2C") in bundle["link"][0]["url"].replace(",", "%2C")
        posted = await http.post("Patient/_search", data=dict([query.split("=")]))  # type: ignore[arg-type]
        assert posted.json()["entry"][0]["resource"] == read
        batch = {"resourceType": "Bundle", "type": "batch"}
        batch |= {"entry": [{"request": {"method": "GET", "url": f"Patient/a?{query}"}}]}
        assert (await http.post("", json=batch)).json()["entry"][0]["resource"] == read


async def test_what_is_mandatory_stays(store: Store) -> None:
    async with client(store) as http:
        report = {"resourceType": "DiagnosticReport", "id": "r", "status": "final", "code": {"text": "c"}}
        await http.put("DiagnosticReport/r", json={**report, "conclusion": "fine", "issued": "2026-01-01T00:00:00Z"})
        for query in ("_summary=text", "_elements=issued"):
            read = (await http.get(f"DiagnosticReport/r?{query}")).json()
            assert read["status"] == "final"
            assert read["code"] == {"text": "c"}
            assert "conclusion" not in read


async def test_decimals_and_choices_survive_a_view(store: Store) -> None:
    body = (
        b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10}}'
    )
    async with client(store) as http:
        await http.put("Observation/o", content=body, headers={"Content-Type": "application/fhir+json"})
        read = await http.get("Observation/o?_elements=value")
        assert b'"valueQuantity":{"value":1.10}' in read.content


@pytest.mark.parametrize(
    "query", ["_summary=most", "_elements=", "_elements=surname", "_summary=true&_elements=gender"]
)
async def test_what_is_no_view_is_refused(store: Store, query: str) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=WHOLE)
        assert (await http.get(f"Patient/a?{query}")).status_code == 400
        assert (await http.get(f"Patient?{query}")).status_code == 400


async def test_a_part_does_not_replace_the_whole(store: Store) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=WHOLE)
        part = (await http.get("Patient/a?_summary=true")).json()
        refused = await http.put("Patient/a", json=part)
        assert (refused.status_code, expressions(refused)) == (422, ["Patient.meta.tag"])


async def test_the_statement_may_be_read_in_part(store: Store) -> None:
    async with client(store) as http:
        part = (await http.get("metadata?_elements=fhirVersion")).json()
        assert part["fhirVersion"] == "4.0.1"
        assert "rest" not in part


@pytest.mark.parametrize(
    ("accept", "query", "status"),
    [
        ("application/fhir+json", "", 200),
        ("application/json;q=0.5, text/html", "", 200),
        ("*/*", "", 200),
        ("application/fhir+json; fhirVersion=4.0", "", 200),
        ("application/fhir+json; fhirVersion=3.0", "", 406),
        ("text/html", "", 406),
        ("application/json;q=0", "", 406),
        ("text/html", "?_format=json", 200),
        ("*/*", "?_format=application/fhir+json", 200),
        ("*/*", "?_format=text/turtle", 406),
    ],
)
async def test_formats(store: Store, accept: str, query: str, status: int) -> None:
    async with client(store) as http:
        await http.put("Patient/a", json=WHOLE)
        answer = await http.get(f"Patient/a{query}", headers={"Accept": accept})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/fhir+json"
        if status == 406:
            assert answer.json()["issue"][0]["code"] == "not-supported"


async def test_errors_too_are_indented_when_asked(store: Store) -> None:
    async with client(store) as http:
        assert b'\n  "issue"' in (await http.get("Patient/nobody?_pretty=true")).content
