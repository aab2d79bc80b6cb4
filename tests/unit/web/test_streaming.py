"""Long answers: nothing is pumped to nobody, nobody holds the archive for ever, and a crowd writes one event."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interop.dicomweb import retrieve

A = "1.2.3.1"
FRAME = f"/dicom-web/studies/{A}/series/1.2.3.4/instances/1.2.3.5/frames/1"


class Endless:
    """An answer that never ends."""

    status = 200
    headers: list[tuple[bytes, bytes]] = [(b"content-type", b"multipart/related; boundary=b")]  # noqa: RUF012
    ends_with_connection = False

    def __init__(self) -> None:
        self.closed = False
        self.given = 0

    def header(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)

    async def chunk(self) -> bytes:
        await asyncio.sleep(0)
        self.given += 1
        return b"x" * 1000

    async def body(self, limit: int) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def scope(web: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": FRAME,
        "raw_path": FRAME.encode(),
        "query_string": b"",
        "headers": [(b"host", b"x"), (b"authorization", web.bearer()["Authorization"].encode())],
        "client": ("192.0.2.1", 1),
        "scheme": "http",
        "http_version": "1.1",
    }


async def test_a_client_that_goes_away_ends_the_pumping(web: Any) -> None:
    answer = Endless()
    web.archive.answer = lambda path, headers: answer
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if answer.given > 50:
            gone.set()

    await asyncio.wait_for(web.http.app(scope(web), receive, send), 10)
    assert answer.closed
    assert answer.given < 100


async def test_a_client_that_takes_nothing_is_let_go(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "_PATIENCE", 0.05)
    answer = Endless()
    web.archive.answer = lambda path, headers: answer
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if len(sent) > 3:
            await asyncio.sleep(60)

    await asyncio.wait_for(web.http.app(scope(web), receive, send), 10)
    assert answer.closed
    assert sent[-1]["more_body"] is True, "the answer is not called complete"


async def test_a_crowd_at_the_same_study_writes_one_event(web: Any) -> None:
    units = 0
    original = web.store.unit

    async def counted(agent: Any, work: Any, **options: Any) -> Any:
        nonlocal units
        units += 1
        await asyncio.sleep(0.01)
        return await original(agent, work, **options)

    web.store.unit = counted
    async with web.client(headers=web.bearer()) as client:
        answers = await asyncio.gather(*(client.get(FRAME) for _ in range(32)))
    assert {answer.status_code for answer in answers} == {200}
    assert units == 1
    assert len(await web.events(kind="dicom-transfer")) == 1


async def test_a_crowd_is_refused_together_when_nothing_can_be_written(web: Any) -> None:
    from interop.errors import UnavailableError

    async def full(agent: Any, work: Any, **options: Any) -> Any:
        await asyncio.sleep(0.01)
        raise UnavailableError("the database is full")

    original, web.store.unit = web.store.unit, full
    async with web.client(headers=web.bearer()) as client:
        answers = await asyncio.gather(*(client.get(FRAME) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {503}
        web.store.unit = original
        assert (await client.get(FRAME)).status_code == 200
