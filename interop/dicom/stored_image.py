"""Where the pixels of a stored file lie, told from its beginning alone (PS3.10 7.1, PS3.5 7.1, A.4).

Strict and short-sighted on purpose: it walks the top level of a data set, skips what is nested, and says nothing of a
file in which anything is odd. Who asks then lets the archive read the file. pydicom needs some ten times as long for
the same answer, and more for files that are odd.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
MEDIA_TYPES = {  # PS3.18 8.7.3.3, for what is read here
    IMPLICIT: "application/octet-stream",
    EXPLICIT: "application/octet-stream",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}

_UNDEFINED = 0xFFFFFFFF
_ELEMENT = struct.Struct("<IHH")  # tag, VR, length
_ITEM = struct.Struct("<II")  # tag, length; an element with implicit VR too
_LENGTH = struct.Struct("<I")
_ITEM_START, _ITEM_END, _SEQUENCE_END = 0xE000FFFE, 0xE00DFFFE, 0xE0DDFFFE  # as they lie in the file: (group, element)
_PREAMBLE = 128
_GROUP_LENGTH = b"\2\0\0\0UL\4\0"
_MOST_ELEMENTS = 4096
_DEEPEST = 16
_PIXEL_DATA = 0x7FE00010
_SYNTAX = 0x00020010
_STUDY, _SERIES, _INSTANCE = 0x0020000D, 0x0020000E, 0x00080018
_FRAMES = 0x00280008
_SAMPLES, _PLANAR, _ROWS, _COLUMNS = 0x00280002, 0x00280006, 0x00280010, 0x00280011
_ALLOCATED, _STORED, _HIGH_BIT, _REPRESENTATION = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_NUMBERS = frozenset({_SAMPLES, _PLANAR, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH_BIT, _REPRESENTATION})
_TEXTS = frozenset({_STUDY, _SERIES, _INSTANCE, _FRAMES})
_WANTED = _NUMBERS | _TEXTS
_PRIVATE_PIXELS = 0x07A1  # the group of Philips' own compression beside empty looking pixel data
_FIRST = 0x00080000  # of what a data set in a file may hold (PS3.10 7.1)


def _vrs(names: str) -> list[int]:
    """Of names of two letters, the numbers that stand for them in a file."""
    return [value for (value,) in struct.iter_unpack("<H", names.encode("ascii"))]


_LONG_LENGTH = {  # by VR: two bytes of length, or two reserved ones and four (PS3.5 7.1.2)
    **dict.fromkeys(_vrs("AEASATCSDADSDTFDFLISLOLTPNSHSLSSSTTMUIULUS"), False),
    **dict.fromkeys(_vrs("OBODOFOLOVOWSQSVUCUNURUTUV"), True),
}
_SQ, _OB, _OW, _US, _UI, _IS = _vrs("SQOBOWUSUIIS")
_FITTING = {**dict.fromkeys(_NUMBERS, _US), _STUDY: _UI, _SERIES: _UI, _INSTANCE: _UI, _FRAMES: _IS}
_NOT_PLAIN = (0, 0)

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What the beginning of a file says of its pixels."""

    transfer_syntax: str  # a key of MEDIA_TYPES
    study: str
    series: str
    instance: str
    frames: int
    start: int = 0  # where the bytes of the only frame begin; 0 where they are not one run up to the end of the file
    length: int = 0  # of the frame


@dataclass(frozen=True, slots=True)
class Short:
    """The beginning that was given ends too early."""

    needed: int  # bytes; more may be needed then


class _ShortError(Exception):
    def __init__(self, needed: int) -> None:
        self.needed = needed


class _OddError(Exception):
    """The file is left to others."""


def read_stored_image(data: Bytes, total: int) -> StoredImage | Short | None:
    """What the first bytes of a file of ``total`` bytes tell; None where they are not plainly readable."""
    try:
        return _read(data, total)
    except _ShortError as short:
        return Short(short.needed) if len(data) < short.needed <= total else None
    except _OddError:
        return None


def first_values(data: Bytes, wanted: frozenset[int], last: int) -> dict[int, bytes] | None:
    """The wanted values of a file's data set up to the element ``last``, as they stand; tags as 0xGGGGEEEE.

    None where the bytes are too few for that, or anything is odd.
    """
    try:
        syntax, position = _beginning(data)
        walk = _Walk(data, implicit=syntax == IMPLICIT)
        return walk.values(position, wanted, last)
    except (_ShortError, _OddError):
        return None


def _beginning(data: Bytes) -> tuple[str, int]:
    """The transfer syntax, and where the data set begins."""
    if len(data) < _PREAMBLE + 4:
        raise _ShortError(_PREAMBLE + 4)
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        raise _OddError
    syntax, position = _meta(data, _PREAMBLE + 4)
    if syntax not in MEDIA_TYPES:
        raise _OddError
    return syntax, position


def _read(data: Bytes, total: int) -> StoredImage:
    syntax, position = _beginning(data)
    walk = _Walk(data, implicit=syntax == IMPLICIT)
    position, vr, length = walk.to_pixels(position)
    texts = walk.texts
    if not {_STUDY, _SERIES, _INSTANCE} <= texts.keys():
        raise _OddError
    frames = _count(texts.get(_FRAMES, "1"))
    start, size = _NOT_PLAIN
    if frames == 1 and position and not walk.private_pixels:
        if syntax in (IMPLICIT, EXPLICIT):
            start, size = _native(walk.numbers, (position, vr, length), total)
        else:
            start, size = _encapsulated(data, (position, vr, length), total)
    return StoredImage(syntax, texts[_STUDY], texts[_SERIES], texts[_INSTANCE], frames, start, size)


def _meta(data: Bytes, position: int) -> tuple[str, int]:
    """Transfer syntax, and where the data set begins. The meta information is always Explicit VR (PS3.10 7.1)."""
    syntax = ""
    if position + 12 > len(data):
        raise _ShortError(position + 12)
    if data[position : position + 8] != _GROUP_LENGTH:
        raise _OddError
    end = position + 12 + _LENGTH.unpack_from(data, position + 8)[0]
    position += 12
    for _ in range(_MOST_ELEMENTS):
        if position >= end:
            if position > end:
                raise _OddError
            return syntax, position
        key, vr, length, value = _explicit(data, position)
        if key >> 16 != 2:
            raise _OddError
        if key == _SYNTAX and vr == _UI:
            syntax = _text(data, value, length)
        position = value + length
    raise _OddError


def _explicit(data: Bytes, position: int) -> tuple[int, int, int, int]:
    """Tag, VR, length, and where the value begins."""
    try:
        tag, vr, length = _ELEMENT.unpack_from(data, position)
        if _LONG_LENGTH[vr]:
            (length,) = _LENGTH.unpack_from(data, position + 8)
            return (tag & 0xFFFF) << 16 | tag >> 16, vr, length, position + 12
    except struct.error:  # an element that ends a file in eight bytes holds no pixels
        raise _ShortError(position + 12) from None
    except KeyError:
        raise _OddError from None
    return (tag & 0xFFFF) << 16 | tag >> 16, vr, length, position + 8


def _implicit(data: Bytes, position: int) -> tuple[int, int, int, int]:
    if position + 8 > len(data):
        raise _ShortError(position + 8)
    tag, length = _ITEM.unpack_from(data, position)
    return (tag & 0xFFFF) << 16 | tag >> 16, 0, length, position + 8


def _text(data: Bytes, start: int, length: int) -> str:
    if length > 64:
        raise _OddError
    if start + length > len(data):
        raise _ShortError(start + length)
    try:
        return bytes(data[start : start + length]).rstrip(b"\0 ").decode("ascii")
    except UnicodeDecodeError:
        raise _OddError from None


def _count(text: str) -> int:
    if not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise _OddError
    return int(text)


class _Walk:
    """From element to element of a data set in Little Endian."""

    def __init__(self, data: Bytes, *, implicit: bool) -> None:
        self._data = data
        self._implicit = implicit
        self._element = _implicit if implicit else _explicit
        self._left = _MOST_ELEMENTS  # of what is nested
        self.numbers: dict[int, int] = {}
        self.texts: dict[int, str] = {}
        self.private_pixels = False

    def to_pixels(self, position: int) -> tuple[int, int, int]:
        """Value position, VR and length of the pixel data; zeros as soon as it is clear that frames are many."""
        data, element, before = self._data, self._element, _FIRST - 1
        for _ in range(_MOST_ELEMENTS):
            key, vr, length, value = element(data, position)
            if key <= before or key > _PIXEL_DATA:  # PS3.5 7.1: tags ascend
                raise _OddError
            if key == _PIXEL_DATA:
                return value, vr, length
            before = key
            if key in _WANTED:
                self._keep(key, vr, length, value)
                if key == _FRAMES and self.texts[key] != "1":
                    return 0, 0, 0
            elif key >> 16 == _PRIVATE_PIXELS:
                self.private_pixels = True
            position = value + length if length != _UNDEFINED else self._after_items(value, vr, 0)
        raise _OddError

    def values(self, position: int, wanted: frozenset[int], last: int) -> dict[int, bytes]:
        """The wanted values up to the element ``last``, and that tags ascend beyond it."""
        data, element, before = self._data, self._element, _FIRST - 1
        found: dict[int, bytes] = {}
        if self._implicit and bytes(data[position + 4 : position + 6]).isupper():  # perhaps explicit after all
            raise _OddError
        for _ in range(_MOST_ELEMENTS):
            key, vr, length, value = element(data, position)
            if key <= before:
                raise _OddError
            if key > last:
                return found
            before = key
            if key in wanted:
                if value + length > len(data):
                    raise _ShortError(value + length)
                found[key] = bytes(data[value : value + length])
            position = value + length if length != _UNDEFINED else self._after_items(value, vr, 0)
        raise _OddError

    def _keep(self, key: int, vr: int, length: int, value: int) -> None:
        if not self._implicit and vr != _FITTING[key]:
            raise _OddError
        if key in _TEXTS:
            self.texts[key] = _text(self._data, value, length)
            return
        if length != 2:
            raise _OddError
        if value + 2 > len(self._data):
            raise _ShortError(value + 2)
        self.numbers[key] = self._data[value] | self._data[value + 1] << 8

    def _after_items(self, position: int, vr: int, depth: int) -> int:
        """Behind a sequence of undefined length (PS3.5 7.5.2). What hides in UN is not looked at."""
        if depth > _DEEPEST or not (vr == _SQ or self._implicit):
            raise _OddError
        while True:
            tag, length = self._item(position)
            position += 8
            if tag == _SEQUENCE_END and length == 0:
                return position
            if tag != _ITEM_START:
                raise _OddError
            position = position + length if length != _UNDEFINED else self._after_elements(position, depth)

    def _after_elements(self, position: int, depth: int) -> int:
        """Behind an item of undefined length."""
        while True:
            tag, length = self._item(position)
            if tag == _ITEM_END and length == 0:
                return position + 8
            key, vr, length, value = self._element(self._data, position)
            if key >> 16 == 0xFFFE:
                raise _OddError
            position = value + length if length != _UNDEFINED else self._after_items(value, vr, depth + 1)

    def _item(self, position: int) -> tuple[int, int]:
        self._left -= 1
        if self._left < 0:
            raise _OddError
        if position + 8 > len(self._data):
            raise _ShortError(position + 8)
        tag, length = _ITEM.unpack_from(self._data, position)
        return tag, length


def _native(numbers: dict[int, int], pixels: tuple[int, int, int], total: int) -> tuple[int, int]:
    """Start and length of the only frame (PS3.5 8.1.1); zeros unless all that says how long it is agrees."""
    position, vr, length = pixels
    if not {_SAMPLES, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH_BIT, _REPRESENTATION} <= numbers.keys():
        return _NOT_PLAIN
    bits = numbers[_ALLOCATED]
    if vr not in (0, _OB, _OW) or length == _UNDEFINED or position + length != total or bits not in (8, 16, 32):
        return _NOT_PLAIN
    if not 2 <= numbers[_STORED] <= bits or numbers.get(_PLANAR, 0) > 1:
        return _NOT_PLAIN
    size = numbers[_ROWS] * numbers[_COLUMNS] * numbers[_SAMPLES] * (bits // 8)
    return (position, size) if size > 0 and length == size + size % 2 else _NOT_PLAIN


def _encapsulated(data: Bytes, pixels: tuple[int, int, int], total: int) -> tuple[int, int]:
    """Start and length of the only fragment (PS3.5 A.4); zeros if there may be more than one.

    Behind it there is room for the delimiter alone, which is looked at if it is there already.
    """
    position, vr, length = pixels
    if vr != _OB or length != _UNDEFINED:
        return _NOT_PLAIN
    tag, table = _item_head(data, position)
    if tag != _ITEM_START or table % 4 or table > 64:
        return _NOT_PLAIN
    position += 8 + table
    tag, size = _item_head(data, position)
    if tag != _ITEM_START or not 0 < size < _UNDEFINED or position + 8 + size + 8 != total:
        return _NOT_PLAIN
    if len(data) >= total and _item_head(data, total - 8) != (_SEQUENCE_END, 0):
        return _NOT_PLAIN
    return position + 8, size


def _item_head(data: Bytes, position: int) -> tuple[int, int]:
    if position + 8 > len(data):
        raise _ShortError(position + 8)
    tag, length = _ITEM.unpack_from(data, position)
    return tag, length
