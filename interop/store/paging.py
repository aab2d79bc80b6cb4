"""Page tokens: where a page begins, as text that clients pass back unread."""

from __future__ import annotations

import base64
import binascii
import json
import re

from interop.errors import UnsupportedError

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")  # R4 datatypes.html#id
Position = tuple[int | str, ...]


def write_token(position: Position, *, backwards: bool = False) -> str:
    """The token of the page behind this position (before it, where backwards)."""
    text = json.dumps(["<" if backwards else ">", *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str, shape: tuple[type, ...]) -> tuple[Position, bool]:
    """The position and whether the page lies before it; UnsupportedError where this is no token of ours."""
    try:
        raw = token.encode("ascii")
        value = json.loads(base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _refusal() from error
    if not isinstance(value, list) or len(value) != len(shape) + 1 or value[0] not in ("<", ">"):
        raise _refusal()
    position = tuple(value[1:])
    if any(isinstance(part, str) and not _ID.fullmatch(part) for part in position):
        raise _refusal()
    if any(type(part) is not kind for part, kind in zip(position, shape, strict=True)):
        raise _refusal()
    if any(isinstance(part, int) and abs(part) >= 1 << 62 for part in position):
        raise _refusal()
    return position, value[0] == "<"


def _refusal() -> UnsupportedError:
    return UnsupportedError("the page link is not one that this server wrote; start the search again")
