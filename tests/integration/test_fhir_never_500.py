"""Whatever a client sends, it gets an answer of FHIR's, and never one that says this server made a mistake."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interop.fhir.json import dumps
from interop.fhir.search import known_parameters
from interop.fhir.xml_reading import from_xml
from interop.fhir.xml_writing import to_xml
from interop.store import open_store
from tests.fhir_door import client
from tests.fhir_resources import RIGHT

Ask = Callable[..., httpx.Response]
SETTINGS = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A door on a SQLite file, asked from plain functions."""
    loop = asyncio.new_event_loop()
    path: Path = tmp_path_factory.mktemp("never500") / "interop.db"
    store = loop.run_until_complete(open_store(f"sqlite:///{path}", synchronous="NORMAL"))
    http = client(store)
    yield lambda *given, **more: loop.run_until_complete(http.request(*given, **more))
    loop.run_until_complete(http.aclose())
    loop.run_until_complete(store.close())
    loop.close()


def is_fhir(answer: httpx.Response) -> None:
    assert answer.status_code != 500, answer.text
    if not answer.content:
        return
    kind = answer.headers["content-type"]
    assert kind in ("application/fhir+json", "application/fhir+xml")
    said = answer.json() if kind == "application/fhir+json" else from_xml(answer.content)
    if answer.status_code >= 400:
        assert said["resourceType"] == "OperationOutcome"
        assert said["issue"][0]["code"] != "exception"


SEGMENT = st.sampled_from(["Patient", "ServiceRequest", "_history", "_search", "1", "$x", "metadata", "a_b", "%00"])
METHOD = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
HEADERS = st.fixed_dictionaries(
    {
        "content-type": st.sampled_from(
            [
                "application/fhir+json",
                "application/json",
                "application/fhir+xml",
                "application/json-patch+json",
                "text/plain",
                "",
                ";",
            ]
        )
    },
    optional={
        "if-match": st.sampled_from(['W/"1"', '"1"', "1", "*", 'W/"99999999999"']),
        "if-none-match": st.sampled_from(['W/"1"', "*", "x", ""]),
        "if-modified-since": st.sampled_from(["Mon, 01 Jan 2001 00:00:00 GMT", "x", ""]),
        "if-none-exist": st.sampled_from(["identifier=1", "", "x=1", "identifier=%00", "identifier=a|b,c|d", "_id=1"]),
        "prefer": st.sampled_from(["return=minimal", "return=nothing", "handling=lenient"]),
        "accept": st.sampled_from(["*/*", "application/fhir+json;q=0.5", "application/fhir+xml", ";;", "a/b;q"]),
    },
)


@SETTINGS
@given(METHOD, st.lists(SEGMENT, max_size=5), st.text(max_size=20), HEADERS, st.binary(max_size=60))
def test_any_request(ask: Ask, method: str, path: list[str], query: str, headers: dict[str, str], body: bytes) -> None:
    answer = ask(method, "/".join(path), params=query, headers=headers, content=body)
    if method != "HEAD":
        is_fhir(answer)


STEPS = st.sampled_from(
    ["", "/", "/name", "/name/0", "/name/-", "/id", "/meta", "/identifier/0/value", "/a~1b", "/x/y"]
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": STEPS},
    optional={"from": STEPS, "value": st.none() | st.text(max_size=3) | st.sampled_from([[], {}, [{}], 1.5, True])},
)


@SETTINGS
@given(st.lists(OPERATIONS, max_size=4))
def test_any_json_patch(ask: Ask, operations: list[dict[str, Any]]) -> None:
    ask("PUT", "Patient/p", json={"resourceType": "Patient", "id": "p", "name": [{"family": "x"}]})
    answer = ask(
        "PATCH", "Patient/p", content=dumps(operations), headers={"content-type": "application/json-patch+json"}
    )
    is_fhir(answer)
    assert answer.status_code in (200, 400, 422)


PATHS = st.sampled_from(
    [
        "Patient",
        "Patient.name",
        "Patient.name[0]",
        "Patient.name.where(family = 'x')",
        "Patient.id",
        "Patient.meta.versionId",
        "Patient.deceased",
        "Patient.extension('urn:x')",
        "name.given.first()",
        "$this",
    ]
) | st.text(alphabet="Patientname.[]()'=0 $", max_size=20)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["add", "insert", "delete", "replace", "move"]), "path": PATHS},
    optional={
        "name": st.sampled_from(["name", "birthDate", "deceased", "id", "extension", "contact", "x"]),
        "index": st.integers(-1, 2),
        "source": st.integers(-1, 2),
        "destination": st.integers(-1, 2),
        "value": st.sampled_from(
            [
                {"valueString": "x"},
                {"valueBoolean": True},
                {"valueHumanName": {"family": "y"}},
                {"part": [{"name": "name", "valueHumanName": {"text": "n"}}]},
                {"part": [{"name": "url", "valueUri": "urn:x"}, {"name": "value", "valueString": "v"}]},
            ]
        ),
    },
)


@SETTINGS
@given(st.lists(PARTS, min_size=1, max_size=3))
def test_any_fhirpath_patch(ask: Ask, operations: list[dict[str, Any]]) -> None:
    ask("PUT", "Patient/p", json={"resourceType": "Patient", "id": "p", "name": [{"family": "x", "given": ["g"]}]})
    listed = [{"name": "operation", "part": [_part(*each) for each in one.items()]} for one in operations]
    answer = ask("PATCH", "Patient/p", json={"resourceType": "Parameters", "parameter": listed})
    is_fhir(answer)
    assert answer.status_code in (200, 400, 422)


def _part(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"name": name, **value}
    if isinstance(value, int):
        return {"name": name, "valueInteger": value}
    return {"name": name, "valueCode" if name == "type" else "valueString": value or "x"}


@SETTINGS
@given(st.sampled_from(RIGHT), st.data())
def test_any_xml(ask: Ask, resource: dict[str, Any], data: st.DataObject) -> None:
    document = bytearray(to_xml(resource))
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(document) - 1))
        document[start : start + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    answer = ask(
        "POST",
        resource["resourceType"],
        content=bytes(document),
        headers={"content-type": "application/fhir+xml", "accept": "application/fhir+xml"},
    )
    is_fhir(answer)


NAMES = st.sampled_from(
    [*known_parameters("ServiceRequest"), "subject:Patient", "requester:identifier", "_count", "_cursor"]
)
VALUES = st.text(max_size=15) | st.text(alphabet="0123456789-T:Z.+,|\\gelt/", max_size=22)


@SETTINGS
@given(st.sampled_from(["ServiceRequest", "Patient", "AuditEvent"]), st.lists(st.tuples(NAMES, VALUES), max_size=3))
def test_any_search(ask: Ask, type: str, params: list[tuple[str, str]]) -> None:
    answer = ask("GET", type, params=params)
    is_fhir(answer)
    assert answer.status_code in (200, 400)


PIECES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from(["#", "Patient/1", "urn:uuid:1"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "reference", "url", "_x"]), inner)
    ),
    max_leaves=5,
)


@st.composite
def altered(draw: st.DrawFn) -> dict[str, Any]:
    """A right resource in which something stands elsewhere, or something else."""
    resource = copy.deepcopy(draw(st.sampled_from(RIGHT)))
    for _ in range(draw(st.integers(0, 2))):
        node: Any = resource
        while isinstance(node, dict | list) and node:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = draw(st.sampled_from(keys))
            if not isinstance(node[key], dict | list) or draw(st.booleans()):
                node[key] = draw(PIECES)
                break
            node = node[key]
    return resource


@SETTINGS
@given(altered(), st.sampled_from([right["resourceType"] for right in RIGHT]), st.booleans())
def test_any_resource(ask: Ask, resource: dict[str, Any], other: str, put: bool) -> None:
    headers = {"content-type": "application/fhir+json"}
    named = resource.get("resourceType")
    type = named if isinstance(named, str) and named.isalpha() else other
    path = f"{type}/x" if put else f"{type}"
    is_fhir(
        ask("PUT" if put else "POST", path, content=dumps(resource | ({"id": "x"} if put else {})), headers=headers)
    )


ENTRIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "fullUrl": st.sampled_from(["urn:uuid:1", "urn:uuid:2", "http://test/fhir/Patient/1"]) | PIECES,
            "resource": altered() | PIECES,
            "request": st.fixed_dictionaries(
                {
                    "method": st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]) | PIECES,
                    "url": st.sampled_from(["Patient", "ServiceRequest", "Patient/1", "Patient?identifier=1", "x"])
                    | PIECES,
                },
                optional={"ifMatch": st.just('W/"1"') | PIECES, "ifNoneExist": st.just("identifier=1") | PIECES},
            ),
        },
    ),
    max_size=3,
)


@SETTINGS
@given(st.sampled_from(["batch", "transaction"]), ENTRIES | PIECES)
def test_any_bundle(ask: Ask, kind: str, entries: Any) -> None:
    body = dumps({"resourceType": "Bundle", "type": kind, "entry": entries})
    answer = ask("POST", "", content=body, headers={"content-type": "application/fhir+json"})
    is_fhir(answer)
    if kind == "batch" and answer.status_code == 200:
        for entry in answer.json().get("entry", []):
            assert entry["response"]["status"] != "500 Internal Server Error"
