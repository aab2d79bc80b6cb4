r"""Encoding characters (MSH-1, MSH-2) and escape sequences (v2.5.1 2.5.4, 2.7).

Escapes are read after splitting and written before joining. Known: \F\ \S\ \T\ \R\ \E\ \P\ (delimiters), \Xhh..\
(bytes in the message's character set), \.br\ and the other formatting commands (2.7.6), \H\ \N\ (highlighting,
dropped). All else (\Zxx\, \Cxxyy\, a lone backslash) stays as it is.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import lru_cache

from interop.errors import MalformedError


@dataclass(frozen=True, slots=True)
class Encoding:
    """The delimiters of one message, and what its \\Xhh\\ bytes mean."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = "#"
    codec: str = "utf_8"
    _escapes: re.Pattern[str] = dataclasses.field(init=False, repr=False, compare=False)
    _special: re.Pattern[str] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mark = re.escape(self.escape)
        known = r"[FSTREPHN]|X(?:[0-9A-Fa-f]{2})+|\.(?:br|fi|nf|ce|sp[+-]?\d*|in[+-]?\d*|ti[+-]?\d*|sk[+-]?\d*)"
        object.__setattr__(self, "_escapes", re.compile(f"{mark}({known}){mark}"))
        delimiters = re.escape(self.field + self.component + self.repetition + self.escape + self.subcomponent)
        object.__setattr__(self, "_special", re.compile(rf'[{delimiters}\x00-\x1f\x7f]|^""$'))

    def unescape(self, text: str) -> str:
        """The text that the escaped form stands for."""
        if self.escape not in text:
            return text
        return self._escapes.sub(self._meaning, text)

    def _meaning(self, match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 1:
            return {
                "F": self.field,
                "S": self.component,
                "R": self.repetition,
                "E": self.escape,
                "T": self.subcomponent,
                "P": self.truncation,
            }.get(code, "")
        if code[0] == "X":
            data = bytes.fromhex(code[1:])
            try:
                return data.decode(self.codec)
            except UnicodeDecodeError:
                return data.decode("latin_1")
        command, amount = code[1:3], code[3:].lstrip("+-")
        times = min(int(amount or 1), 99)
        return {"br": "\n", "ce": "\n", "sp": "\n" * times, "sk": " " * times}.get(command, "")

    def escaped(self, text: str) -> str:
        """The text with nothing left in it that could be read as structure; ``unescape`` gives it back."""
        if self._special.search(text) is None:
            return text
        if text == '""':
            return f"{self.escape}X2222{self.escape}"  # two bare quotes would delete the receiver's value (2.5.3)
        return "".join(self._escape(char) for char in text)

    def _escape(self, char: str) -> str:
        name = {
            self.field: "F",
            self.component: "S",
            self.repetition: "R",
            self.escape: "E",
            self.subcomponent: "T",
            "\n": ".br",
        }.get(char)
        if name is None and (char < " " or char == "\x7f"):
            name = f"X{ord(char):02X}"
        return char if name is None else f"{self.escape}{name}{self.escape}"


@lru_cache(maxsize=64)
def encoding_of(characters: str, codec: str) -> Encoding:
    """From MSH-1 and MSH-2 (``|^~\\&``); MalformedError if they cannot be delimiters."""
    declared = characters[1:]
    if not 2 <= len(declared) <= 5 or len(set(characters)) != len(characters):
        raise MalformedError(f"{declared!r} are not encoding characters", location="MSH-2")
    if any(char.isalnum() or char.isspace() or not char.isprintable() for char in characters):
        raise MalformedError(f"{characters!r} are not delimiters", location="MSH-2")
    unused = "\ue000\ue001#"  # private characters stand for delimiters that the sender does without
    full = characters + unused[len(characters) - 3 :] if len(characters) < 6 else characters
    return Encoding(full[0], full[1], full[2], full[3], full[4], full[5], codec)
