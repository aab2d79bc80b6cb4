"""SMART App Launch 2.2 scopes: ``(patient|user|system)/(Type|*).cruds``, the v1 forms read as the v2 they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from interop.errors import InvalidContentError

VERBS = "cruds"  # create, read, update, delete, search: the only order the letters may have (SMART 2.2, 3.0.2)
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_SCOPE = re.compile(r"(patient|user|system)/([A-Z][A-Za-z]{1,63}|\*)\.(c?r?u?d?s?|read|write|\*)")


@dataclass(frozen=True, slots=True)
class Scope:
    """One grant."""

    context: str  # patient | user | system
    type: str  # a resource type, or * for all
    verbs: str  # letters out of cruds

    def covers(self, verb: str, type_: str) -> bool:
        """Whether the interaction is granted, the context left aside."""
        return verb in self.verbs and self.type in ("*", type_)


def parse_scope(text: str) -> Scope | None:
    """The scope, or None for anything that is not one: such text grants nothing.

    Letters out of order (``.dus``) are undefined, and a search-parameter constraint (``.rs?category=…``) narrows in a
    way that this server does not enforce, so neither may grant anything.
    """
    match = _SCOPE.fullmatch(text)
    if match is None or not match.group(3):
        return None
    return Scope(match.group(1), match.group(2), _V1.get(match.group(3), match.group(3)))


@lru_cache(maxsize=1024)
def granted(scopes: frozenset[str]) -> tuple[Scope, ...]:
    """The scopes that are understood; a caller with the same token costs one look-up."""
    return tuple(scope for scope in map(parse_scope, sorted(scopes)) if scope is not None)


def check_scopes(texts: Iterable[str]) -> frozenset[str]:
    """The scopes as given, each of them understood: what may stand in a token that this server issues."""
    scopes = frozenset(texts)
    for text in sorted(scopes):
        if parse_scope(text) is None:
            raise InvalidContentError(
                f"{text!r} is not a scope: (patient|user|system)/(Type|*).cruds, e.g. system/*.cruds", status=400
            )
    if not scopes:
        raise InvalidContentError("a token needs at least one scope, e.g. system/*.cruds", status=400)
    return scopes
