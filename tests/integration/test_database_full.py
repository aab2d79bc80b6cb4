"""The database is full: nothing is half stored, everyone is told, no read goes unaudited; with more room all goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hl7_messages import orm
from tests.hospital import a_patient, an_order
from tests.real_server import RealServer

MakeServer = Callable[..., RealServer]
ROOM = 60  # pages beyond an empty database


@pytest.fixture
def small(real_server: MakeServer, tmp_path: Path, sqlite_template: Path) -> RealServer:
    """A running server whose database has little room."""
    pages = sqlite_template.stat().st_size // 4096 + ROOM
    server = real_server(
        command="serve",
        database_url=f"sqlite:///{tmp_path}/interop.db?max_page_count={pages}",
        orthanc_url="http://127.0.0.1:9",
    )
    server.start("/healthz")
    return server


def roomy(small: RealServer) -> RealServer:
    """The same data with room again."""
    assert small.stop() == 0
    small.environment["INTEROP_DATABASE_URL"] = small.settings.database.partition("?")[0]
    small.start("/healthz")
    return small


def fill(server: RealServer, order: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], httpx.Response]:
    """Post orders until one is refused: those that were taken, by placer number, and the refusal."""
    taken: dict[str, dict[str, Any]] = {}
    for number in range(1000):
        content = order | an_order(order["subject"]["reference"], f"E{number}")
        answer = server.http.post("/fhir/ServiceRequest", json=content)
        if answer.status_code != 201:
            return taken, answer
        taken[f"E{number}"] = answer.json()
    raise AssertionError("the database never filled")


def test_a_full_database_refuses_at_both_doors_and_goes_on_with_more_room(small: RealServer) -> None:
    patient = small.http.post("/fhir/Patient", json=a_patient()).json()
    order = an_order(f"Patient/{patient['id']}")
    taken, refusal = fill(small, order)
    assert refusal.status_code == 503
    assert int(refusal.headers["retry-after"]) > 0
    assert refusal.headers["content-type"] == "application/fhir+json"
    outcome = refusal.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert (outcome["issue"][0]["code"], outcome["issue"][0]["details"]["text"]) == (
        "transient",
        "the database is full",
    )

    acknowledged: list[str] = []
    for number in range(200):  # a smaller thing may still have found room
        told = small.send(orm(id=f"C{number}", placer=f"R{number}"))
        if told.get("MSA-1") != "AA":
            break
        acknowledged.append(f"R{number}")
    refused = len(acknowledged)
    assert (told.get("MSA-1"), told.get("MSA-2")) == ("AE", f"C{refused}")
    assert (told.get("ERR-3.1"), told.get("ERR-8")) == ("207", "the database is full")

    kept = {*taken, *acknowledged}
    held = small.read(lambda tx: {row.placer.value for row in tx.find_orders(limit=5000) if row.placer})
    assert held == kept, "exactly what was acknowledged"
    assert not small.read(lambda tx: tx.find_messages(control_id=f"C{refused}"))
    for path in ("/healthz", "/fhir/metadata"):
        assert small.http.get(path).status_code == 200
    one = f"ServiceRequest/{taken['E0']['id']}"
    reads = [small.http.get(f"/fhir/{one}") for _ in range(100)]
    assert {answer.status_code for answer in reads} <= {200, 503}
    answered = sum(answer.status_code == 200 for answer in reads)

    server = roomy(small)
    trail = server.http.get(f"/fhir/AuditEvent?entity={one}&subtype=read&_summary=count").json()
    assert trail["total"] == answered, "no read went without its audit event: what could not be audited was refused"
    for placer, before in taken.items():
        assert server.http.get(f"/fhir/ServiceRequest/{before['id']}").json()["identifier"] == before["identifier"]
        assert server.order(placer)["id"] == before["id"]
    assert server.send(orm(id=f"C{refused}", placer=f"R{refused}")).get("MSA-1") == "AA"
    again = server.http.post("/fhir/ServiceRequest", json=an_order(order["subject"]["reference"], f"E{len(taken)}"))
    assert again.status_code == 201
    held = server.read(lambda tx: {row.placer.value for row in tx.find_orders(limit=5000) if row.placer})
    assert held == {*kept, f"R{refused}", f"E{len(taken)}"}
