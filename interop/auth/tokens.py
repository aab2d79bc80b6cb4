"""Bearer tokens and cookie contents: JWTs of this server's own key, each kind with an audience of its own.

One algorithm is accepted and no header but ``alg`` and ``typ``, so a token can neither choose how it is checked nor
bring a key along (RFC 8725 3.1, 3.10).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwt import JWTClaimsRegistry

from interop.access import Agent, check_scopes
from interop.auth.keys import Keys
from interop.errors import InvalidContentError, UnauthenticatedError

ISSUER = "urn:interop:issuer"
BEARER = "urn:interop:bearer"  # the audiences; what was signed for one use is worthless for another
VIEWER = "urn:interop:viewer"
CONSOLE = "urn:interop:console"
BINDING = "urn:interop:binding"
_ALGORITHM = "HS256"
_TYPES = {BEARER: "at+jwt", VIEWER: "JWT", CONSOLE: "JWT", BINDING: "JWT"}
_LONGEST = 8192
_MAX_MINUTES = 366 * 24 * 60
_KEPT = 2048  # verified tokens held in memory


class Tokens:
    """Signs and checks."""

    def __init__(self, keys: Keys, *, clock: Callable[[], float] = time.time) -> None:
        self._key = keys.key
        self._clock = clock
        self._claims = {
            audience: JWTClaimsRegistry(
                now=lambda: int(self._clock()),
                iss={"essential": True, "value": ISSUER},
                aud={"essential": True, "value": audience},
                exp={"essential": True},
                nbf={"essential": True},
                sub={"essential": True},
                jti={"essential": True},
            )
            for audience in _TYPES
        }
        self._known: dict[str, tuple[float, Agent]] = {}

    def sign(self, audience: str, subject: str, seconds: int, claims: dict[str, Any]) -> str:
        """A signed statement for one use, with an identity of its own (``jti``) and an end."""
        now = int(self._clock())
        own = {"iss": ISSUER, "aud": audience, "sub": subject, "iat": now, "nbf": now, "exp": now + seconds}
        header = {"alg": _ALGORITHM, "typ": _TYPES[audience]}
        return jwt.encode(header, {**claims, **own, "jti": secrets.token_urlsafe(12)}, self._key, [_ALGORITHM])

    def read(self, audience: str, text: str) -> dict[str, Any]:
        """The claims of a statement signed for this use; UnauthenticatedError if it is not one, or not valid now."""
        if len(text) > _LONGEST:
            raise UnauthenticatedError("the token is too long")
        try:
            token = jwt.decode(text, self._key, [_ALGORITHM])
            if set(token.header) != {"alg", "typ"} or token.header["typ"] != _TYPES[audience]:
                raise UnauthenticatedError("the token is of another kind")
            self._claims[audience].validate(token.claims)
        except ExpiredTokenError:
            raise UnauthenticatedError("the token has expired") from None
        except (JoseError, ValueError, TypeError):
            raise UnauthenticatedError("the token is not valid here") from None
        return dict(token.claims)

    def issue(
        self,
        subject: str,
        scopes: Iterable[str],
        *,
        patient: str | None = None,
        name: str | None = None,
        client: str | None = None,
        minutes: int = 60,
    ) -> str:
        """A bearer token for a person or an app. InvalidContentError for a scope that is none."""
        if not subject or not 1 <= minutes <= _MAX_MINUTES:
            raise InvalidContentError("a token needs a subject and 1 to 527040 minutes", status=400)
        claims: dict[str, Any] = {"scope": " ".join(sorted(check_scopes(scopes)))}
        given = {"patient": patient, "name": name, "client_id": client}
        claims |= {key: value for key, value in given.items() if value}
        return self.sign(BEARER, subject, minutes * 60, claims)

    def verify(self, token: str) -> Agent:
        """The agent whom the bearer token stands for; UnauthenticatedError if it does not stand for one now."""
        known = self._known.get(token)
        if known is not None and known[0] > self._clock():
            return known[1]
        claims = self.read(BEARER, token)
        agent = Agent(
            who=str(claims["sub"]),
            name=_text(claims, "name"),
            client=_text(claims, "client_id"),
            scopes=frozenset((_text(claims, "scope") or "").split()),
            patient=_text(claims, "patient"),
            token_id=str(claims["jti"]),
            expires=float(claims["exp"]),
        )
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[token] = (float(claims["exp"]), agent)
        return agent


def _text(claims: dict[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) and value else None
