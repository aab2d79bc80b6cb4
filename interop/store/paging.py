"""Page tokens: where a page begins, as text that clients pass back unread."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from interop.errors import UnsupportedError

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")  # R4 datatypes.html#id
Position = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of a search begins: behind this resource (before it, where backwards), as it was at this instant.

    ``of`` names the search, so that a link of one is not followed with another.
    """

    id: str
    as_of: int
    of: str
    backwards: bool = False

    def text(self) -> str:
        """As the link has it."""
        return write_token((self.id, self.as_of, self.of), backwards=self.backwards)


def read_cursor(token: str, of: str) -> Cursor:
    """The cursor of a search; UnsupportedError where this is none of ours, or another search's."""
    position, backwards = read_token(token, (str, int, str))
    id, as_of, search = position
    if search != of:
        raise UnsupportedError("the page link is of another search; follow it as it is", issue_code="value")
    return Cursor(str(id), int(as_of), of, backwards)


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
    return UnsupportedError(
        "the page link is not one that this server wrote; start the search again", issue_code="value"
    )
