"""The FHIR door for tests: real routes over a real store, a writer without rules, and a client with chosen scopes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from interop.access import Agent
from interop.fhir.query import Query
from interop.fhir_api import HasZone, fhir_routes
from interop.store import Store, Stored, Tx

BASE = "http://test/fhir"
JSON = {"Content-Type": "application/fhir+json"}


@dataclass(frozen=True)
class PlainSite:
    """All that the door itself needs of a site."""

    zone: tzinfo = UTC


class PlainWriter:
    """Writes what it is given; the rules of orders and patients are somebody else's tests."""

    def foresee(self, tx: Tx, site: Any, resource: dict[str, Any], id: str | None = None) -> None:
        """Nothing is asked but what the door itself asks."""

    def create(self, tx: Tx, site: Any, resource: dict[str, Any], *, id: str | None = None) -> Stored:
        return tx.create(resource, id=id)

    def update(self, tx: Tx, site: Any, resource: dict[str, Any], if_match: int | None = None) -> Stored:
        return tx.update(resource)

    def delete(self, tx: Tx, site: Any, type: str, id: str) -> Stored:
        return tx.delete(type, id)


class As:
    """Middleware that lets every request come from one agent."""

    def __init__(self, app: ASGIApp, agent: Agent | None) -> None:
        self.app, self.agent = app, agent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.agent is not None:
            scope.setdefault("state", {})["agent"] = self.agent
        await self.app(scope, receive, send)


def agent(*scopes: str, who: str = "emr", patient: str | None = None) -> Agent:
    """An app with these scopes."""
    return Agent(who, scopes=frozenset(scopes or ("system/*.cruds",)), patient=patient, address="127.0.0.1")


def client(
    store: Store,
    by: Agent | None = None,
    *,
    site: HasZone = PlainSite(),
    writer: Any = None,
    max_bytes: int = 1_000_000,
    delete_multiple: bool = False,
) -> httpx.AsyncClient:
    """An HTTP client of the door."""
    routes = fhir_routes(
        store,
        site,
        writer=writer or PlainWriter(),
        base_url=BASE,
        max_bytes=max_bytes,
        delete_multiple=delete_multiple,
    )
    app = As(Starlette(routes=routes), by or agent())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE + "/")


def anonymous(store: Store) -> httpx.AsyncClient:
    """A client whose requests carry no agent."""
    routes = fhir_routes(store, PlainSite(), writer=PlainWriter(), base_url=BASE)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=Starlette(routes=routes)), base_url=BASE + "/")


def patient(value: str = "1", **more: Any) -> dict[str, Any]:
    """A patient with an identifier of that value."""
    return {"resourceType": "Patient", "identifier": [{"system": "urn:x:mrn", "value": value}], **more}


def order(subject: str, **more: Any) -> dict[str, Any]:
    """A service request for that patient."""
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": subject},
        **more,
    }


async def audited(store: Store) -> list[tuple[str, str, str | None, str | None]]:
    """Subtype, outcome, patient and entity of every audit event, oldest first."""
    rows = await store.view(lambda tx: tx.search(Query("AuditEvent", count=500)).rows)
    return [_told(row.resource()) for row in rows]


def _told(event: dict[str, Any]) -> tuple[str, str, str | None, str | None]:
    targets = [(e.get("role", {}).get("code"), e.get("what", {}).get("reference")) for e in event.get("entity", [])]
    person = next((reference for role, reference in targets if role == "1"), None)
    data = next((reference for role, reference in targets if role not in ("1", "24") and reference), None)
    subtype = event.get("subtype", [{}])[0].get("code", "")
    return subtype, event["outcome"], person, data


def expressions(response: httpx.Response) -> list[str]:
    """Where an OperationOutcome says the faults are."""
    return [path for issue in response.json()["issue"] for path in issue.get("expression", [])]
