"""How a command asks the server that runs: what it refuses comes as the error that it stated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from interop.errors import (
    ConflictError,
    ForbiddenError,
    InteropError,
    InvalidContentError,
    NotFoundError,
    UnavailableError,
)

Shown = dict[str, Any]

_PAGE = 100
_REFUSALS: dict[int, type[InteropError]] = {
    400: InvalidContentError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidContentError,
    503: UnavailableError,
}


async def ask(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> httpx.Response:
    """The server's answer; the InteropError that it stated, UnavailableError where it is no server of this data."""
    try:
        answer = await client.request(method, path, **more)
    except httpx.HTTPError as error:
        raise UnavailableError(f"the server went away: {type(error).__name__}") from error
    if answer.is_success:
        return answer
    refusal, text = _REFUSALS.get(answer.status_code), stated(answer)
    if refusal is not None and text:
        raise refusal(text)
    raise UnavailableError(
        f"{client.base_url} answers with {answer.status_code}: is INTEROP_DATA_DIR that of its server?"
    )


def stated(answer: httpx.Response) -> str:
    """Why it was refused (RFC 9457 3.1.4); empty where the answer is none of ours."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return ""


async def gathered(page: Callable[[Any, int], Awaitable[Shown]], key: str, limit: int) -> list[Shown]:
    """So many rows of a list that comes in pages: each is asked for with the ``next`` of the one before, and a size."""
    found: list[Shown] = []
    before: Any = None
    while len(found) < limit:
        one = await page(before, min(_PAGE, limit - len(found)))
        found += one[key]
        before = one["next"]
        if before is None:
            break
    return found
