"""Bad input at the FHIR door: a clear answer, no partial effect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from interop.errors import ConflictError, UnavailableError
from interop.store import Store, Stored, Tx
from tests.fhir_door import JSON, PlainWriter, client, expressions, order, patient

CASES = [
    ("POST", "Patient", b"{", 400, "structure"),
    ("POST", "Patient", b"", 400, "structure"),
    ("POST", "Patient", b"[]", 400, "structure"),
    ("POST", "Patient", b'{"a":1}', 400, "structure"),
    ("POST", "Patient", b'{"resourceType":"Patient","resourceType":"Patient"}', 400, "structure"),
    ("POST", "Patient", b"\xff\xfe", 400, "structure"),
    ("POST", "Patient", b"[" * 100_000, 400, "structure"),
    ("POST", "Patient", b'{"resourceType":"Observation"}', 400, "invalid"),
    ("POST", "Patient", b'{"resourceType":"AuditEvent","entity":5}', 400, "invalid"),
    ("POST", "Patient", b'{"resourceType":{"a":1}}', 400, "invalid"),
    ("POST", "Patient", b'{"resourceType":"Patient","gender":"man"}', 422, "code-invalid"),
    ("POST", "Patient", b'{"resourceType":"Patient","active":"yes"}', 422, "value"),
    ("POST", "Patient", b'{"resourceType":"Patient","nam":[]}', 422, "structure"),
    (
        "POST",
        "ServiceRequest",
        b'{"resourceType":"ServiceRequest","status":"active","intent":"order"}',
        422,
        "required",
    ),
    ("POST", "Nothing", b"{}", 404, "not-supported"),
    ("POST", "Coverage", b"{}", 404, "not-supported"),
    ("GET", "Patient/$everything", b"", 404, "not-supported"),
    ("GET", "Patient/a/b", b"", 404, "not-found"),
    ("GET", "Patient/spaces are no id", b"", 400, "value"),
    ("PATCH", "Patient/1", b"{}", 400, "structure"),
    ("PATCH", "Patient", b"{}", 400, "structure"),
    ("PATCH", "AuditEvent/1", b"{}", 403, "forbidden"),
    ("DELETE", "Patient", b"", 400, "invalid"),
    ("PUT", "Patient", b'{"resourceType":"Patient"}', 400, "invalid"),
    ("PUT", "Patient/1/_history", b"{}", 405, "not-supported"),
    ("POST", "metadata", b"{}", 405, "not-supported"),
    ("GET", "", b"", 405, "not-supported"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), CASES)
async def test_bad_requests(store: Store, method: str, path: str, body: bytes, status: int, code: str) -> None:
    async with client(store) as http:
        refused = await http.request(method, path, content=body, headers=JSON)
        assert refused.status_code == status, refused.text
        outcome = refused.json()
        assert outcome["resourceType"] == "OperationOutcome"
        assert outcome["issue"][0]["code"] == code
        assert refused.headers["content-type"] == "application/fhir+json"
        if status == 405:
            assert refused.headers["allow"]
        assert (await http.get("Patient?_summary=count")).json()["total"] == 0


async def test_faults_say_where_they_are(store: Store) -> None:
    body = order("Patient/1", occurrenceDateTime="tomorrow", priority="now", code={"coding": [{"code": 5}]})
    del body["subject"]
    async with client(store) as http:
        refused = await http.post("ServiceRequest", json=body)
        assert refused.status_code == 422
        assert set(expressions(refused)) == {
            "ServiceRequest.subject",
            "ServiceRequest.occurrence",
            "ServiceRequest.priority",
            "ServiceRequest.code.coding[0].code",
        }


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "text/turtle", "application/json; charset=latin-1", "application/fhir+json; fhirVersion=5.0", ""],
)
async def test_another_content_type_is_415(store: Store, kind: str) -> None:
    async with client(store) as http:
        assert (await http.post("Patient", content=b"{}", headers={"Content-Type": kind})).status_code == 415


@pytest.mark.parametrize("path", ["Patient", "Patient/_search", "Binary", ""])
async def test_a_compressed_body_is_415(store: Store, path: str) -> None:
    kind = {"Patient/_search": "application/x-www-form-urlencoded", "Binary": "text/plain"}
    headers = {"Content-Type": kind.get(path, "application/fhir+json"), "Content-Encoding": "gzip"}
    async with client(store) as http:
        assert (await http.post(path, content=b"_count=1", headers=headers)).status_code == 415


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 200),
        ("application/fhir+json", 200),
        ("application/json", 200),
        ("text/html, */*;q=0.1", 200),
        ("application/fhir+json; fhirVersion=4.0", 200),
        ("application/fhir+xml", 200),
        ("application/fhir+turtle", 406),
        ("application/fhir+json; fhirVersion=3.0", 406),
        ("application/fhir+json;q=0", 406),
    ],
)
async def test_accept(store: Store, accept: str, status: int) -> None:
    async with client(store) as http:
        assert (await http.get("Patient", headers={"Accept": accept})).status_code == status


@pytest.mark.parametrize(
    ("format", "status"),
    [("json", 200), ("application/fhir+json", 200), ("application/fhir%2Bjson", 200), ("xml", 200), ("ttl", 406)],
)
async def test_format(store: Store, format: str, status: int) -> None:
    async with client(store) as http:
        headers = {"Accept": "text/turtle"}  # _format counts for more (http.html#mime-type)
        assert (await http.get(f"Patient?_format={format}", headers=headers)).status_code == status


async def test_a_body_beyond_the_limit_is_413_while_it_is_read(store: Store) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 1000

    async with client(store, max_bytes=5000) as http:
        declared = await http.post("Patient", content=b" " * 5001, headers=JSON)
        assert (declared.status_code, declared.json()["issue"][0]["code"]) == (413, "too-long")
        streamed = await http.post("Patient", content=endless(), headers=JSON)
        assert streamed.status_code == 413


class Refusing(PlainWriter):
    """A writer that stores and then refuses."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def create(self, tx: Tx, site: Any, resource: dict[str, Any], *, id: str | None = None) -> Stored:
        super().create(tx, site, resource, id=id)
        raise self.error


async def test_a_rule_that_refuses_undoes_what_was_written(store: Store) -> None:
    async with client(store, writer=Refusing(ConflictError("no"))) as http:
        assert (await http.post("Patient", json=patient())).status_code == 409
        assert (await http.get("Patient?_summary=count")).json()["total"] == 0


async def test_unavailable_says_when_to_come_back(store: Store) -> None:
    async with client(store, writer=Refusing(UnavailableError("full", retry_after=9))) as http:
        refused = await http.post("Patient", json=patient())
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "9")
        assert refused.json()["issue"][0]["code"] == "transient"


async def test_a_mistake_of_ours_tells_nothing_to_the_client_and_no_payload_to_the_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with client(store, writer=Refusing(ZeroDivisionError("secret"))) as http:
        refused = await http.post("Patient", json=patient())
        assert refused.status_code == 500
        assert "secret" not in refused.text
        assert "secret" not in caplog.text
        assert "ZeroDivisionError" in caplog.text
        assert refused.json()["issue"][0]["code"] == "exception"
        assert (await http.get("Patient?_summary=count")).json()["total"] == 0
