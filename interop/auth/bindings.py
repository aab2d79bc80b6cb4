"""Binding tokens: what lets a websocket be bound to subscriptions, in the name of whoever asked for the token.

A token is signed for this use alone, good once and for at most a minute. The address that is given with it ends in a
single-use code, so that a browser, which can send no header with an upgrade, is known before anything is read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from interop.access import Agent
from interop.auth import codes
from interop.auth.tokens import BINDING, Tokens
from interop.errors import ForbiddenError, UnauthenticatedError
from interop.store import Tx

SOCKET_PATH = "/fhir/websocket"
_CODED = re.compile(rf"{SOCKET_PATH}/({codes.CODE.pattern})")
_CONNECT = "socket"
_BIND = "bind"


@dataclass(frozen=True, slots=True)
class Binding:
    """What somebody gets who asks to bind."""

    token: str
    expires: datetime  # when the token is worth nothing any more, used or not
    url: str  # where to connect, once


@dataclass(frozen=True, slots=True)
class Granted:
    """What a token allows."""

    agent: Agent  # its ``expires`` is when the socket is to be closed
    subscriptions: tuple[str, ...]


class Bindings:
    """Makes binding tokens and takes them."""

    def __init__(self, tokens: Tokens, public_url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._clock = clock
        self.url = f"ws{public_url.removeprefix('http')}{SOCKET_PATH}"  # http: and ws:, https: and wss:

    def issue(self, tx: Tx, agent: Agent, subscriptions: Sequence[str]) -> Binding:
        """A token for these subscriptions; ForbiddenError for an agent without a bearer token of its own."""
        if agent.kind != "user" or agent.expires is None:
            raise ForbiddenError("a binding token is given to whoever has a bearer token")
        now = self._clock()
        seconds = int(min(codes.SECONDS, agent.expires - now))
        if seconds < 1:
            raise UnauthenticatedError("the token has expired")
        caller = {"sub": agent.who, "client_id": agent.client, "until": agent.expires}
        once = codes.make(tx, _BIND, {}, now=now, seconds=seconds)
        claims = {
            "name": agent.name,
            "scope": " ".join(sorted(agent.scopes)),
            "patient": agent.patient,
            "of": agent.token_id,
            "subscriptions": list(subscriptions),
            "once": once,
            **caller,
        }
        url = f"{self.url}/{codes.make(tx, _CONNECT, caller, now=now, seconds=seconds)}"
        ends = datetime.fromtimestamp(int(now) + seconds, UTC)
        return Binding(self._tokens.sign(BINDING, agent.who, seconds, claims), ends, url)

    def redeem(self, tx: Tx, token: str) -> Granted:
        """What the token allows, which it never does again; UnauthenticatedError if it is none, used or too old."""
        claims = self._tokens.read(BINDING, token)
        codes.redeem(tx, _BIND, str(claims["once"]), now=self._clock())
        return Granted(_agent(claims), tuple(claims["subscriptions"]))

    def may_connect(self, tx: Tx, path: str) -> None:
        """UnauthenticatedError unless this is an address that somebody was given, and did not use yet."""
        codes.peek(tx, _CONNECT, _code(path), now=self._clock())

    def connect(self, tx: Tx, path: str) -> Agent:
        """Who connects at this address, once and without any scope yet; UnauthenticatedError if nobody may."""
        return _agent(codes.redeem(tx, _CONNECT, _code(path), now=self._clock()))


def _code(path: str) -> str:
    found = _CODED.fullmatch(path)
    if found is None:
        raise UnauthenticatedError("a bearer token, or the address that comes with a binding token, is needed")
    return found[1]


def _agent(claims: dict[str, Any]) -> Agent:
    return Agent(
        who=str(claims["sub"]),
        name=claims.get("name"),
        client=claims.get("client_id"),
        scopes=frozenset(str(claims.get("scope", "")).split()),
        patient=claims.get("patient"),
        token_id=claims.get("of"),
        expires=float(claims["until"]),
    )
