"""What a command makes of the server's answers."""

from __future__ import annotations

import httpx
import pytest

from interop.cli.asking import Shown, ask, gathered
from interop.errors import (
    ConflictError,
    ForbiddenError,
    InteropError,
    InvalidContentError,
    NotFoundError,
    UnavailableError,
)


async def asked(answer: httpx.Response | Exception) -> httpx.Response:
    def handler(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with httpx.AsyncClient(base_url="http://here", transport=httpx.MockTransport(handler)) as client:
        return await ask(client, "GET", "/api/v1/share")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidContentError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, InvalidContentError),
        (503, UnavailableError),
    ],
)
async def test_a_refusal_is_the_error_that_the_server_stated(status: int, error: type[InteropError]) -> None:
    with pytest.raises(error, match="because"):
        await asked(httpx.Response(status, json={"detail": "because"}))


@pytest.mark.parametrize("answer", [httpx.Response(401, json={"detail": "no"}), httpx.Response(404, text="<html>")])
async def test_what_is_no_server_of_this_data_is_told_from_a_refusal(answer: httpx.Response) -> None:
    with pytest.raises(UnavailableError, match="INTEROP_DATA_DIR"):
        await asked(answer)


async def test_a_server_that_goes_away_is_said_to() -> None:
    with pytest.raises(UnavailableError, match="went away: ReadError"):
        await asked(httpx.ReadError("reset"))


async def test_pages_are_gathered_up_to_the_limit() -> None:
    wanted: list[tuple[int | None, int]] = []

    async def page(before: int | None, size: int) -> Shown:
        wanted.append((before, size))
        first = 0 if before is None else before
        rows = [{"n": number} for number in range(first, min(first + size, 250))]
        return {"rows": rows, "next": first + size if first + size < 250 else None}

    assert [row["n"] for row in await gathered(page, "rows", 1000)] == list(range(250))
    assert wanted == [(None, 100), (100, 100), (200, 100)]
    assert len(await gathered(page, "rows", 120)) == 120
