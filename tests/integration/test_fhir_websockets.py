"""Subscriptions by websocket: the real server, store and jobs, and the client of the websockets library."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from interop import http_server
from interop.fhir import subscriptions as asked
from interop.fhir_socket import Limits, door
from interop.store import Store, open_store
from interop.workflow import subscriptions
from tests.fhir_door import audited, order, patient
from tests.postgres import Cluster
from tests.real_server import RealServer
from tests.sockets import binding, bundle, criteria, serving, text, told, topic
from tests.subscribers import (
    BACKPORT,
    events_of,
    notifying,
    receiving,
    settled,
    site_for,
    stored,
    subscribe,
    to_topic,
    until_status,
)

on_one_engine = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _settled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process here, which is told of each subscription at once."""
    monkeypatch.setattr(subscriptions, "SETTLE", timedelta(seconds=0.2))


async def closed(socket: ClientConnection, seconds: float = 20.0) -> tuple[int, str]:
    """Code and reason, once the server has closed."""
    async with asyncio.timeout(seconds):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def refused(connecting: Any) -> int:
    """The status of an upgrade that is answered like a request."""
    with pytest.raises(InvalidStatus) as answer:
        async with connecting:
            pass
    status: int = answer.value.response.status_code
    return status


async def test_criteria_are_told_by_ping(store: Store, tmp_path: Path) -> None:
    async with notifying(store, site := site_for()), serving(store, tmp_path, site) as served, served.http() as http:
        id = await subscribe(http, store, criteria("Patient?family=Chalmers"))
        said = (await http.get("metadata")).json()["rest"][0]["extension"]
        assert said == [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket",
                "valueUri": served.url,
            }
        ]
        async with served.connect(said[0]["valueUri"], served.bearer()) as socket:
            await socket.send(f"bind {id}")
            assert await text(socket) == f"bound {id}"
            await stored(http, patient("1", name=[{"family": "Someone"}]))
            mine = await stored(http, patient("2", name=[{"family": "Chalmers"}]))
            assert await text(socket) == f"ping {id}"
            await stored(http, {**mine, "active": True})
            assert await text(socket) == f"ping {id}"
            off = (await http.get(f"Subscription/{id}")).json() | {"status": "off"}
            await stored(http, off)
            assert await closed(socket) == (1000, f"Subscription/{id} has ended")
        await settled(store)
    events = await audited(store)
    assert ("bind", "0", None, f"Subscription/{id}") in events
    about = [(person, what) for kind, _, person, what in events if kind == "notification"]
    assert about == [(f"Patient/{mine['id']}", f"Patient/{mine['id']}/_history/{n}") for n in (1, 2)]


async def test_topics_are_told_by_notifications_of_the_content_asked_for(store: Store, tmp_path: Path) -> None:
    async with notifying(store, site := site_for()), serving(store, tmp_path, site) as served, served.http() as http:
        who = await stored(http, patient())
        contents = ("empty", "id-only", "full-resource")
        ids = [await subscribe(http, store, topic("order-placed", content)) for content in contents]
        given = await binding(http, *ids)
        async with served.connect(given["websocket-url"]) as socket:
            await socket.send(f"bind-with-token {given['token']}")
            shaken = [told(await bundle(socket)) for _ in ids]
            assert [(one["type"], one["status"], one["events"]) for one in shaken] == [("handshake", "active", [])] * 3
            made = await stored(http, order(f"Patient/{who['id']}"))
            received = [await bundle(socket) for _ in ids]
        assert await refused(served.connect(given["websocket-url"])) == 401  # it is good once
        async with served.connect() as socket:
            await socket.send(f"bind-with-token {given['token']}")
            assert (await closed(socket))[0] == 1008
    by_id = {told(one)["subscription"]["reference"].rpartition("/")[2]: one for one in received}
    empty, id_only, full = (by_id[id] for id in ids)
    assert told(full)["events"][0]["event-number"] == "1"
    assert told(full)["events-since-subscription-start"] == "1"
    assert full["entry"][1]["resource"] == made
    assert id_only["entry"][1]["fullUrl"].endswith(f"/fhir/ServiceRequest/{made['id']}")
    assert "resource" not in id_only["entry"][1]
    assert made["id"] not in json.dumps(empty)
    given_out = [row for row in await audited(store) if row[0] == "notification"]
    assert given_out == [("notification", "0", f"Patient/{who['id']}", f"ServiceRequest/{made['id']}/_history/1")] * 3


async def test_whoever_was_away_asks_for_what_it_missed_and_versions_come_in_order(
    store: Store, tmp_path: Path
) -> None:
    async with notifying(store, site := site_for()), serving(store, tmp_path, site) as served, served.http() as http:
        who = await stored(http, patient())
        id = await subscribe(http, store, topic("order-changed", "full-resource"))
        made = await stored(http, order(f"Patient/{who['id']}"))
        for priority in ("urgent", "asap", "stat"):
            await stored(http, {**made, "priority": priority})
        await settled(store)
        given = await binding(http, id)
        async with served.connect(given["websocket-url"]) as socket:
            await socket.send(f"bind-with-token {given['token']}")
            assert told(await bundle(socket))["events-since-subscription-start"] == "3"
            for priority in ("routine", "urgent", "asap"):
                await stored(http, {**made, "priority": priority})
            later = [await bundle(socket) for _ in range(3)]
        missed = (await http.get(f"Subscription/{id}/$events?eventsSinceNumber=2&eventsUntilNumber=3")).json()
        bare = (await http.get(f"Subscription/{id}/$events?content=id-only")).json()
        assert (await http.get(f"Subscription/{id}/$events?eventsSinceNumber=-1")).status_code == 400
    assert [told(one)["events"][0]["event-number"] for one in later] == ["4", "5", "6"]
    assert [one["entry"][1]["resource"]["priority"] for one in later] == ["routine", "urgent", "asap"]
    assert told(missed)["type"] == "query-event"
    assert [event["event-number"] for event in told(missed)["events"]] == ["2", "3"]
    assert [entry["resource"]["priority"] for entry in missed["entry"][1:]] == ["asap", "stat"]
    assert [event["event-number"] for event in told(bare)["events"]] == [str(n) for n in range(1, 7)]
    assert all("resource" not in entry for entry in bare["entry"][1:])


async def test_a_caller_is_told_what_its_scopes_allow_and_no_more(store: Store, tmp_path: Path) -> None:
    async with notifying(store, site := site_for()), serving(store, tmp_path, site) as served, served.http() as http:
        one, other = await stored(http, patient("1")), await stored(http, patient("2"))
        id = await subscribe(http, store, topic("order-placed"))
        people = await subscribe(http, store, criteria("Patient"))
        bound = ("patient/ServiceRequest.rs", "user/Subscription.rs")
        async with served.http(*bound, who="app", patient=one["id"]) as theirs:
            given = await binding(theirs, id)
            assert (await theirs.get(f"Subscription/{people}/$get-ws-binding-token")).status_code == 403
        async with served.http("user/Patient.rs") as theirs:
            assert (await theirs.get(f"Subscription/{people}/$get-ws-binding-token")).status_code == 403
        assert (await http.get("Subscription/nosuch/$get-ws-binding-token")).status_code == 404
        async with served.connect(given["websocket-url"]) as socket:
            await socket.send(f"bind {id}")  # the address alone binds nothing
            assert (await closed(socket))[0] == 1008
        async with served.connect() as socket:  # nor does another's token
            await socket.send(f"bind-with-token {given['token']}")
            assert await closed(socket) == (1008, "the token was given to another")
        async with served.http(*bound, who="app", patient=one["id"]) as theirs:
            given = await binding(theirs, id)
            async with served.connect(given["websocket-url"]) as socket:
                await socket.send(f"bind-with-token {given['token']}")
                await bundle(socket)
                hidden = await stored(http, order(f"Patient/{other['id']}"))
                await settled(store)  # orders are numbered as they are noticed, and two at once in any order
                mine = await stored(http, order(f"Patient/{one['id']}"))
                received = await bundle(socket)
            seen = (await theirs.get(f"Subscription/{id}/$events")).json()
    assert received["entry"][1]["resource"]["id"] == mine["id"]
    assert told(received)["events"][0]["event-number"] == "2"
    assert [entry["resource"]["id"] for entry in seen["entry"][1:]] == [mine["id"]]
    about = f"ServiceRequest/{hidden['id']}/_history/1"
    assert ("notification", "4", f"Patient/{other['id']}", about) in await audited(store)


@on_one_engine
async def test_heartbeats_come_while_nothing_happens(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(asked.HEARTBEATS, "rest-hook", (1, 60))
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        site = site_for(receiver.url)
        served = await stack.enter_async_context(serving(store, tmp_path, site))
        await stack.enter_async_context(notifying(store, site))
        http = await stack.enter_async_context(served.http())
        wanted = to_topic("order-placed", receiver.url, "empty")
        wanted["channel"]["extension"] = [{"url": f"{BACKPORT}backport-heartbeat-period", "valueUnsignedInt": 1}]
        hook = await subscribe(http, store, wanted)
        given = await binding(http, await subscribe(http, store, topic("order-placed", heartbeat=1)))
        async with served.connect(given["websocket-url"]) as socket:
            await socket.send(f"bind-with-token {given['token']}")
            said = [told(await bundle(socket)) for _ in range(2)]
        hooked = [events_of(each) for each in (await receiver.until(2))[:2]]
        receiver.status = lambda _: 403
        ended = await until_status(http, hook, "error")
    assert [one["type"] for one in said] == ["handshake", "heartbeat"]
    assert [one["type"] for one in hooked] == ["handshake", "heartbeat"]
    assert hooked[1]["subscription"]["reference"].endswith(hook)
    assert hooked[1]["events-since-subscription-start"] == "0"
    assert ended["error"] == "the endpoint answered 403"


@on_one_engine
async def test_upgrades_without_credentials_or_from_elsewhere_are_refused(store: Store, tmp_path: Path) -> None:
    async with serving(store, tmp_path, site_for()) as served:
        assert await refused(served.connect(headers={})) == 401
        assert await refused(served.connect(headers={"Authorization": "Bearer x.y.z"})) == 401
        assert await refused(served.connect(f"{served.url}/{'c' * 43}")) == 401
        assert await refused(served.connect(f"{served.url}/else", served.bearer())) == 404
        assert await refused(served.connect(f"{served.url}?token=x", served.bearer())) == 400
        assert await refused(served.connect(origin="https://evil.example")) == 403
        async with served.connect(origin=f"http://127.0.0.1:{served.port}") as socket:
            assert socket.response is not None
        async with served.http() as http:  # and requests go on as ever beside them
            assert (await http.get("Patient")).status_code == 200
    assert await audited(store)


@on_one_engine
async def test_what_a_socket_may_not_do_closes_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LIMITS", Limits(sockets_of_caller=2, bind_seconds=0.3))
    async with serving(store, tmp_path, site_for()) as served:
        said: list[tuple[Any, int, str]] = [
            (b"bind x", 1003, "text frames only"),
            ("hello", 1008, "a client says: bind [id], or bind-with-token [token]"),
            ("bind nosuch", 1008, "no subscription by websocket runs as Subscription/nosuch"),
            ("bind-with-token x.y.z", 1008, "the token is not valid here"),
        ]
        for frame, code, reason in said:
            async with served.connect() as socket:
                await socket.send(frame)
                assert await closed(socket) == (code, reason)
        async with served.connect() as socket:
            await socket.send("bind " + "x" * 20_000)
            assert (await closed(socket))[0] == 1009
        async with served.connect() as socket, served.connect():
            assert await refused(served.connect()) == 429
            async with served.connect(headers=served.bearer(who="another")):
                pass
            assert await closed(socket) == (1008, "no subscription was bound in time")
    kinds = {row[:2] for row in await audited(store)}
    assert ("bind", "4") in kinds


@on_one_engine
async def test_the_end_of_its_token_is_the_end_of_a_socket(store: Store, tmp_path: Path) -> None:
    async with notifying(store, site := site_for()), serving(store, tmp_path, site) as served, served.http() as http:
        id = await subscribe(http, store, criteria("Patient"))
        claims = {"scope": "system/*.cruds", "client_id": "app"}
        short = served.tokens.sign("urn:interop:bearer", "emr", 2, claims)
        async with served.connect(headers={"Authorization": f"Bearer {short}"}) as socket:
            await socket.send(f"bind {id}")
            assert await text(socket) == f"bound {id}"
            assert await closed(socket) == (1008, "the token has expired")


@on_one_engine
async def test_a_client_that_does_not_read_is_let_go(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LIMITS", Limits(slowest=0.5))
    monkeypatch.setattr(http_server, "CLOSE_SECONDS", 60.0)
    async with notifying(store, site := site_for()), serving(store, tmp_path, site) as served, served.http() as http:
        id = await subscribe(http, store, topic("order-placed"))
        raw = sockets.socket()
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", served.port))
        raw.setblocking(False)
        given = await binding(http, id)
        async with served.connect(given["websocket-url"], sock=raw, max_queue=1, ping_interval=None) as socket:
            await socket.send(f"bind-with-token {given['token']}")
            await bundle(socket)
            socket.transport.pause_reading()
            who = await stored(http, patient())
            large = [{"text": "x" * 900_000}]
            for _ in range(10):
                await stored(http, order(f"Patient/{who['id']}", note=large))
            await settled(store)
            async with asyncio.timeout(30):
                while any(not task.done() for task in served.server.server_state.tasks):
                    await asyncio.sleep(0.1)
            socket.transport.resume_reading()
            assert await closed(socket) == (
                1013,
                "the client does not take what it is sent; $events has what it missed",
            )
    given_out = [row for row in await audited(store) if row[0] == "notification"]
    assert 0 < len(given_out) < 10  # what it had not room for was not read


async def test_what_another_process_writes_and_notices_reaches_a_socket_here(
    postgres_cluster: Cluster, postgres_template: str, tmp_path: Path
) -> None:
    name = postgres_cluster.create_database(template=postgres_template)
    here, there = await open_store(postgres_cluster.url(name)), await open_store(postgres_cluster.url(name))
    site = site_for()
    try:
        async with AsyncExitStack() as stack:
            served = await stack.enter_async_context(serving(here, tmp_path, site))
            other = await stack.enter_async_context(serving(there, tmp_path, site))
            await stack.enter_async_context(notifying(there, site))
            http = await stack.enter_async_context(other.http())
            given = await binding(http, await subscribe(http, there, topic("order-placed", "id-only")))
            url = given["websocket-url"].replace(f":{other.port}/", f":{served.port}/")
            async with served.connect(url) as socket:
                await socket.send(f"bind-with-token {given['token']}")
                await bundle(socket)
                who = await stored(http, patient())
                made = await stored(http, order(f"Patient/{who['id']}"))
                received = await bundle(socket)
    finally:
        await here.close()
        await there.close()
        postgres_cluster.drop_database(name)
    assert received["entry"][1]["fullUrl"].endswith(f"ServiceRequest/{made['id']}")


async def test_a_server_that_stops_says_so(real_server: Callable[..., RealServer]) -> None:
    """The server as it is run, uvloop and all, up to its end by SIGTERM."""
    server = real_server(command="serve")
    await asyncio.to_thread(server.start, "/healthz")
    made = await asyncio.to_thread(server.http.post, "/fhir/Subscription", json=criteria("Patient"))
    id = made.json()["id"]
    url = f"ws://127.0.0.1:{server.settings.http_port}/fhir/websocket"
    headers = {"Authorization": server.http.headers["Authorization"]}
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        await socket.send(f"bind {id}")
        assert await text(socket) == f"bound {id}"
        async with asyncio.timeout(30):
            while (await asyncio.to_thread(server.http.get, f"/fhir/Subscription/{id}")).json()["status"] != "active":
                await asyncio.sleep(0.1)
        await asyncio.to_thread(server.http.post, "/fhir/Patient", json=patient())
        assert await text(socket) == f"ping {id}"
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        assert await closed(socket) == (1001, "the server stops")
        assert await stopping == 0
