"""Which connections are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from interop.dicomweb_relay import Relay, pool
from interop.errors import UnavailableError
from tests.unit.dicomweb_relay.test_relay import OK, always, archive, relay_to, whole


async def test_a_post_goes_over_a_new_connection_and_leaves_the_kept_ones_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "KEPT", 60)

    async def nothing() -> AsyncIterator[bytes]:
        for piece in ():
            yield piece

    async def two(relay: Relay) -> None:
        held = [await relay.get(b"/") for _ in range(2)]
        assert [await whole(answer) for answer in held] == [b"hello"] * 2

    async with archive(always(OK)) as seen:
        relay = relay_to(seen, connections=3)
        await two(relay)
        for _ in range(2):
            assert await whole(await relay.post(b"/", 0, nothing)) == b"hello"
        assert seen.connections == 4
        await two(relay)
        assert seen.connections == 4
        assert await whole(await relay.post(b"/", 0, nothing, again=True)) == b"hello"
        assert seen.connections == 4, "what may be sent again goes over a kept one"
        await relay.close()


async def test_a_post_that_may_be_sent_again_is_when_its_kept_connection_died() -> None:
    begun = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal begun
        begun += 1
        yield b"body"

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        assert await reader.readexactly(4) == b"body"
        if number == 0:
            writer.write(OK)
        else:
            writer.close()  # takes it, and hangs up

    async with archive(once) as seen:
        relay = relay_to(seen)
        for _ in range(3):
            assert await whole(await relay.post(b"/", 4, body, again=True)) == b"hello"
        await relay.close()
    assert (seen.connections, begun, len(seen.requests)) == (3, 5, 5)


async def test_a_post_over_a_new_connection_is_not_sent_again() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"body"

    async with archive(always(close=True)) as seen:
        relay = relay_to(seen)
        with pytest.raises(UnavailableError):
            await relay.post(b"/", 4, body, again=True)
        await relay.close()
    assert len(seen.requests) == 1
