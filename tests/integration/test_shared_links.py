"""A shared link with several processes: what one takes back is over in the others within a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from interop.auth import Keys
from interop.cli.share_desk import open_share_desk
from interop.errors import NotFoundError, UnavailableError
from interop.http_app import HttpApp, http_app
from interop.settings import Settings
from interop.store import Store, open_store
from interop.testing.ports import free_port

STUDY = "1.2.3.1"
OWN = {"Origin": "http://testserver"}


@dataclass
class Urls:
    """Where clients find the server."""

    base_url: str = "http://testserver"
    public_url: str = ""


class Answer:
    """The archive has the study."""

    status = 200

    async def body(self, limit: int) -> bytes:
        return orjson.dumps([{"0020000D": {"vr": "UI", "Value": [STUDY]}}])

    def close(self) -> None:
        """Nothing to give back."""


class Archive:
    """Answers searches."""

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
        return Answer()

    async def post(self, *_asked: object, **_more: object) -> Any:
        raise AssertionError("nothing is stored here")


def client(app: HttpApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app.app), base_url="http://testserver")


async def refused(browser: httpx.AsyncClient) -> None:
    """Returns once the session is over."""
    async with asyncio.timeout(30):
        while (await browser.get("/manifest.json")).status_code != 401:
            await asyncio.sleep(0.05)


async def test_what_one_process_takes_back_is_over_in_the_others(
    store: Store, backend: str, database_url: str, tmp_path: Path
) -> None:
    keys = Keys.load(tmp_path)
    async with AsyncExitStack() as stack:
        other = store  # SQLite has one process; two doors stand for two that look by themselves
        if backend == "postgresql":
            other = await open_store(database_url)
            stack.push_async_callback(other.close)
        here, there = (http_app(each, Archive(), keys, urls=Urls(), assets=None, checks={}) for each in (store, other))
        bearer = {"Authorization": f"Bearer {here.tokens.issue('dr', ['system/*.cruds'])}"}
        at_one, browser = await stack.enter_async_context(client(here)), await stack.enter_async_context(client(there))
        link = (await at_one.post("/api/v1/share", json={"studies": [STUDY]}, headers=bearer)).json()
        secret = {"secret": link["url"].partition("#")[2]}
        assert (await browser.post("/viewer/share", data=secret, headers=OWN)).status_code == 303
        assert (await browser.get("/manifest.json")).status_code == 404, "let through; no viewer is installed here"
        if backend == "sqlite":  # its command asks the server: tests/integration/web
            assert (await at_one.delete(f"/api/v1/share/{link['id']}", headers=bearer)).status_code == 204
        else:
            await _by_command(link["id"], database_url, tmp_path)
        await refused(browser)
        assert (await browser.post("/viewer/share", data=secret, headers=OWN)).status_code == 410


async def _by_command(id: str, database_url: str, folder: Path) -> None:
    """On PostgreSQL a command goes to the database itself."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    variables = {"DATABASE_URL": database_url, "DATA_DIR": str(folder), "ORTHANC_URL": nowhere}
    settings = Settings.of({f"INTEROP_{name}": value for name, value in variables.items()})
    async with open_share_desk(settings) as desk:
        assert [one["id"] for one in (await desk.list(before=None, limit=5))["shares"]] == [id]
        with pytest.raises(UnavailableError):
            await desk.create({"studies": [STUDY]})
        with pytest.raises(NotFoundError):
            await desk.revoke("x")
        await desk.revoke(id)
