"""Image types come from the archive's index, else from the beginnings of its files, and are left out where odd."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from interop.archive_feed.image_types import image_types

CT = r"ORIGINAL\PRIMARY\AXIAL"


def resource(id: str, *, file: object = None, **tags: str) -> dict[str, Any]:
    return {"ID": id, "MainDicomTags": tags, "FileUuid": f"file-{id}" if file is None else file}


def head(image_type: list[str] | None, *, implicit: bool = False) -> bytes:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, "1.2.3"
    if image_type is not None:
        made.ImageType = image_type
    made.EncapsulatedDocument = bytes(8192)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()[:4096]


async def test_what_the_index_has_is_not_read_again() -> None:
    asked: list[str] = []

    def heads(names: Sequence[str]) -> list[bytes]:
        asked.extend(names)
        return [head(["DERIVED", "SECONDARY"]) for _ in names]

    told = [resource("a", **{"0008,0008": CT}), resource("b"), resource("c", file=7), resource("d", file="")]
    assert await image_types(told[:3], heads) == {"a": CT, "b": r"DERIVED\SECONDARY"}
    assert asked == ["file-b"]


async def test_without_the_files_the_index_alone_tells() -> None:
    assert await image_types([resource("a", **{"0008,0008": CT}), resource("b")], None) == {"a": CT}
    assert await image_types([], None) == {}


@pytest.mark.parametrize(
    ("beginning", "found"),
    [
        (head(["ORIGINAL", "PRIMARY", "AXIAL"]), {"b": CT}),
        (head(["ORIGINAL", "PRIMARY", "AXIAL"], implicit=True), {"b": CT}),
        (head(["ORIGINAL", "PRIMARY", "", ""]), {"b": r"ORIGINAL\PRIMARY"}),
        (head(["ORIGINAL", "", "AXIAL"]), {"b": r"ORIGINAL\\AXIAL"}),
        (head(["ORIGINAL", "PRIMARY"]).replace(b"ORIGINAL", b"Original"), {}),
        (head([]), {}),
        (head(None), {}),
        (head(["ORIGINAL", "PRIMARY"])[:300], {}),
        (b"", {}),
        (b"\0" * 4096, {}),
    ],
)
async def test_a_file_tells_its_type_or_nothing(beginning: bytes, found: dict[str, str]) -> None:
    assert await image_types([resource("b")], lambda names: [beginning for _ in names]) == found
