"""Alive and ready are different things."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from interop.errors import UnavailableError
from interop.health import Readiness, checks, health_routes


async def ask(checks_: dict[str, Any], path: str = "/readyz") -> httpx.Response:
    app = Starlette(routes=health_routes(Readiness(checks_)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
        return await client.get(path)


async def good() -> None:
    return


async def test_ready_when_all_have_answered() -> None:
    answer = await ask({"database": good, "orthanc": good, "mllp": good})
    assert answer.status_code == 200
    assert set(answer.json()["checks"]) == {"http", "database", "orthanc", "mllp"}


async def test_not_ready_while_one_does_not_and_alive_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_PATIENCE", 0.05)

    async def down() -> None:
        raise UnavailableError("the image archive does not answer")

    async def hangs() -> None:
        await asyncio.sleep(60)

    async def breaks() -> None:
        raise OSError("connect to 10.0.0.9:8042 as interop:secret failed")

    answer = await ask({"database": good, "orthanc": down, "mllp": hangs, "other": breaks})
    assert answer.status_code == 503
    found = answer.json()["checks"]
    assert found["database"]["ok"]
    assert found["orthanc"]["detail"] == "the image archive does not answer"
    assert "no answer" in found["mllp"]["detail"]
    assert found["other"]["detail"] == "OSError"
    assert "secret" not in answer.text
    assert (await ask({"orthanc": down}, "/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("failing", "verdict"),
    [
        ("worklist", "degraded"),
        ("first", "degraded"),
        ("worklist first", "degraded"),
        ("first second", "not ready"),
        ("worklist first second", "not ready"),
        ("worklist database", "not ready"),
        ("", "ready"),
    ],
)
async def test_what_keeps_nobody_away(failing: str, verdict: str) -> None:
    async def down() -> None:
        raise UnavailableError("it does not answer")

    names = ("database", "worklist", "first", "second")
    parts = {name: down if name in failing.split() else good for name in names}
    readiness = Readiness(parts, frozenset({"first", "second"}), frozenset({"worklist"}))
    assert readiness.verdict(await readiness.findings()) == verdict


async def test_asking_often_asks_the_parts_once() -> None:
    asked = 0

    async def count() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)

    readiness = Readiness({"database": count})
    await asyncio.gather(*(readiness.findings() for _ in range(50)))
    await readiness.findings()
    assert asked == 1
