"""What /openapi.json promises is kept: requests that schemathesis makes of it, against the running server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.real_server import RealServer

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# In the suite: the doors beside FHIR, and of FHIR what stands for the other types.
USUAL = ("/api/", "/fhir/bulk/", "/fhir/Patient/{id}", "/fhir/_history", "/fhir/StructureDefinition", "/fhir/Slot")
APART = ("/dicom-web/", "/{path}", "/viewer", "/console", "/login", "/readyz")  # no client makes these up


def promised(server: RealServer, chosen: Callable[[str], bool], examples: int) -> Counter[int]:
    """Make requests of every chosen operation, hold each answer against the document; how often each status came."""
    document = server.http.get("/openapi.json").json()
    statuses: Counter[int] = Counter()
    headers = {"Authorization": server.http.headers["Authorization"]}
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        if not chosen(operation.path):
            continue

        @settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def kept(case: Any) -> None:
            answer = case.call(base_url=server.settings.base_url, headers=headers, timeout=60)
            case.validate_response(answer, checks=CHECKS)
            if (
                case.path.startswith("/fhir/")
                and answer.status_code >= 400
                and "json" in answer.headers["content-type"][0]
            ):
                assert answer.json()["resourceType"] == "OperationOutcome"
            statuses[answer.status_code] += 1

        kept()
    return statuses


def test_what_the_document_promises_is_kept(shared_server: RealServer) -> None:
    statuses = promised(shared_server, lambda path: path.startswith(USUAL) and not path.startswith(APART), 2)
    assert statuses[200] > 20, statuses
    assert sum(statuses.values()) > 100, statuses


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_the_document_promises_is_kept_at_length(shared_server: RealServer) -> None:
    statuses = promised(shared_server, lambda path: not path.startswith(APART), 40)
    assert sum(statuses.values()) > 5000, statuses
