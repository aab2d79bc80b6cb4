"""/api/v1/hl7: who may see and steer messages, and what they are told."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from interop.fhir.query import Query
from tests.hl7_messages import adt, orm
from tests.hospital import Hospital
from tests.unit.web.conftest import Web

BASE = "/api/v1/hl7/messages"


async def some(web: Web) -> Hospital:
    """An order, a change to one that is not there, and its patient."""
    hospital = Hospital(web.store)
    await hospital.send(orm(id="C1"))
    await hospital.send(orm("XO", "NOBODY", id="C2"))
    await hospital.send(adt(id="C3"))
    return hospital


async def test_messages_are_listed_page_by_page(web: Web) -> None:
    await some(web)
    async with web.client(headers=web.bearer()) as client:
        first = (await client.get(f"{BASE}?limit=2")).json()
        second = (await client.get(f"{BASE}?limit=2&before={first['next']}")).json()
    assert [line["control_id"] for line in first["messages"] + second["messages"]] == ["C3", "C2", "C1"]
    assert second["next"] is None
    refused = first["messages"][1]
    assert (refused["state"], refused["ack_code"], refused["issues"][0]["location"]) == ("refused", "AE", "ORC-2")
    assert "raw" not in refused
    assert second["messages"][0]["touched"][0].startswith("Patient/")


async def test_one_comes_with_its_bytes(web: Web) -> None:
    await some(web)
    async with web.client(headers=web.bearer()) as client:
        (line,) = (await client.get(f"{BASE}?control-id=C1")).json()["messages"]
        shown = (await client.get(f"{BASE}/{line['id']}")).json()
        raw = await client.get(f"{BASE}/{line['id']}/raw")
    assert b64decode(shown["raw"]) == raw.content == orm(id="C1")
    assert b"MSA|AA|C1" in b64decode(shown["ack"])
    assert raw.headers["content-type"] == "application/octet-stream"
    assert [one.event.subtype for one in await web.events(kind="steering")].count("show") == 2


async def test_a_refused_message_is_replayed(web: Web) -> None:
    hospital = await some(web)
    await hospital.send(orm(placer="NOBODY", id="C4"))
    async with web.client(headers=web.bearer(who="eng")) as client:
        (line,) = (await client.get(f"{BASE}?state=refused")).json()["messages"]
        done = await client.post(f"{BASE}/{line['id']}/replay")
    assert done.json() == {"id": line["id"], "state": "received", "ack_code": "AA", "text": "carried out"}
    (event,) = [one for one in await web.events(kind="steering") if one.event.subtype == "replay"]
    assert (event.agent.who, event.event.action) == ("eng", "U")
    assert event.event.patient.startswith("Patient/")


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("colour=red", "'colour' is not asked here"),
        ("state=lost", "state is one of"),
        ("direction=up", "direction is one of"),
        ("limit=0", "limit is a number"),
        ("limit=100000", "limit is a number"),
        ("before=x", "before is a number"),
        ("since=yesterday", "is not a moment"),
        ("type=", "1 to 200 characters"),
        ("type=ORM&type=ORU", "asked once"),
    ],
)
async def test_a_question_that_is_none_is_refused(web: Web, question: str, said: str) -> None:
    async with web.client(headers=web.bearer()) as client:
        answer = await client.get(f"{BASE}?{question}")
    assert answer.status_code == 400
    assert said in answer.text


async def test_the_feeds_standing_needs_s_and_leaves_no_audit_row(web: Web) -> None:
    await some(web)
    async with web.client() as client:
        refused = await client.get("/api/v1/hl7", headers=web.bearer("system/MessageHeader.rud"))
        allowed = await client.get("/api/v1/hl7", headers=web.bearer("system/MessageHeader.s"))
    assert (refused.status_code, allowed.status_code) == (403, 200)
    assert set(allowed.json()) == {"at", "listener", "peers"}
    assert await web.events(kind="steering") == []


CALLS = (
    ("GET", "", "s"),
    ("GET", "/1", "r"),
    ("GET", "/1/raw", "r"),
    ("POST", "/1/replay", "u"),
    ("POST", "/1/drop", "d"),
)


@pytest.mark.parametrize(("method", "path", "letter"), CALLS)
async def test_each_act_needs_its_letter(web: Web, method: str, path: str, letter: str) -> None:
    await some(web)
    others = "cruds".replace(letter, "")
    statuses: dict[str, Any] = {}
    refused = {"none": {}, "others": web.bearer(f"system/MessageHeader.{others}", "system/Patient.cruds")}
    refused["patient"] = web.bearer("patient/*.cruds", patient="p1")
    async with web.client() as client:
        for name, headers in refused.items():
            statuses[name] = (await client.request(method, BASE + path, headers=headers)).status_code
        allowed = await client.request(method, BASE + path, headers=web.bearer(f"system/MessageHeader.{letter}"))
    assert statuses == {"none": 401, "others": 403, "patient": 403}
    assert allowed.status_code in (200, 422)


async def test_what_is_not_there_is_404(web: Web) -> None:
    async with web.client(headers=web.bearer()) as client:
        for path in ("/99", "/99/raw"):
            assert (await client.get(BASE + path)).status_code == 404
        assert (await client.post(f"{BASE}/99/resend")).status_code == 404
        assert (await client.post(f"{BASE}/99/explode")).status_code in (404, 405)
        assert (await client.get(f"{BASE}/{2**70}")).status_code == 404


async def test_listing_is_written_down_with_its_question(web: Web) -> None:
    async with web.client(headers=web.bearer()) as client:
        await client.get(f"{BASE}?state=dead")
    rows = await web.store.view(lambda tx: tx.audit_rows(Query("AuditEvent")))
    assert f"GET {BASE}?state=dead" in {row.event.query for row in rows}
