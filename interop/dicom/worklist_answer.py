"""Items of the worklist as the answers to a query: encoded data sets with what was asked for (PS3.4 K.4.1.1.3).

Not through pydicom, which is made for one data set at a time and not for thousands. Elements that stand in many items
are encoded once.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

from interop.dicom.character_sets import CharacterSet
from interop.dicom.explicit_vr import element
from interop.dicom.values import checked_value
from interop.dicom.worklist_query import Wanted

_IN_CHARSET = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_HEAD = struct.Struct("<HHI")
_ITEM = (0xFFFE, 0xE000)


class AnswerWriter:
    """Writes answers for one station's character set and one transfer syntax, Little Endian."""

    def __init__(self, charset: str, *, implicit: bool) -> None:
        self.charset = CharacterSet(charset)
        self._implicit = implicit
        self._plain = lru_cache(maxsize=16384)(self._encoded)

    def answer(self, item: Mapping[str, Any], wanted: Wanted) -> bytes:
        """The attributes of the item that are wanted, empty where the item has none, and the character set."""
        charset = self._plain("SpecificCharacterSet", self.charset.value)
        rest = self._dataset(item, wanted)
        # (0008,0005) comes before all others that an item has: the groups begin at 0008,0050
        return charset + rest

    def _dataset(self, item: Mapping[str, Any], wanted: Wanted) -> bytes:
        found: list[tuple[int, bytes]] = []
        for keyword, inner in wanted.items():
            tag = tag_for_keyword(keyword)
            if tag is None:
                continue
            value = item.get(keyword)
            if inner is None:
                found.append((tag, self._plain(keyword, tuple(value) if type(value) is list else value)))
                continue
            content = b""
            for one in value or ():
                part = self._dataset(one, inner or dict.fromkeys(one))
                content += _HEAD.pack(*_ITEM, len(part)) + part
            found.append((tag, self._element(tag, "SQ", content)))
        found.sort()
        return b"".join(encoded for _, encoded in found)

    def _encoded(self, keyword: str, value: str | int | tuple[str, ...] | None) -> bytes:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        vr = dictionary_VR(tag)
        if vr == "SQ" or value is None or value == "":
            return self._element(tag, vr, b"")
        if keyword == "SpecificCharacterSet":
            return self._element(tag, vr, str(value).encode())
        checked = checked_value(vr, dictionary_VM(tag), value, keyword)
        return self._element(tag, vr, self._content(vr, checked))

    def _content(self, vr: str, value: Any) -> bytes:
        if vr == "US":
            return struct.pack("<H", value)
        values = value if isinstance(value, list) else [value]
        write = self.charset.encode_name if vr == "PN" else self.charset.encode
        return b"\\".join(write(one) if vr in _IN_CHARSET else str(one).encode() for one in values)

    def _element(self, tag: int, vr: str, content: bytes) -> bytes:
        if not self._implicit:
            return element(tag, vr, content)
        if len(content) % 2:
            content += b"\0" if vr in ("UI", "OB") else b" "
        return _HEAD.pack(tag >> 16, tag & 0xFFFF, len(content)) + content
