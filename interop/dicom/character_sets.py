"""Text as a station reads it: SpecificCharacterSet (PS3.3 C.12.1.1.2), code extensions included (PS3.5 6.1.2.5).

What a station's character set cannot hold is written so that a person can still read it: accents go first, Greek and
Cyrillic letters become Latin ones, an ideographic or phonetic group goes where the alphabetic one is there.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from pydicom.charset import convert_encodings, encode_string

from interop.errors import InvalidContentError

UNICODE = "ISO_IR 192"
_ASCII = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
_SINGLE = frozenset(f"ISO_IR {number}" for number in (13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203))
_WHOLE = frozenset({UNICODE, "GB18030", "GBK"})
_EXTENDING = frozenset(
    f"ISO 2022 IR {number}" for number in (13, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166)
)

_OU = re.compile("([οΟ])([υύὺῦὐὑὒὓὔὕὖὗΥΎὙὛὝὟ])")  # one sound: ELOT 743 writes ou, where υ alone is y
_TO_ASCII, _TO_ROMAN, _TO_KANJI = b"\x1b(B", b"\x1b(J", (b"\x1b$B", b"\x1b$(D")

_ROMAN = (  # Greek by ELOT 743, Cyrillic, Latin
    "α a β v γ g δ d ε e ζ z η i θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s ς s τ t υ y φ f χ ch ψ ps ω o "
    "а a б b в v г g д d е e ж zh з z и i й y к k л l м m н n о o п p р r с s т t у u ф f х kh ц ts ч ch ш sh щ shch "
    "ъ - ы y ь - э e ю yu я ya і i ї i є ye ґ g ß ss æ ae œ oe ø o đ d ł l þ th ð d ı i"
)
_PAIRS = _ROMAN.split()
_LETTERS = {letter: latin.strip("-") for letter, latin in zip(_PAIRS[::2], _PAIRS[1::2], strict=True)}


def checked_character_set(value: str) -> tuple[str, ...]:
    """The values of a SpecificCharacterSet, which a backslash separates; InvalidContentError if DICOM has no such."""
    values = tuple(part.strip() for part in value.split("\\"))
    first, rest = values[0], values[1:]
    if not rest and (first in _ASCII or first in _SINGLE or first in _WHOLE or first in _EXTENDING):
        return values
    if rest and (first in _ASCII or first in _EXTENDING) and all(one in _EXTENDING for one in rest):
        return values
    raise InvalidContentError(f"{value!r} is no character set of DICOM (PS3.3 C.12.1.1.2)")


class CharacterSet:
    """One SpecificCharacterSet to write in. Text that does not fit is rewritten, never refused and never garbage."""

    def __init__(self, value: str = UNICODE) -> None:
        self.values = checked_character_set(value)
        self.value = "\\".join(self.values)
        codecs = list(convert_encodings(list(self.values)))
        # pydicom takes the default repertoire for Latin-1; what is declared as ISO 646 has to be ISO 646.
        self._codecs = ["ascii" if self.values[i] in _ASCII else codec for i, codec in enumerate(codecs)]

    def fits(self, text: str) -> bool:
        """Whether the text can be written as it is."""
        return text.isascii() or all(_holds(self._codecs, character) for character in text)

    def encode(self, text: str) -> bytes:
        """The bytes of a text; nothing of it is lost that could be rewritten."""
        if text.isascii():
            return text.encode()
        return _encoded(tuple(self._codecs), text if self.fits(text) else self._rewritten(text))

    def encode_name(self, name: str) -> bytes:
        """The bytes of a PN value: the initial set is in force again before each delimiter (PS3.5 6.1.2.5.3)."""
        if name.isascii():
            return name.encode()
        groups = name.split("=")
        if groups[0].replace("^", "").strip():
            groups = [groups[0], *(group if self.fits(group) else "" for group in groups[1:])]
        return b"=".join(self._group(group) for group in groups).rstrip(b"=")

    def _group(self, group: str) -> bytes:
        return b"^".join(self.encode(component) for component in group.split("^"))

    def _rewritten(self, text: str) -> str:
        """Without the accents that do not fit; where that is not enough, every letter that has a Latin form in it."""
        composed = unicodedata.normalize("NFC", text)
        plain = "".join(one if self.fits(one) else without_accents(one) for one in composed)
        if self.fits(plain):
            return plain
        spoken = _OU.sub(lambda found: found[1] + ("U" if found[2].isupper() else "u"), composed)
        latin = "".join(_latin(letter) for one in spoken for letter in _bare(one))
        return "".join(one if self.fits(one) else self._nearest(one) for one in latin)

    def _nearest(self, character: str) -> str:
        plain = without_accents(character)
        return plain if self.fits(plain) else "?"


def _bare(character: str) -> str:
    """A letter as the table of Latin forms has it."""
    return character if character.lower() in _LETTERS else _greek_bare(character)


def _greek_bare(character: str) -> str:
    plain = without_accents(character)
    return plain if plain.lower() in _LETTERS else character


def without_accents(text: str) -> str:
    """The text without combining marks: ά is α, é is e; letters that are no accented ones stay (й is и, ё is е)."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFD", text)
    kept = "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
    return unicodedata.normalize("NFC", kept)


def _latin(letter: str) -> str:
    lower = letter.lower()
    found = _LETTERS.get(lower)
    if found is None:
        return letter
    return found if letter == lower else found.capitalize()


@lru_cache(maxsize=4096)
def _encoded(codecs: tuple[str, ...], text: str) -> bytes:
    if codecs[0] == "ascii" and "latin_1" not in codecs:
        codecs = ("iso8859", *codecs[1:])  # pydicom's name of the default repertoire, whose escape sequence it knows
    encoded = encode_string(text, list(codecs))
    if any(shift in encoded for shift in _TO_KANJI) and not encoded.endswith((_TO_ASCII, _TO_ROMAN)):
        encoded += _TO_ASCII
    return encoded


def _holds(codecs: list[str], character: str) -> bool:
    return _held(tuple(codecs), character)


@lru_cache(maxsize=65536)
def _held(codecs: tuple[str, ...], character: str) -> bool:
    for codec in codecs:
        try:
            encoded = character.encode(codec)
        except UnicodeError:
            continue
        if codec != "shift_jis" or len(encoded) == 1:  # ISO-IR 13 is the single-byte part of it (JIS X 0201)
            return True
    return False
