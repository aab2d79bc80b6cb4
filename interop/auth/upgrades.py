"""The gate in front of websockets: an upgrade is let through with its agent, or answered, before anything is read.

The request line and headers say who it is: a bearer token, or the single-use code of an address that came with a
binding token. Cookies count for nothing here, so another site cannot use a browser's; where a browser says which site
it shows, that has to be this server (RFC 6455 10.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from interop.access import Agent
from interop.auth.bindings import SOCKET_PATH, Bindings
from interop.auth.refusals import Refusals
from interop.auth.tokens import Tokens
from interop.errors import ForbiddenError, InteropError, InvalidContentError, NotFoundError, UnauthenticatedError
from interop.store import Store

_NOBODY = Agent("unknown", "anonymous")


class Upgrades:
    """Says whose an upgrade is."""

    def __init__(self, store: Store, tokens: Tokens, bindings: Bindings, refusals: Refusals, public_url: str) -> None:
        self._store = store
        self._tokens = tokens
        self._bindings = bindings
        self._refusals = refusals
        self._public_host = urlsplit(public_url).netloc

    async def agent(self, path: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]) -> Agent:
        """Who connects; UnauthenticatedError, ForbiddenError, NotFoundError or InvalidContentError for nobody."""
        origin = headers.get(b"origin")
        if origin is not None:
            host = urlsplit(origin.decode("latin-1")).netloc
            if not host or host not in (headers.get(b"host", b"").decode("latin-1"), self._public_host):
                raise ForbiddenError("the websocket is asked for by another site")
        if query:
            raise InvalidContentError("a websocket's address has no query", status=400)
        authorization = headers.get(b"authorization")
        if authorization is None:
            return await self._by_code(path if raw_path == path.encode("utf-8", "replace") else "")
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("a bearer token is needed")
        found = self._tokens.verify(token.strip())
        if path != SOCKET_PATH:
            raise NotFoundError(f"websockets are at {SOCKET_PATH}")
        return found

    async def _by_code(self, path: str) -> Agent:
        await self._store.view(lambda tx: self._bindings.may_connect(tx, path))  # who knocks in vain writes nothing
        return await self._store.unit(_NOBODY, lambda tx: self._bindings.connect(tx, path))

    async def record(self, error: InteropError, address: str | None, request_id: str) -> None:
        """Keep the trace of an upgrade that was refused."""
        nobody = Agent("unknown", "anonymous", address=address, request_id=request_id)
        await self._refusals.record(nobody, f"{error.issue_code}: {error.text} (websocket)")
