"""/openapi.json tells the truth: every route is in it, and nothing that is none."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from interop.dicomweb.paths import STORING, parse
from interop.dicomweb.wado_uri import PATH as WADO_URI
from interop.fhir.profile import CONFORMANCE_TYPES, accepted_types
from interop.fhir_api.operations import OPERATIONS
from interop.fhir_api.routing import FORMS, interactions, resolve, segments_of
from interop.http_description import descriptions, patterns
from tests.fhir_resources import RIGHT

FILL = {
    "id": "x",
    "vid": "1",
    "study": "1.2",
    "series": "1.2",
    "instance": "1.2",
    "uid": "1.2",
    "frames": "1",
    "tag": "7FE00010",
    "study_uid": "1.2",
    "code": "x" * 43,
    "type": "Patient",
    "path": "index.html",
}


def concrete(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: FILL[found[1]], path)


@pytest.fixture
async def openapi(web: Any) -> dict[str, Any]:
    async with web.client(headers=web.bearer()) as client:
        answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def operations(openapi: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method.upper(), operation)
        for path, item in openapi["paths"].items()
        for method, operation in item.items()
    ]


async def test_every_route_is_in_it_and_nothing_that_is_none(web: Any, openapi: dict[str, Any]) -> None:
    table = set(patterns(web.http.routes))
    described = [operation for description in descriptions() for operation in description.operations]
    listed = {(method, path) for path, method, _ in operations(openapi)}
    assert {(each.method, each.path) for each in described} == listed, "all doors are there"
    assert len(described) == len(listed) == len({each.id for each in described})
    by_route = {(each.method, each.pattern) for each in described}
    wide = {("", "/fhir"), ("", "/fhir/{path:path}"), ("", "/dicom-web/{rest:path}")}
    assert {row for row in table if row[0]} == {row for row in by_route if ("", row[1]) not in wide}
    assert {row for row in table if not row[0]} == wide


def test_the_fhir_paths_are_those_of_its_grammar() -> None:
    fhir = next(each for each in descriptions() if each.tag == "fhir")
    told = set()
    for each in fhir.operations:
        if each.pattern in ("/fhir", "/fhir/{path:path}"):
            target = resolve(each.method, segments_of(concrete(each.path).removeprefix("/fhir")))
            told.add((target.interaction, target.type, target.operation))
    forms = {i for form, does in FORMS.items() if form.startswith("type") for i in does.values()}
    for type in (*accepted_types(), *CONFORMANCE_TYPES):
        assert {i for i, t, _ in told if t == type and i != "operation"} == interactions(type) & forms
    wanted = {
        (name, type)
        for name, operation in OPERATIONS.items()
        for type in accepted_types()
        if operation.offered("type", type) or operation.offered("instance", type)
    }
    assert {(name, type) for _, type, name in told if name} == wanted


def test_the_dicomweb_paths_are_those_of_its_grammar() -> None:
    dicomweb = next(each for each in descriptions() if each.tag == "dicomweb")
    kinds = set()
    for each in dicomweb.operations:
        path = concrete(each.path)
        if each.method == "POST":
            assert STORING.fullmatch(path)
        elif path not in (WADO_URI, "/api/v1/dicomweb"):
            kinds.add(parse(path).kind)
    assert kinds == {"search", "search-in-study", "retrieve", "metadata", "frames", "rendered", "bulk"}


def test_every_reference_in_it_leads_somewhere(openapi: dict[str, Any]) -> None:
    found = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found.add(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(openapi)
    for name in found:
        _, _, section, key = name.split("/", 3)
        assert key in openapi["components"][section], name


async def test_paths_name_their_parameters(openapi: dict[str, Any]) -> None:
    for path, method, operation in operations(openapi):
        given = list(operation.get("parameters", []))
        for index, one in enumerate(given):
            if "$ref" in one:
                given[index] = openapi["components"]["parameters"][one["$ref"].rpartition("/")[2]]
        named = [(one["in"], one["name"]) for one in given]
        assert len(named) == len(set(named)), (method, path)
        assert {name for place, name in named if place == "path"} == set(re.findall(r"\{(\w+)\}", path)), (method, path)


@pytest.mark.parametrize("resource", RIGHT, ids=lambda each: each["resourceType"])
async def test_what_is_right_fits_its_schema(openapi: dict[str, Any], resource: dict[str, Any]) -> None:
    pointer = {"$ref": f"#/components/schemas/{resource['resourceType']}", "components": openapi["components"]}
    validator = jsonschema.Draft202012Validator(pointer)
    validator.validate(resource)
    assert not validator.is_valid({**resource, "surely-unknown": 1})


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/v1/launch", {"POST"}),
        ("POST", "/openapi.json", {"GET", "HEAD"}),
        ("DELETE", "/api/v1/imaging/studies/1.2/match", {"GET", "HEAD", "POST"}),
        ("PUT", "/fhir/bulk/x", {"GET", "HEAD", "DELETE"}),
        ("DELETE", "/fhir/$export", {"GET", "HEAD", "POST"}),
        ("PUT", "/dicom-web/studies", {"GET", "POST"}),
        ("POST", "/dicom-web/series", {"GET"}),
    ],
)
async def test_a_method_that_a_path_does_not_take(web: Any, method: str, path: str, allow: set[str]) -> None:
    async with web.client(headers=web.bearer()) as client:
        answer = await client.request(method, path)
    assert answer.status_code == 405, answer.text
    assert {each.strip() for each in answer.headers["allow"].split(",")} == allow
    if path.startswith("/fhir"):
        assert answer.json()["resourceType"] == "OperationOutcome"
    else:
        assert answer.headers["content-type"] == "application/problem+json"


async def test_it_needs_a_bearer(web: Any) -> None:
    async with web.client() as client:
        assert (await client.get("/openapi.json")).status_code == 401


def test_cookies_are_named_as_they_can_be_sent(openapi: dict[str, Any]) -> None:
    schemes = openapi["components"]["securitySchemes"]
    cookies = {each["name"] for each in schemes.values() if each.get("in") == "cookie"}
    assert cookies
    assert all(re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", name, re.ASCII) for name in cookies)  # RFC 6265 4.1.1
    assert re.fullmatch("interop_viewer_[0-9a-f]{8}", schemes["viewer"]["name"])
