"""Subscribers for tests: a real HTTP receiver on a port of its own, and the jobs of subscriptions over a real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx

from interop.access import Agent
from interop.access.endpoints import parse_prefix
from interop.fhir.search import index_rows
from interop.jobs import Backoff, JobRunner, Lane, NoticeJobs, NotifyJobs, Posts, SubscriptionJobs, keep_watching
from interop.jobs.heartbeats import HeartbeatJobs
from interop.notify import HttpNotifier
from interop.store import Store
from interop.workflow import resources, subscriptions
from interop.workflow.site import Site
from tests.fhir_door import JSON, client
from tests.sites import a_site

BASE_URL = "http://127.0.0.1:8000/fhir"
SECRET = b"s" * 32
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Records what comes in and answers as it is told."""

    status: Callable[[Received], int] = lambda _: 200
    extra: bytes = b""  # more header lines of its answers
    delay: float = 0.0
    port: int = 0
    received: list[Received] = field(default_factory=list)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def up(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Received(method, path, headers, body)
            status = self.status(request)
            self.received.append(request)
            await asyncio.sleep(self.delay)
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n%s\r\n" % (status, self.extra))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def until(self, count: int, seconds: float = 15.0) -> list[Received]:
        """Everything received, once there are so many."""
        async with asyncio.timeout(seconds):
            while len(self.received) < count:
                await asyncio.sleep(0.02)
        return self.received


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.up()
    try:
        yield receiver
    finally:
        await receiver.down()


def site_for(*prefixes: str) -> Site:
    return replace(a_site(), endpoints=tuple(map(parse_prefix, prefixes)))


@asynccontextmanager
async def notifying(
    store: Store, site: Site, *, give_up: timedelta = timedelta(days=3), patience: timedelta = timedelta(minutes=10)
) -> AsyncIterator[JobRunner]:
    """The jobs of subscriptions, with short pauses between attempts."""
    posts = Posts(HttpNotifier(), site.endpoints, SECRET)
    begins = SubscriptionJobs(store, posts, BASE_URL, patience=patience)
    runner = JobRunner(
        store,
        {
            "notice": Lane(NoticeJobs(store, site, index_rows), backoff=Backoff(0.05, 0.2)),
            "notify": NotifyJobs(store, posts, BASE_URL, give_up=give_up).lane(Backoff(0.05, 0.2)),
            "subscription": Lane(begins, backoff=Backoff(0.05, 0.2)),
            "heartbeat": HeartbeatJobs(store, posts, BASE_URL).lane(),
        },
        poll=0.05,
    )
    await store.look_for_watchers(subscriptions.watched_types)
    tasks = [asyncio.create_task(runner.run()), asyncio.create_task(keep_watching(store))]
    try:
        yield runner
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def fhir(store: Store, site: Site, by: Agent | None = None) -> httpx.AsyncClient:
    return client(store, by, site=site, writer=resources)


def by_criteria(criteria: str, endpoint: str, *, payload: str | None = None, **more: Any) -> dict[str, Any]:
    """A Subscription as R4 has it."""
    channel: dict[str, Any] = {"type": "rest-hook", "endpoint": endpoint}
    if payload is not None:
        channel["payload"] = payload
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "test",
        "criteria": criteria,
        "channel": channel,
        **more,
    }


def to_topic(name: str, endpoint: str, content: str = "full-resource", filter: str | None = None) -> dict[str, Any]:
    """A Subscription as the backport guide has it."""
    made = by_criteria(f"urn:interop:SubscriptionTopic:{name}", endpoint, payload="application/fhir+json")
    made["meta"] = {"profile": [f"{BACKPORT}backport-subscription"]}
    made["channel"]["_payload"] = {"extension": [{"url": f"{BACKPORT}backport-payload-content", "valueCode": content}]}
    if filter is not None:
        made["_criteria"] = {"extension": [{"url": f"{BACKPORT}backport-filter-criteria", "valueString": filter}]}
    return made


async def subscribe(http: httpx.AsyncClient, store: Store, resource: dict[str, Any]) -> str:
    """The id of a subscription that has become active."""
    answer = await http.post("Subscription", json=resource, headers=JSON)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "requested"
    await store.look_for_watchers(subscriptions.watched_types)
    id: str = answer.json()["id"]
    await until_status(http, id, "active")
    return id


async def until_status(http: httpx.AsyncClient, id: str, status: str, seconds: float = 15.0) -> dict[str, Any]:
    """The Subscription, once it has this status."""
    async with asyncio.timeout(seconds):
        while True:
            found: dict[str, Any] = (await http.get(f"Subscription/{id}")).json()
            if found["status"] == status:
                return found
            await asyncio.sleep(0.03)


async def stored(http: httpx.AsyncClient, resource: dict[str, Any]) -> dict[str, Any]:
    """A resource as the server has it, created or updated."""
    type = resource["resourceType"]
    if "id" in resource:
        answer = await http.put(f"{type}/{resource['id']}", json=resource, headers=JSON)
    else:
        answer = await http.post(type, json=resource, headers=JSON)
    assert answer.status_code in (200, 201), answer.text
    made: dict[str, Any] = answer.json()
    return made


async def settled(store: Store, seconds: float = 15.0) -> None:
    """Returns once no job is owed: what became of each is in the database."""
    async with asyncio.timeout(seconds):
        while True:
            counts = await store.view(lambda tx: tx.job_counts())
            if not counts["ready"] + counts["running"] + counts["waiting"]:
                return
            await asyncio.sleep(0.03)


def events_of(request: Received) -> dict[str, Any]:
    """What the SubscriptionStatus in a notification says, by name; a part by its own names."""
    told: dict[str, Any] = {}
    for row in request.json["entry"][0]["resource"]["parameter"]:
        value = next((row[key] for key in row if key.startswith("value")), None)
        told[row["name"]] = (
            value
            if value is not None
            else {part["name"]: next(part[key] for key in part if key.startswith("value")) for part in row["part"]}
        )
    return told
