"""Single-use codes: the only secret that may stand in a URL.

A code lives for at most sixty seconds and opens one door once. The store keeps its hash and what it opens, so any
replica can redeem what another made, and a copy of the database opens nothing. All codes of one shard lie in one row,
which is rewritten without the dead ones whenever it is touched: nothing is left to clear up.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from typing import Any

from interop.errors import UnauthenticatedError
from interop.store import Tx

SECONDS = 60
CODE = re.compile(r"[A-Za-z0-9_-]{43}")


def make(tx: Tx, purpose: str, opens: dict[str, Any], *, now: float, seconds: int = SECONDS) -> str:
    """A new code that opens this once, for this purpose only."""
    if not 0 < seconds <= SECONDS:
        raise ValueError(f"a code lives for at most {SECONDS} seconds")
    code = secrets.token_urlsafe(32)
    digest = _digest(purpose, code)
    shard = _shard(digest)
    tx.lock(shard)
    living = _living(tx, shard, now)
    living[digest] = {"until": now + seconds, "opens": opens}
    tx.set_state(shard, json.dumps(living))
    return code


def peek(tx: Tx, purpose: str, code: str, *, now: float) -> dict[str, Any]:
    """What the code would open; UnauthenticatedError if it is unknown, used or too old."""
    digest = _digest(purpose, code)
    found = _living(tx, _shard(digest), now).get(digest)
    if found is None:
        raise UnauthenticatedError("the link was used before, or is older than a minute")
    return dict(found["opens"])


def redeem(tx: Tx, purpose: str, code: str, *, now: float) -> dict[str, Any]:
    """What the code opens, which it never does again; UnauthenticatedError if it is unknown, used or too old."""
    digest = _digest(purpose, code)
    shard = _shard(digest)
    tx.lock(shard)
    opens = peek(tx, purpose, code, now=now)
    living = _living(tx, shard, now)
    del living[digest]
    tx.set_state(shard, json.dumps(living))
    return opens


def _digest(purpose: str, code: str) -> str:
    return hashlib.sha256(f"{purpose}:{code}".encode()).hexdigest()


def _shard(digest: str) -> str:
    return f"codes:{digest[0]}"


def _living(tx: Tx, shard: str, now: float) -> dict[str, Any]:
    kept = json.loads(tx.get_state(shard) or "{}")
    return {digest: entry for digest, entry in kept.items() if entry["until"] > now}
