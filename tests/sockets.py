"""The websocket door for tests: the real HTTP server on a port of its own, and a client that nobody here wrote."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from interop.auth import Bindings, Keys, Tokens
from interop.fhir_api import fhir_routes
from interop.http_app import http_app
from interop.http_server import HttpServer
from interop.store import Store
from interop.workflow import resources
from interop.workflow.site import Site
from tests.subscribers import by_criteria, to_topic


class NoArchive:
    """No test here asks for images."""


@dataclass
class Served:
    """A server that runs."""

    port: int
    tokens: Tokens
    server: HttpServer

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/fhir/websocket"

    def bearer(self, *scopes: str, who: str = "emr", patient: str | None = None) -> dict[str, str]:
        token = self.tokens.issue(who, scopes or ("system/*.cruds",), patient=patient, client="app")
        return {"Authorization": f"Bearer {token}"}

    def http(self, *scopes: str, who: str = "emr", patient: str | None = None) -> httpx.AsyncClient:
        headers = self.bearer(*scopes, who=who, patient=patient)
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}/fhir/", headers=headers, trust_env=False)

    def connect(self, url: str = "", headers: dict[str, str] | None = None, **options: Any) -> connect:
        """With a bearer token, unless an address with a code, or other headers, are given."""
        headers = headers if headers is not None else {} if url else self.bearer()
        return connect(url or self.url, additional_headers=headers, proxy=None, **options)

    async def stop(self) -> None:
        self.server.should_exit = True


@asynccontextmanager
async def serving(store: Store, folder: Path, site: Site) -> AsyncIterator[Served]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    class Urls:
        base_url = f"http://127.0.0.1:{port}"
        public_url = ""

    keys = Keys.load(folder)
    bindings = Bindings(Tokens(keys), Urls.base_url)
    base_url = f"{Urls.base_url}/fhir"
    fhir = fhir_routes(store, site, writer=resources, base_url=base_url, bindings=bindings)
    archive: Any = NoArchive()
    app = http_app(store, archive, keys, urls=Urls(), assets=None, checks={}, fhir=fhir, bindings=bindings).app
    served = Served(port, Tokens(keys), HttpServer.serving(app, 5))
    task = asyncio.create_task(served.server.serve([listening]))
    try:
        yield served
    finally:
        await served.stop()
        await task


def criteria(text: str, **channel: Any) -> dict[str, Any]:
    """A Subscription by websocket as R4 has it."""
    made = by_criteria(text, "")
    made["channel"] = {"type": "websocket", **channel}
    return made


def topic(name: str, content: str = "full-resource", *, heartbeat: int | None = None) -> dict[str, Any]:
    """A Subscription by websocket as the backport guide has it."""
    made = to_topic(name, "", content)
    made["channel"] |= {"type": "websocket"}
    del made["channel"]["endpoint"]
    if heartbeat is not None:
        url = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-heartbeat-period"
        made["channel"]["extension"] = [{"url": url, "valueUnsignedInt": heartbeat}]
    return made


async def binding(http: httpx.AsyncClient, *ids: str) -> dict[str, str]:
    """What $get-ws-binding-token gives, by name."""
    if len(ids) == 1:
        answer = await http.get(f"Subscription/{ids[0]}/$get-ws-binding-token")
    else:
        rows = [{"name": "id", "valueId": id} for id in ids]
        body = {"resourceType": "Parameters", "parameter": rows}
        answer = await http.post("Subscription/$get-ws-binding-token", json=body)
    assert answer.status_code == 200, answer.text
    return {row["name"]: next(row[key] for key in row if key.startswith("value")) for row in answer.json()["parameter"]}


async def text(socket: ClientConnection, seconds: float = 20.0) -> str:
    """The next frame."""
    async with asyncio.timeout(seconds):
        frame = await socket.recv()
    assert isinstance(frame, str)
    return frame


async def bundle(socket: ClientConnection) -> dict[str, Any]:
    """The next frame as a Bundle."""
    read: dict[str, Any] = json.loads(await text(socket))
    return read


def told(bundle: dict[str, Any]) -> dict[str, Any]:
    """What the SubscriptionStatus in a notification says, by name; events as a list of their parts by name."""
    said: dict[str, Any] = {"events": []}
    for row in bundle["entry"][0]["resource"]["parameter"]:
        if row["name"] == "notification-event":
            said["events"].append(
                {part["name"]: next(v for k, v in part.items() if k != "name") for part in row["part"]}
            )
        else:
            said[row["name"]] = next(v for k, v in row.items() if k != "name")
    return said
