"""Where ``interop hl7`` finds messages and has them steered; loaded by need, for it loads the database's rooms.

Whoever reads a message or acts on one leaves an audit row, and SQLite has one writer: so on SQLite a server that runs
is asked over its own address, with a bearer made here; without one, and on PostgreSQL, the database itself is opened.
Either way it is the user of this machine who is in the trail.
"""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx

from interop.access import Agent
from interop.auth.keys import Keys
from interop.auth.tokens import Tokens
from interop.cli.asking import stated
from interop.errors import InvalidContentError, NotFoundError, UnavailableError
from interop.hl7_api import Steering, asked, line_of, row_of
from interop.parts import site
from interop.settings import Settings
from interop.store import MessageLine, MessageRow, Store, StoreInUseError, open_reader, open_store
from interop.workflow.site import Site

_PAGE = 500
_MESSAGES = "/api/v1/hl7/messages"
_SCOPE = "system/MessageHeader.cruds"


class Desk(Protocol):
    """Where messages are read and acts are carried out."""

    async def find(self, words: Mapping[str, str]) -> list[MessageLine]:
        """One page of the messages that are asked for, newest first; InvalidContentError for words that ask nothing."""
        ...

    async def read(self, id: int) -> MessageRow:
        """One message with its bytes; NotFoundError if there is none of this number."""
        ...

    async def act(self, verb: str, id: int) -> tuple[bool, str]:
        """Whether it is as wanted, and what happened; an InteropError where the act is not to be."""
        ...


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """The server that runs, else the database itself; UnavailableError where there is neither."""
    async with connected(settings, [_SCOPE]) as there:
        yield _OwnDesk(there, site(settings)) if isinstance(there, Store) else _ServersDesk(there)


@asynccontextmanager
async def connected(settings: Settings, scopes: Sequence[str]) -> AsyncIterator[httpx.AsyncClient | Store]:
    """A client of the server that runs, with a bearer of these scopes, else the database itself.

    UnavailableError where there is neither.
    """
    await (await open_reader(settings.database, zone=settings.zone)).close()  # there is one, and of this version
    if settings.database.startswith("sqlite"):
        async with httpx.AsyncClient(base_url=address(settings), trust_env=False, timeout=120) as client:
            if await _there(client):
                client.headers["Authorization"] = f"Bearer {_bearer(settings, scopes)}"
                yield client
                return
    try:
        store = await open_store(settings.database, zone=settings.zone, migrate=False)
    except StoreInUseError as error:
        raise UnavailableError(
            f"{error.text}, which does not answer at {address(settings)}: what is read here has to be audited by it"
        ) from error
    try:
        yield store
    finally:
        await store.close()


def address(settings: Settings) -> str:
    """Where the server of these settings answers on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http_host, settings.http_host)  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{settings.http_port}"


async def _there(client: httpx.AsyncClient) -> bool:
    """Whether anybody answers."""
    try:
        await client.get("/healthz")
    except httpx.ConnectError:
        return False
    except httpx.HTTPError as error:
        raise UnavailableError(f"{client.base_url}: {type(error).__name__}") from error
    return True


class _ServersDesk:
    """The server that holds the database."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def find(self, words: Mapping[str, str]) -> list[MessageLine]:
        answer = await self._asked("GET", _MESSAGES, words)
        if answer.status_code == httpx.codes.BAD_REQUEST:
            raise InvalidContentError(_reason(answer))
        return [line_of(one) for one in self._body(answer)["messages"]]

    async def read(self, id: int) -> MessageRow:
        answer = await self._asked("GET", f"{_MESSAGES}/{id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFoundError(f"there is no message {id}")
        return row_of(self._body(answer))

    async def act(self, verb: str, id: int) -> tuple[bool, str]:
        answer = await self._asked("POST", f"{_MESSAGES}/{id}/{verb}")
        if answer.status_code == httpx.codes.OK:
            done = answer.json()
            return done["state"] != "refused", str(done["text"])
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN) and not stated(answer):
            self._body(answer)
        return False, _reason(answer)

    async def _asked(self, method: str, path: str, words: Mapping[str, str] | None = None) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, params=words)
        except httpx.HTTPError as error:
            raise UnavailableError(f"the server went away: {type(error).__name__}") from error
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise UnavailableError("the server cannot write at the moment, and what is read has to be audited")
        return answer

    def _body(self, answer: httpx.Response) -> dict[str, Any]:
        """UnavailableError where it is not a server that knows this data directory."""
        if answer.status_code != httpx.codes.OK:
            raise UnavailableError(
                f"{self._client.base_url} answers with {answer.status_code}: is INTEROP_DATA_DIR that of its server?"
            )
        found: dict[str, Any] = answer.json()
        return found


def _reason(answer: httpx.Response) -> str:
    return stated(answer) or f"answered with {answer.status_code}"


class _OwnDesk:
    """The database itself."""

    def __init__(self, store: Store, rules: Site) -> None:
        self._steering = Steering(store, rules)
        self._zone = rules.zone
        self._agent = Agent(who=local_user(), kind="user", client="cli", scopes=frozenset({_SCOPE}))

    async def find(self, words: Mapping[str, str]) -> list[MessageLine]:
        query = asked(words, now=datetime.now(UTC), zone=self._zone)
        return await self._steering.find(self._agent, query, f"interop hl7 list?{urlencode(words)}")

    async def read(self, id: int) -> MessageRow:
        return await self._steering.read(self._agent, id)

    async def act(self, verb: str, id: int) -> tuple[bool, str]:
        done = await self._steering.act(verb, self._agent, id)
        return done.good, done.text


def _bearer(settings: Settings, scopes: Sequence[str]) -> str:
    return Tokens(Keys.load(settings.data_dir)).issue(local_user(), scopes, client="cli", minutes=24 * 60)


def local_user() -> str:
    """Who is in the audit trail for what is done here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "local"


async def numbered(settings: Settings, numbers: Sequence[int]) -> list[MessageLine]:
    """These messages, newest first; NotFoundError for a number that none has."""
    async with open_desk(settings) as desk:
        lines = []
        for number in sorted(set(numbers), reverse=True):
            (line,) = await desk.find({"before": str(number + 1), "limit": "1"}) or (None,)
            if line is None or line.id != number:
                raise NotFoundError(f"there is no message {number}")
            lines.append(line)
        return lines


async def found(settings: Settings, words: Mapping[str, str], limit: int) -> list[MessageLine]:
    """The messages that are asked for, newest first."""
    async with open_desk(settings) as desk:
        return await _pages(desk, words, limit)


async def _pages(desk: Desk, words: Mapping[str, str], limit: int) -> list[MessageLine]:
    lines: list[MessageLine] = []
    while len(lines) < limit:
        size = min(_PAGE, limit - len(lines))
        page = await desk.find({**words, "limit": str(size)} | ({"before": str(lines[-1].id)} if lines else {}))
        lines += page
        if len(page) < size:
            break
    return lines


async def opened(settings: Settings, control_id: str | None, number: int | None) -> list[MessageRow]:
    """The messages of this control id, newest first, or the one of this number if it has it; with their bytes."""
    async with open_desk(settings) as desk:
        if number is None:
            lines = await _pages(desk, {"control-id": control_id or ""}, 100)
            return [await desk.read(line.id) for line in lines]
        try:
            row = await desk.read(number)
        except NotFoundError:
            return []
        return [row] if control_id in (None, row.control_id) else []
