"""Person names as DICOM writes them (PS3.5 6.2.1): up to three groups of family^given^middle^prefix^suffix.

HL7's XPN has suffix before prefix; whoever goes from one to the other has to swap them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from interop.errors import InvalidContentError

GROUP_LENGTH = 64  # characters, per component group
# Backslash separates values, ^ components, = groups; controls have no place in a name.
_FORBIDDEN = re.compile(r"[\\^=\x00-\x1f\x7f\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\\\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class NameParts:
    """The alphabetic group taken apart, the ideographic and phonetic ones as they stand."""

    family: str = ""
    given: str = ""
    middle: str = ""
    prefix: str = ""
    suffix: str = ""
    ideographic: str = ""
    phonetic: str = ""

    @property
    def readable(self) -> str:
        """The name as people write it: prefix, given, middle, family, suffix."""
        parts = (self.prefix, self.given, self.middle, self.family, self.suffix)
        spoken = " ".join(part for part in parts if part)
        return spoken or " ".join(part for part in self.ideographic.split("^") if part)


@lru_cache(maxsize=1024)
def person_name(
    family: str = "",
    given: str = "",
    middle: str = "",
    prefix: str = "",
    suffix: str = "",
    *,
    ideographic: str = "",
    phonetic: str = "",
) -> str:
    """A PN value of its parts. What would be structure in a part becomes a space, so that data stays data."""
    parts = [part and _plain(part) for part in (family, given, middle, prefix, suffix)]
    groups = ["^".join(parts).rstrip("^"), ideographic.strip(), phonetic.strip()]
    return checked_person_name("=".join(groups).rstrip("="))


def _plain(part: str) -> str:
    return " ".join(_FORBIDDEN.sub(" ", part).split())


def checked_person_name(text: str) -> str:
    """The PN value itself; InvalidContentError if PS3.5 6.2 does not allow it."""
    groups = text.split("=")
    if len(groups) > 3:
        raise InvalidContentError("a person name has at most three component groups")
    if _CONTROL.search(text):
        raise InvalidContentError("a person name holds no backslash and no control character")
    for group in groups:
        if len(group) > GROUP_LENGTH:
            raise InvalidContentError(f"a person name has at most {GROUP_LENGTH} characters in a group")
        if group.count("^") > 4:
            raise InvalidContentError("a person name has at most five components")
    return text


def readable(text: str) -> str:
    """A PN value as people write the name; "" where it names nobody."""
    return name_parts(text).readable


def name_parts(text: str) -> NameParts:
    """A PN value taken apart; a device's excess components are kept with the last one."""
    groups = ([group.strip() for group in text.split("=", 2)] + ["", "", ""])[:3]
    parts = [part.strip() for part in groups[0].split("^", 4)]
    family, given, middle, prefix, suffix = (parts + [""] * 5)[:5]
    return NameParts(family, given, middle, prefix, " ".join(suffix.split("^")).strip(), groups[1], groups[2])
