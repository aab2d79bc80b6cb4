"""Which connections are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from interop.dicomweb_relay import Relay, pool
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
            assert await whole(await relay.post(b"/", 0, nothing())) == b"hello"
        assert seen.connections == 4
        await two(relay)
        assert seen.connections == 4
        await relay.close()
