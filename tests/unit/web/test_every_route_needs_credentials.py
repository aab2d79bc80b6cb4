"""The route table itself is the list of what is tried: nothing can be added that anybody may reach."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

OPEN = {
    "/healthz",
    "/readyz",
    "/fhir/metadata",
    "/.well-known/smart-configuration",
    "/fhir/.well-known/smart-configuration",
    "/login/{code}",
    "/viewer/open/{code}",
    "/viewer/share",
}
SOCKETS = ("/fhir/websocket", "/fhir/websocket/{code}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def paths(routes: Any, prefix: str = "") -> list[str]:
    found: list[str] = []
    for route in routes:
        assert isinstance(route, BaseRoute)
        if isinstance(route, Mount):
            found += paths(route.routes, prefix + route.path) or [prefix + route.path]
        elif isinstance(route, Route):
            found.append(prefix + route.path)
        elif isinstance(route, WebSocketRoute):
            assert prefix + route.path in SOCKETS
        else:
            pytest.fail(f"a route of a kind that this test does not know: {route!r}")
    return found


async def try_it(app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, bool, bytes]:
    """Status, whether the body was asked for, and the answer."""
    sent: list[Any] = []
    read = False

    async def receive() -> Any:
        nonlocal read
        read = True
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("192.0.2.1", 1),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], read, body


def concrete(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "1", path)


async def test_every_route_refuses_before_it_reads(web: Any) -> None:
    tried = 0
    for path in sorted(set(paths(web.http.routes))):
        if path in OPEN:
            continue
        for method in METHODS:
            for credentials in ([], [(b"authorization", b"Bearer x.y.z")], [(b"cookie", b"interop_console=x")]):
                status, read, _ = await try_it(web.http.app, method, concrete(path), credentials)
                assert (status, read) == (401, False), (method, path, credentials)
                tried += 1
    assert tried > 100


async def test_open_routes_ask_for_nothing_and_codes_must_look_like_codes(web: Any) -> None:
    for path in ("/healthz", "/readyz", "/.well-known/smart-configuration", "/fhir/metadata"):
        assert (await try_it(web.http.app, "GET", path, []))[0] == 200
    for path in ("/login/1", "/viewer/open/1", "/viewer/open/../iid", "/.well-known/../fhir", "/healthz/", "/readyz/x"):
        assert (await try_it(web.http.app, "GET", path, []))[0] == 401, path


@pytest.mark.parametrize(
    "path",
    [
        "/dicom-web/../fhir/Patient",
        "/dicom-web//studies",
        "/dicom-web/studies;x=1",
        "/dicom-web/studies/..\\x",
        "/viewer/./iid",
        "/fhir/Patient/\x00",
    ],
)
async def test_a_path_is_what_it_looks_like(web: Any, path: str) -> None:
    token = web.bearer()["Authorization"].encode()
    status, _, _ = await try_it(web.http.app, "GET", path, [(b"authorization", token)])
    assert status == 400


UPGRADES = ("/fhir/websocket", f"/fhir/websocket/{'c' * 43}", "/fhir/websocket/x", "/fhir", "/", "/login/" + "c" * 43)


@pytest.mark.parametrize("path", UPGRADES)
async def test_websockets_are_refused_before_anything_is_received(web: Any, path: str) -> None:
    for headers in ([], [(b"authorization", b"Bearer x.y.z")], [(b"cookie", b"interop_console=x")]):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope: dict[str, Any] = {"type": "websocket", "path": path, "raw_path": path.encode(), "headers": headers}
        await web.http.app({**scope, "extensions": {"websocket.http.response": {}}}, None, send)
        assert [message["type"] for message in sent] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert sent[0]["status"] == 401
        sent.clear()
        await web.http.app(scope, None, send)  # a server that cannot answer an upgrade like a request
        assert sent == [{"type": "websocket.close", "code": 1008}]
