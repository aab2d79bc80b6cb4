"""Image Type (0008,0008) of images whose tags are not read one by one, as far as it is at hand.

It comes among the tags that an Orthanc from 1.11 on indexes, if told to (``ExtraMainDicomTags``); else from the
beginning of the file, where the archive's folder can be read. An answer about each image would cost more than
everything else that is done with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from interop.dicom.facts import image_type_of
from interop.dicom.stored_image import first_values

Heads = Callable[[Sequence[str]], list[bytes]]  # beginnings of files by their names in the index; blocks

_IMAGE_TYPE = 0x00080008
_WANTED = frozenset({_IMAGE_TYPE})


async def image_types(resources: Iterable[Mapping[str, Any]], heads: Heads | None) -> dict[str, str]:
    """By the archive's instance ids, where it is known."""
    found: dict[str, str] = {}
    files: dict[str, str] = {}
    for resource in resources:
        text = image_type_of(resource.get("MainDicomTags") or {})
        if text is not None:
            found[resource["ID"]] = text
        elif isinstance(name := resource.get("FileUuid"), str):
            files[resource["ID"]] = name
    if heads is not None and files:
        read = await asyncio.to_thread(_read, heads, list(files.values()))
        found |= {id: text for id, text in zip(files, read, strict=True) if text is not None}
    return found


def _read(heads: Heads, names: Sequence[str]) -> list[str | None]:
    return [_image_type(head) for head in heads(names)]


def _image_type(head: bytes) -> str | None:
    values = first_values(head, _WANTED, _IMAGE_TYPE)
    text = (values or {}).get(_IMAGE_TYPE, b"")
    return image_type_of({"0008,0008": text.decode("ascii")}) if text.isascii() else None
