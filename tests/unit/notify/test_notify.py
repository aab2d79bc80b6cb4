"""The wire to subscribers, to a receiver that listens."""

from __future__ import annotations

import pytest

from interop.errors import ForbiddenError, UnavailableError
from interop.notify import HttpNotifier
from tests.subscribers import receiving


async def test_no_request_goes_to_an_address_that_is_not_allowed() -> None:
    looked: list[str] = []

    def nowhere(address: str) -> bool:
        looked.append(address)
        return False

    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        with pytest.raises(ForbiddenError, match="localhost leads to an address"):
            await HttpNotifier().send("POST", url, [], b"", may_connect=nowhere, seconds=5)
        assert receiver.received == []
    assert "127.0.0.1" in looked


async def test_the_request_names_the_host_and_goes_to_the_address_that_was_looked_at() -> None:
    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        status = await HttpNotifier().send(
            "PUT", url, [("X-A", "1")], b"{}", may_connect=lambda address: address in ("127.0.0.1", "::1"), seconds=5
        )
        (told,) = receiver.received
    assert status == 200
    assert told.headers["host"] == f"localhost:{receiver.port}"
    assert (told.method, told.body, told.headers["x-a"]) == ("PUT", b"{}", "1")


async def test_silence_and_nobody_there_are_worth_another_attempt() -> None:
    async with receiving() as receiver:
        receiver.delay = 5
        with pytest.raises(UnavailableError, match="did not answer within"):
            await HttpNotifier().send("POST", receiver.url, [], b"", may_connect=lambda _: True, seconds=0.3)
        await receiver.down()
        with pytest.raises(UnavailableError, match="no connection"):
            await HttpNotifier().send("POST", receiver.url, [], b"", may_connect=lambda _: True, seconds=5)
    with pytest.raises(UnavailableError, match="not known"):
        await HttpNotifier().send("POST", "https://no.such.invalid/", [], b"", may_connect=lambda _: True, seconds=5)
