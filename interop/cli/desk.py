"""Where ``interop hl7`` finds messages and has them steered; loaded by need, for it loads the database's rooms."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import httpx

from interop.access import Agent
from interop.auth.keys import Keys
from interop.auth.tokens import Tokens
from interop.errors import NotFoundError, UnavailableError
from interop.hl7_api import Steering, asked
from interop.parts import site
from interop.settings import Settings
from interop.store import MessageLine, MessageQuery, Store, Tx, open_reader, open_store
from interop.workflow.site import Site

_PAGE = 500
_SCOPE = "system/MessageHeader.cruds"


class Desk(Protocol):
    """Where acts are carried out."""

    async def act(self, verb: str, id: int) -> tuple[bool, str]:
        """Whether it is as wanted, and what happened; an InteropError where the act is not to be."""
        ...


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """The server that runs, else the database itself."""
    if settings.database.startswith("sqlite"):
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http_host, settings.http_host)  # noqa: S104
        shown = f"[{host}]" if ":" in host else host
        async with httpx.AsyncClient(
            base_url=f"http://{shown}:{settings.http_port}",
            headers={"Authorization": f"Bearer {_bearer(settings)}"},
            trust_env=False,
            timeout=120,
        ) as client:
            desk = _ServersDesk(client)
            if await desk.there():
                yield desk
                return
    store = await open_store(settings.database, zone=settings.zone)
    try:
        yield _OwnDesk(store, site(settings))
    finally:
        await store.close()


class _ServersDesk:
    """The server that holds the database."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def there(self) -> bool:
        """Whether a server answers; UnavailableError where it is not one that knows this data directory."""
        try:
            answer = await self._client.get("/api/v1/hl7/messages", params={"limit": 1})
        except httpx.ConnectError:
            return False
        except httpx.HTTPError as error:
            raise UnavailableError(f"{self._client.base_url}: {type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            raise UnavailableError(
                f"{self._client.base_url} answers with {answer.status_code}: is INTEROP_DATA_DIR that of its server?"
            )
        return True

    async def act(self, verb: str, id: int) -> tuple[bool, str]:
        try:
            answer = await self._client.post(f"/api/v1/hl7/messages/{id}/{verb}")
        except httpx.HTTPError as error:
            raise UnavailableError(f"the server went away: {type(error).__name__}") from error
        if answer.status_code == httpx.codes.OK:
            done = answer.json()
            return done["state"] != "refused", str(done["text"])
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise UnavailableError("the server cannot write at the moment")
        return False, _reason(answer)


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])  # RFC 9457
    except (ValueError, LookupError, TypeError):
        return f"answered with {answer.status_code}"


class _OwnDesk:
    """The database itself."""

    def __init__(self, store: Store, rules: Site) -> None:
        self._steering = Steering(store, rules)
        self._agent = Agent(who=_who(), kind="user", client="cli", scopes=frozenset({_SCOPE}))

    async def act(self, verb: str, id: int) -> tuple[bool, str]:
        done = await self._steering.act(verb, self._agent, id)
        return done.good, done.text


def _bearer(settings: Settings) -> str:
    return Tokens(Keys.load(settings.data_dir)).issue(_who(), [_SCOPE], client="cli", minutes=24 * 60)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "local"


def _at(query: MessageQuery, tx: Tx) -> list[MessageLine]:
    return tx.list_messages(query)


async def numbered(settings: Settings, numbers: Sequence[int]) -> list[MessageLine]:
    """These messages, newest first; NotFoundError for a number that none has."""
    store = await open_reader(settings.database, zone=settings.zone)
    try:
        lines = []
        for number in sorted(set(numbers), reverse=True):
            (line,) = await store.view(partial(_at, MessageQuery(before=number + 1, limit=1))) or (None,)
            if line is None or line.id != number:
                raise NotFoundError(f"there is no message {number}")
            lines.append(line)
        return lines
    finally:
        await store.close()


async def found(settings: Settings, words: dict[str, str], limit: int) -> list[MessageLine]:
    """The messages that are asked for, newest first; whether a server runs or not."""
    store = await open_reader(settings.database, zone=settings.zone)
    try:
        lines: list[MessageLine] = []
        while len(lines) < limit:
            question = {**words, "limit": str(min(_PAGE, limit - len(lines)))}
            if lines:
                question["before"] = str(lines[-1].id)
            query = asked(question, now=datetime.now(UTC), zone=settings.zone)
            page = await store.view(partial(_at, query))
            lines += page
            if len(page) < query.limit:
                break
        return lines
    finally:
        await store.close()
