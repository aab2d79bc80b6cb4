"""The audit trail: lean rows in, AuditEvents out, found by patient, agent, entity, date and codes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from interop.access.agent import Agent
from interop.audit.event import AuditRow, Event
from interop.errors import UnsupportedError
from interop.fhir.names import DCM, STUDY_UID
from interop.fhir.query import Clause, DateValue, Query, ReferenceValue, TokenValue
from interop.store import Store, Tx, open_store
from interop.store.instants import micros

DOCTOR = Agent("dr", name="Dr Νίκη", client="ohif", address="192.0.2.1", token_id="t1", request_id="r1")
RIS = Agent("RIS|HOSP", kind="peer")
READ = Event("rest", "read", "R", patient="Patient/p1", entity="ServiceRequest/s1/_history/2")
SEARCH = Event("rest", "search-type", "E", query="patient=p2", patient="Patient/p2")
ORM = Event("hl7", "ORM^O01", "C", outcome="4", detail="duplicate")
WADO = Event("dicom-transfer", "wado-rs", "R", entity="urn:oid:1.2.3", dedupe_key="dr|1.2.3|wado-rs|1")


async def record(store: Store, agent: Agent, *events: Event) -> None:
    def work(tx: Tx) -> None:
        for event in events:
            tx.audit(event)

    await store.unit(agent, work)


@pytest.fixture
async def filled(store: Store) -> Store:
    await record(store, DOCTOR, READ, SEARCH)
    await record(store, RIS, ORM)
    await record(store, DOCTOR, WADO)
    return store


async def found(store: Store, *clauses: Clause, **options: Any) -> list[Event]:
    query = Query("AuditEvent", clauses, **options)
    return [row.event for row in await store.view(lambda tx: tx.audit_rows(query))]


def reference(param: str, type: str | None, id: str) -> Clause:
    return Clause(param, "reference", (ReferenceValue(type, id),))


def token(param: str, system: str | None, code: str | None) -> Clause:
    return Clause(param, "token", (TokenValue(system, code),))


async def test_a_row_reads_back_with_its_agent(filled: Store) -> None:
    rows = await filled.view(lambda tx: tx.audit_rows(Query("AuditEvent")))
    assert [row.event for row in rows] == [READ, SEARCH, ORM, WADO]
    assert [row.agent for row in rows] == [DOCTOR, DOCTOR, RIS, DOCTOR]
    assert len({row.id for row in rows}) == 4


async def test_searches_find_by_every_parameter(filled: Store) -> None:
    for clause, expected in (
        (reference("patient", "Patient", "p1"), [READ]),
        (reference("patient", None, "p2"), [SEARCH]),
        (reference("patient", "Group", "p1"), []),
        (reference("entity", "ServiceRequest", "s1"), [READ]),
        (reference("entity", None, "s1"), [READ]),
        (reference("entity", None, "s_"), []),
        (reference("entity", "ServiceRequest", "s"), []),
        (reference("entity", "Patient", "p2"), [SEARCH]),
        (reference("entity", None, "urn:oid:1.2.3"), [WADO]),
        (token("entity", STUDY_UID, "urn:oid:1.2.3"), [WADO]),
        (token("entity", "urn:other", "urn:oid:1.2.3"), []),
        (reference("agent", None, "dr"), [READ, SEARCH, WADO]),
        (token("agent", None, "dr"), [READ, SEARCH, WADO]),
        (token("agent", "RIS", "HOSP"), [ORM]),
        (Clause("agent", "string", ("RIS",)), [ORM]),
        (token("outcome", None, "4"), [ORM]),
        (token("outcome", "http://hl7.org/fhir/audit-event-outcome", "4"), [ORM]),
        (token("outcome", "urn:other", "4"), []),
        (token("action", None, "R"), [READ, WADO]),
        (token("type", None, "rest"), [READ, SEARCH]),
        (token("type", "http://terminology.hl7.org/CodeSystem/audit-event-type", "rest"), [READ, SEARCH]),
        (token("type", DCM, None), [ORM, WADO]),
        (token("type", DCM, "rest"), []),
        (token("subtype", None, "search-type"), [SEARCH]),
        (token("subtype", "http://hl7.org/fhir/restful-interaction", None), [READ, SEARCH]),
        (token("subtype", "http://terminology.hl7.org/CodeSystem/v2-0003", "O01"), [ORM]),
        (Clause("outcome", "token", (TokenValue(None, "4"), TokenValue(None, "8"))), [ORM]),
    ):
        assert await found(filled, clause) == expected, clause
    assert await found(filled, reference("agent", None, "dr"), token("action", None, "R")) == [READ, WADO]


async def test_a_patient_is_found_by_identifier_too(store: Store) -> None:
    made = {"resourceType": "Patient", "identifier": [{"system": "urn:id", "value": "7"}]}
    patient = await store.unit(DOCTOR, lambda tx: tx.create(made))
    event = Event("rest", "read", "R", patient=patient.reference)
    await record(store, DOCTOR, event, READ)
    assert await found(store, token("patient", "urn:id", "7")) == [event]
    assert await found(store, token("patient", None, "8")) == []


async def test_dates_and_ids(filled: Store) -> None:
    rows = await filled.view(lambda tx: tx.audit_rows(Query("AuditEvent")))
    moment = micros(rows[0].recorded)
    assert READ in await found(filled, Clause("date", "date", (DateValue("eq", moment, moment + 1000),)))
    hour = 3_600_000_000
    assert await found(filled, Clause("date", "date", (DateValue("lt", moment, moment + 1000),))) == []
    assert len(await found(filled, Clause("_lastUpdated", "last-updated", (DateValue("ge", moment, moment),)))) == 4
    assert await found(filled, Clause("date", "date", (DateValue("sa", moment + hour, moment + hour + 1),))) == []
    assert await found(filled, Clause("_id", "id", (rows[2].id, "nonsense", "f" * 16 + "-" + "f" * 16))) == [ORM]


async def test_an_event_is_read_as_the_resource_it_stands_for(filled: Store) -> None:
    page = await filled.view(lambda tx: tx.search(Query("AuditEvent", total=True, count=2)))
    assert page.total == 4
    first = page.rows[0]
    assert first.resource()["resourceType"] == "AuditEvent"
    assert first.resource()["id"] == first.id
    assert await filled.view(lambda tx: tx.get("AuditEvent", first.id)) == first
    assert await filled.view(lambda tx: tx.read("AuditEvent", first.id, 1)) == first
    assert await filled.view(lambda tx: tx.read("AuditEvent", first.id, 2)) is None
    assert await filled.view(lambda tx: tx.read("AuditEvent", "f" * 16 + "-" + "f" * 16)) is None
    assert await filled.view(lambda tx: tx.read("AuditEvent", "other")) is None
    with pytest.raises(UnsupportedError):
        await filled.view(lambda tx: tx.history("AuditEvent", None))


async def test_pages_follow_the_instants_both_ways(store: Store) -> None:
    for number in range(5):
        await record(store, DOCTOR, Event("rest", "read", "R", entity=f"Basic/{number}"))
        await asyncio.sleep(0.001)
    for sort, expected in (("_lastUpdated", [0, 1, 2, 3, 4]), ("-_lastUpdated", [4, 3, 2, 1, 0])):
        seen: list[int] = []
        after = None
        while True:
            query = Query("AuditEvent", (), 2, sort, after)
            page = await store.view(lambda tx, q=query: tx.search(q))
            events = await store.view(lambda tx, q=query: tx.audit_rows(q))
            seen += [int((row.event.entity or "").removeprefix("Basic/")) for row in events]
            if page.next is None:
                break
            after = page.next
        assert seen == expected
        back = await store.view(lambda tx, p=page, s=sort: tx.search(Query("AuditEvent", (), 2, s, p.previous)))
        assert len(back.rows) == 2


async def test_a_second_event_of_one_key_is_not_stored(store: Store) -> None:
    await record(store, DOCTOR, WADO, WADO)
    await record(store, DOCTOR, WADO)
    assert await found(store) == [WADO]
    await asyncio.gather(*(record(store, DOCTOR, Event("rest", "read", "R", dedupe_key="same")) for _ in range(20)))
    assert len(await found(store)) == 2


async def test_an_unknown_parameter_is_refused_with_the_known_ones(store: Store) -> None:
    with pytest.raises(UnsupportedError, match="entity"):
        await found(store, token("site", None, "x"))


async def test_the_observer_is_whoever_opened_the_store(database_url: str) -> None:
    def as_resource(row: AuditRow) -> dict[str, Any]:
        return {"resourceType": "AuditEvent", "id": row.id, "source": {"site": "mine"}}

    store = await open_store(database_url, audit_resource=as_resource)
    await record(store, DOCTOR, READ)
    page = await store.view(lambda tx: tx.search(Query("AuditEvent")))
    assert page.rows[0].resource()["source"] == {"site": "mine"}
    await store.close()


async def test_instants_have_the_precision_they_show(filled: Store) -> None:
    rows = await filled.view(lambda tx: tx.audit_rows(Query("AuditEvent")))
    assert all(row.recorded.microsecond % 1000 == 0 and row.recorded.utcoffset() == timedelta(0) for row in rows)
