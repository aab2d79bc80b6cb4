"""Attributes by keyword as an encoded data set: Explicit VR Little Endian, text in UTF-8 (PS3.5 7.1.2, A.2).

pydicom writes the same elements in 1.3 ms a worklist item; an intake that makes two items of every order has no such
time. What is written is what ``values`` has checked, and the tests read it with pydicom.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

from interop.dicom.values import checked_value, items_of
from interop.errors import InvalidContentError

_LONG = frozenset({"OB", "OW", "SQ", "UC", "UN", "UR", "UT"})  # two reserved bytes and a length of four (PS3.5 7.1.2)
_SHORT_HEAD = struct.Struct("<HH2sH")
_LONG_HEAD = struct.Struct("<HH2sHI")
_ITEM_HEAD = struct.Struct("<HHI")
_ITEM = (0xFFFE, 0xE000)


@lru_cache(maxsize=512)
def _entry(keyword: str) -> tuple[int, str, str] | None:
    """Tag, VR and VM of a keyword."""
    tag = tag_for_keyword(keyword)
    return None if tag is None else (int(tag), dictionary_VR(tag), dictionary_VM(tag))


def encode(attributes: Mapping[str, Any], path: str = "") -> bytes:
    """The data set; a sequence is a list of such mappings, None and "" make an empty element.

    InvalidContentError names the keyword whose value its VR does not allow.
    """
    elements: list[tuple[int, bytes]] = []
    for keyword, value in attributes.items():
        if value is None or type(value) is str:
            elements.append(_text(keyword, value, path))
        else:
            elements.append(_other(keyword, value, path))
    elements.sort()
    return b"".join([encoded for _, encoded in elements])


@lru_cache(maxsize=4096)
def _text(keyword: str, value: str | None, path: str) -> tuple[int, bytes]:
    """An element that is empty or of one text: two thirds of an item's are as in the item before."""
    return _other(keyword, value, path)


def _other(keyword: str, value: Any, path: str) -> tuple[int, bytes]:
    """The tag and the element."""
    place = path + keyword
    entry = _entry(keyword)
    if entry is None:
        raise InvalidContentError(f"{place} is no DICOM keyword")
    tag, vr, multiplicity = entry
    if vr == "SQ":
        content = b"".join([_item(one, f"{place}[{index}].") for index, one in items_of(value, place)])
    else:
        content = _content(vr, checked_value(vr, multiplicity, value, place))
    return tag, element(tag, vr, content)


def element(tag: int, vr: str, content: bytes) -> bytes:
    """One element; its content is padded to an even length (PS3.5 6.2)."""
    if len(content) % 2:
        content += b"\0" if vr in ("UI", "OB") else b" "
    group, number = tag >> 16, tag & 0xFFFF
    if vr in _LONG:
        return _LONG_HEAD.pack(group, number, vr.encode(), 0, len(content)) + content
    if len(content) > 0xFFFE:
        raise InvalidContentError(f"({group:04X},{number:04X}) is too long for {vr}")
    return _SHORT_HEAD.pack(group, number, vr.encode(), len(content)) + content


def _item(attributes: Mapping[str, Any], path: str) -> bytes:
    content = encode(attributes, path)
    return _ITEM_HEAD.pack(*_ITEM, len(content)) + content


def _content(vr: str, value: Any) -> bytes:
    if value is None:
        return b""
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    if vr == "US":
        return b"".join(struct.pack("<H", one) for one in values)
    return "\\".join(values).encode()
