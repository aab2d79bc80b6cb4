"""A token is what this server signed for this use, now; nothing in it chooses how it is checked."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from interop.auth import Keys, Tokens
from interop.auth.tokens import BEARER, CONSOLE, ISSUER, VIEWER
from interop.errors import InvalidContentError, UnauthenticatedError

SECRET = b"k" * 32
NOW = 1_800_000_000


class Clock:
    now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(Keys(SECRET), clock=clock)


def forged(header: dict[str, Any] | None = None, key: Any = None, algorithm: str = "HS256", **changes: Any) -> str:
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": BEARER,
        "sub": "dr",
        "scope": "system/*.cruds",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 60,
        "jti": "j",
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    header = {"alg": algorithm, "typ": "at+jwt"} | (header or {})
    return jwt.encode(header, claims, key or OctKey.import_key(SECRET), [algorithm])


def refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        tokens.verify(token)
    return caught.value.text


def test_a_token_carries_its_agent(tokens: Tokens) -> None:
    token = tokens.issue("dr", ["patient/*.rs"], patient="p1", name="Dr Γεωργίου", client="app")
    agent = tokens.verify(token)
    assert (agent.who, agent.kind, agent.patient, agent.name, agent.client) == (
        "dr",
        "user",
        "p1",
        "Dr Γεωργίου",
        "app",
    )
    assert agent.scopes == {"patient/*.rs"}
    assert agent.studies is None
    assert agent.token_id
    assert tokens.verify(token) is agent, "a known token costs one look-up"
    assert tokens.verify(forged()).who == "dr"


def test_it_ends_when_it_says_even_if_it_was_seen_before(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue("dr", ["system/*.cruds"], minutes=1)
    tokens.verify(token)
    clock.now += 61
    assert refused(tokens, token) == "the token has expired"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "urn:else"},
        {"iss": None},
        {"aud": VIEWER},
        {"aud": CONSOLE},
        {"aud": None},
        {"aud": ["urn:else"]},
        {"exp": None},
        {"exp": NOW - 1},
        {"exp": "tomorrow"},
        {"nbf": NOW + 60},
        {"nbf": None},
        {"iat": NOW + 600},
        {"sub": None},
        {"jti": None},
        {"sub": 7},
    ],
)
def test_every_claim_counts(tokens: Tokens, changes: dict[str, Any]) -> None:
    refused(tokens, forged(**changes))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"kid": "../../dev/null"},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "oct", "k": "a"}},
        {"crit": ["exp"]},
    ],
)
def test_no_header_steers_the_check(tokens: Tokens, header: dict[str, Any]) -> None:
    part = forged().split(".")
    whole = {"alg": "HS256", "typ": "at+jwt"} | header
    encoded = base64.urlsafe_b64encode(json.dumps(whole).encode()).rstrip(b"=").decode()
    import hashlib
    import hmac

    signed = f"{encoded}.{part[1]}"
    mac = base64.urlsafe_b64encode(hmac.new(SECRET, signed.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    refused(tokens, f"{signed}.{mac}")


def test_no_other_algorithm_or_key(tokens: Tokens) -> None:
    refused(tokens, forged(key=OctKey.import_key(b"x" * 32)))
    refused(tokens, forged(key=OctKey.import_key(b"k" * 64), algorithm="HS512"))
    refused(tokens, forged(key=RSAKey.generate_key(2048), algorithm="RS256"))
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    refused(tokens, f"{head}.{forged().split('.')[1]}.")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "..", "a" * 9000, "é.é.é", "null.null.null", "e30.e30.e30"])
def test_what_is_no_token_is_refused(tokens: Tokens, text: str) -> None:
    refused(tokens, text)


def test_a_changed_token_is_refused(tokens: Tokens) -> None:
    token = tokens.issue("dr", ["user/Patient.r"])
    head, body, mac = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["scope"] = "system/*.cruds"
    wider = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    refused(tokens, f"{head}.{wider}.{mac}")


def test_what_was_signed_for_one_use_is_worthless_for_another(tokens: Tokens) -> None:
    cookie = tokens.sign(VIEWER, "dr", 60, {"scope": "system/*.cruds", "studies": ["1.2"]})
    refused(tokens, cookie)
    with pytest.raises(UnauthenticatedError):
        tokens.read(CONSOLE, cookie)
    with pytest.raises(UnauthenticatedError):
        tokens.read(VIEWER, tokens.issue("dr", ["system/*.cruds"]))


def test_claims_given_cannot_replace_the_servers_own(tokens: Tokens) -> None:
    signed = tokens.read(VIEWER, tokens.sign(VIEWER, "dr", 60, {"aud": BEARER, "exp": NOW * 2, "sub": "root"}))
    assert (signed["aud"], signed["exp"], signed["sub"]) == (VIEWER, NOW + 60, "dr")


@pytest.mark.parametrize(
    ("subject", "scopes", "minutes"),
    [
        ("", ["system/*.cruds"], 60),
        ("dr", [], 60),
        ("dr", ["admin"], 60),
        ("dr", ["user/Patient.sr"], 60),
        ("dr", ["system/*.cruds"], 0),
        ("dr", ["system/*.cruds"], 10**7),
    ],
)
def test_what_cannot_be_meant_is_not_issued(tokens: Tokens, subject: str, scopes: list[str], minutes: int) -> None:
    with pytest.raises(InvalidContentError):
        tokens.issue(subject, scopes, minutes=minutes)
