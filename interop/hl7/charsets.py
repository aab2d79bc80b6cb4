"""Character sets of HL7 table 0211, and which one a message is really in (v2.5.1 2.15.9.18).

Order of belief: a declared multibyte set that fits · ISO 2022 escapes among ASCII · valid UTF-8 (over a stale
single-byte claim) · the declared single-byte set · the set that the site file gives for the sender · windows-1252.
Every step that goes against what the message says, or that had to guess, is an Issue on the message. Decoding comes
before splitting, because the second byte of a Big5 character may be a backslash.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from interop.errors import Issue

UTF8 = "UNICODE UTF-8"


@dataclass(frozen=True, slots=True)
class Charset:
    """``name`` as table 0211 has it, and Python's codec for it."""

    name: str
    codec: str
    multibyte: bool = False


_TABLE = [
    Charset("ASCII", "ascii"),
    *(Charset(f"8859/{part}", f"iso8859_{part}") for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15)),
    Charset(UTF8, "utf_8", True),
    Charset("UNICODE UTF-16", "utf_16", True),
    Charset("UNICODE UTF-32", "utf_32", True),
    Charset("ISO IR87", "iso2022_jp_ext", True),  # JIS X 0208 by ISO 2022 escapes; _ext knows IR14 and IR159, too
    Charset("GB 18030-2000", "gb18030", True),
    Charset("KS X 1001", "cp949", True),  # a superset of EUC-KR
    Charset("BIG-5", "cp950", True),
    *(Charset(f"WINDOWS-{page}", f"cp{page}") for page in range(1250, 1259)),  # these are not in the table, but sent
    Charset("WINDOWS-31J", "cp932", True),
]
_JAPANESE = "iso2022_jp_ext"
_WIDE = ("utf_16", "utf_32")
_BY_LETTERS = {  # of MSH, FHS and BHS
    letter.encode(codec): codec for codec in ("utf_32_le", "utf_32_be", "utf_16_le", "utf_16_be") for letter in "MFB"
}


def _folded(name: str) -> str:
    return "".join(char for char in name.upper() if char.isalnum())


_BY_NAME = {_folded(charset.name): charset for charset in _TABLE}
_ALSO = {  # names outside table 0211 that senders use, and members of one ISO 2022 family
    "UTF8": UTF8, "UNICODE": UTF8, "ISOIR192": UTF8, "UTF16": "UNICODE UTF-16", "USASCII": "ASCII", "ISOIR6": "ASCII",
    "ISOIR13": "ISO IR87", "ISOIR14": "ISO IR87", "ISOIR159": "ISO IR87", "ISO2022JP": "ISO IR87",
    "EUCKR": "KS X 1001", "GB18030": "GB 18030-2000", "BIG5": "BIG-5", "SHIFTJIS": "WINDOWS-31J", "SJIS": "WINDOWS-31J",
    "CP932": "WINDOWS-31J", "ISOIR100": "8859/1", "ISOIR101": "8859/2", "ISOIR109": "8859/3", "ISOIR110": "8859/4",
    "ISOIR144": "8859/5", "ISOIR127": "8859/6", "ISOIR126": "8859/7", "ISOIR138": "8859/8", "ISOIR148": "8859/9",
    **{f"CP{page}": f"WINDOWS-{page}" for page in range(1250, 1259)},
}  # fmt: skip
_BY_NAME.update({alias: _BY_NAME[_folded(name)] for alias, name in _ALSO.items()})
_BY_NAME.update({f"ISO8859{part}": _BY_NAME[f"8859{part}"] for part in range(1, 16) if f"8859{part}" in _BY_NAME})
_BY_NAME.update({f"ISO{name}": charset for name, charset in list(_BY_NAME.items()) if name.startswith("8859")})


@lru_cache(maxsize=256)
def charset_named(name: str) -> Charset | None:
    """The character set of table 0211 (or a known misspelling of one); None if there is none."""
    return _BY_NAME.get(_folded(name))


def _declared(names: list[str]) -> Charset | None:
    known = [found for found in map(charset_named, names) if found]
    for charset in known:
        if charset.codec == _JAPANESE:  # "~ISO IR87": ASCII first, Japanese after an escape
            return charset
    return known[0] if known else None


def _decoded(raw: bytes, codec: str) -> str | None:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return None


def stated_in(fields: list[bytes], repetition: str) -> list[str]:
    """MSH-18 of a header that was split before its character set was known.

    In some sets the second byte of a character may be a bar (a facility's name, say), which moves what follows.
    """
    names = _names(fields, 17, repetition)
    if len(fields) > 18 and not any(map(charset_named, names)):
        for number in range(18, min(len(fields), 23)):
            moved = _names(fields, number, repetition)
            known = _declared(moved)
            if known and known.multibyte:
                return moved
    return names


def _names(fields: list[bytes], number: int, repetition: str) -> list[str]:
    stated = fields[number].decode("ascii", "replace") if number < len(fields) else ""
    return stated.split(repetition) if stated else []


def stated_as(charset: Charset) -> dict[int, str | list[str | tuple[str | tuple[str, ...], ...]]]:
    """MSH-18, and MSH-20 where it needs one (v2.5.1 2.15.9.18, 2.15.9.20): Japanese is ASCII until an escape."""
    if charset.codec == _JAPANESE:
        return {18: ["", charset.name], 20: "ISO 2022-1994"}
    return {18: charset.name}


def wide(raw: bytes) -> str | None:
    """The codec of a message or batch in UTF-16 or UTF-32 (by its BOM or its first letters), else None."""
    if raw[:3] == b"MSH":
        return None
    if raw[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf_32"
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf_16"
    return _BY_LETTERS.get(raw[:4]) or _BY_LETTERS.get(raw[:2])


def plain(raw: bytes) -> bytes:
    """The bytes to look for separators in: of a message in UTF-16 or UTF-32 in UTF-8, of any other as they are."""
    codec = wide(raw)
    return raw if codec is None else raw.decode(codec, "replace").lstrip("\ufeff").encode()


def rewritten(raw: bytes, change: Callable[[bytes], list[bytes]]) -> list[bytes]:
    """What ``change`` makes of the message in UTF-8, in the UTF-16 or UTF-32 of ``raw`` again, with its BOM.

    ``raw`` as it is if it is damaged: nothing takes the place of what cannot be read. Any other set is not touched.
    """
    codec = wide(raw)
    if codec is None:
        return change(raw)
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        return [raw]
    mark = b""
    if codec in _WIDE:
        mark = raw[: 4 if codec == "utf_32" else 2]
        codec += "_le" if mark[0] == 0xFF else "_be"
    return [mark + part.decode().encode(codec) for part in change(text.lstrip("\ufeff").encode())]


def decode_wide(raw: bytes, codec: str) -> tuple[str, Charset, Issue | None]:
    """The text of a message in UTF-16 or UTF-32, with an Issue if not all of it is."""
    charset = _BY_NAME["UNICODEUTF32" if codec.startswith("utf_32") else "UNICODEUTF16"]
    text = _decoded(raw, codec)
    issue = None
    if text is None:
        text = raw.decode(codec, "replace")
        words = f"not all bytes are {charset.name}: U+FFFD stands in the place of those that are not"
        issue = Issue("value", words, (), "MSH-18", "warning", "103")
    return text.lstrip("\ufeff \r\n\t"), charset, issue


def decode(raw: bytes, names: list[str], default: str | None) -> tuple[str, Charset, Issue | None]:
    """The text of a message whose MSH-18 says ``names``; ``default`` is the site's set for this sender."""
    claim = _declared(names)
    stated = "~".join(names)
    if claim and claim.multibyte and not claim.codec.startswith(_WIDE):  # what is wide does not begin with MSH
        text = _decoded(raw, claim.codec)
        if text is not None:
            return text, claim, None
    elif raw.isascii():
        return _ascii(raw, claim, stated)
    text = _decoded(raw, "utf_8")
    if text is not None:
        issue = None if claim is None and not stated else _against(stated, "valid UTF-8")
        return text, _BY_NAME["UNICODEUTF8"], issue
    return _single_byte(raw, claim, stated, charset_named(default) if default else None)


def _ascii(raw: bytes, claim: Charset | None, stated: str) -> tuple[str, Charset, Issue | None]:
    if b"\x1b$" in raw:
        text = _decoded(raw, _JAPANESE)
        if text is not None:
            return text, _BY_NAME["ISOIR87"], _against(stated, "ISO IR87 by its ISO 2022 escapes")
    text = raw.decode("ascii")
    if claim is not None and not claim.multibyte:
        return text, claim, None
    issue = None
    if claim is not None:  # UTF-16 or UTF-32, which this is not
        issue = _against(stated, "ASCII")
    elif stated:
        words = f"the character set {stated!r} is not known"
        issue = Issue("not-supported", words, (), "MSH-18", "warning")
    return text, _BY_NAME["ASCII"], issue


def _single_byte(
    raw: bytes, claim: Charset | None, stated: str, site: Charset | None
) -> tuple[str, Charset, Issue | None]:
    if claim and not claim.multibyte and claim.codec != "ascii":
        odd = claim.codec == "iso8859_1" and not raw.isascii() and any(0x80 <= byte < 0xA0 for byte in set(raw))
        text = None if odd else _decoded(raw, claim.codec)
        if text is not None:
            return text, claim, None
    if site:
        text = _decoded(raw, site.codec)
        if text is not None:
            return text, site, _against(stated, f"{site.name}, the site's setting") if stated else None
    windows = _BY_NAME["WINDOWS1252"]
    text = _decoded(raw, windows.codec)
    if text is None:
        text = raw.decode("latin_1")  # five bytes have no meaning in windows-1252; none may be lost
    return text, windows, _against(stated, "windows-1252 as a guess")


def _against(stated: str, used: str) -> Issue:
    said = f"the message says {stated!r}" if stated else "the message states no character set"
    return Issue("value", f"{said}; it was read as {used}", (), "MSH-18", "warning", "103")
