"""What a client says over a websocket: one of two words, and what it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from interop.errors import MalformedError

BIND = "bind"
BIND_WITH_TOKEN = "bind-with-token"  # noqa: S105 - the word, no secret
_COMMAND = re.compile(r"(bind|bind-with-token) ([!-~]{1,8192})\s*")


@dataclass(frozen=True, slots=True)
class Command:
    """``bind`` a subscription's id (R4 subscription.html) or a token's subscriptions (R5 Backport 1.1, websockets)."""

    word: str
    about: str


def command(text: str) -> Command:
    """The command of a frame; MalformedError where it is none. What was sent may be a secret and is not repeated."""
    found = _COMMAND.fullmatch(text)
    if found is None:
        raise MalformedError("a client says: bind [id], or bind-with-token [token]")
    return Command(found[1], found[2])
