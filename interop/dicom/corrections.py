"""Whose study it is and of which order, corrected in a stored file, and what stood there kept (PS3.3 C.12.1.1.9).

Only the part of a file before its pixels is read and written anew; from there on its bytes stay as they are, compressed
or not. What is replaced goes into an item of the Original Attributes Sequence, which is all that an undo needs.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.filewriter import dcmwrite
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from interop.dicom.character_sets import checked_character_set
from interop.dicom.values import dataset_of
from interop.errors import InvalidContentError, MalformedError

# Type 2 where they stand (PS3.3 C.7.1.1, C.7.2.1): empty where the order has nothing to say.
TYPE_2 = ("AccessionNumber", "PatientName", "PatientID", "PatientBirthDate", "PatientSex")
# Type 3: absent then. A qualifier beside another issuer would contradict it (PS3.3 10.14).
TYPE_3 = ("IssuerOfAccessionNumberSequence", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence")
CORRECTED = (*TYPE_2, *TYPE_3)

_PIXELS = 0x7FE00000  # the group of pixel data, and what may come behind it
_CHARACTER_SET = Tag(0x00080005)
_ORIGINALS, _MODIFIED, _MOMENT = Tag(0x04000561), Tag(0x04000550), Tag(0x04000562)
_UNICODE = "ISO_IR 192"
_UNREADABLE = (InvalidDicomError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError, Warning)


@dataclass(frozen=True, slots=True)
class Mark:
    """Who changes the attributes and when: by it an undo finds what it has to put back."""

    system: str  # ModifyingSystem, LO
    moment: str  # AttributeModificationDateTime, DT


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A file with other attributes: ``head``, then the bytes of the old one from ``tail`` on (None: nothing more)."""

    head: bytes
    tail: int | None

    def write(self, old: BinaryIO, new: BinaryIO, *, chunk: int = 1 << 20) -> int:
        """Write the file; how many bytes it has."""
        new.write(self.head)
        size = len(self.head)
        if self.tail is not None:
            old.seek(self.tail)
            while part := old.read(chunk):
                size += new.write(part)
        return size


def corrected(file: BinaryIO, wanted: Mapping[str, Any], mark: Mark) -> Rewritten | None:
    """The file with these values of ``CORRECTED``; None where it has them already.

    InvalidContentError for values that DICOM does not allow, MalformedError for a file that cannot be rewritten.
    """
    fresh = dataset_of({keyword: wanted.get(keyword) for keyword in CORRECTED})
    try:
        dataset, tail = _read(file)
        replaced = [keyword for keyword in CORRECTED if not _same(dataset, fresh, keyword)]
        if not replaced:
            return None
        if not _writable(dataset, fresh):
            _to_unicode(dataset)
        before = Dataset()
        for keyword in replaced:
            _keep(before, dataset, keyword)
            _put(dataset, fresh, keyword)
        dataset.add_new(_ORIGINALS, "SQ", [*_originals(dataset), _item(before, mark)])
        return Rewritten(_written(dataset), tail)
    except _UNREADABLE as error:
        raise MalformedError(f"the file cannot be rewritten ({type(error).__name__})") from None


def restored(file: BinaryIO, mark: Mark) -> Rewritten | None:
    """The file as it was before the correction of this mark; None where it has none of it.

    Text that had to become ISO_IR 192 stays so. MalformedError for a file that cannot be rewritten.
    """
    try:
        dataset, tail = _read(file)
        found = [item for item in _originals(dataset) if _is_of(item, mark)]
        if not found:
            return None
        before = found[0].ModifiedAttributesSequence[0]
        for keyword in CORRECTED:
            if keyword in before:
                _put(dataset, before, keyword)
        kept = [item for item in _originals(dataset) if not _is_of(item, mark)]
        del dataset[_ORIGINALS]
        if kept:
            dataset.add_new(_ORIGINALS, "SQ", kept)
        return Rewritten(_written(dataset), tail)
    except _UNREADABLE as error:
        raise MalformedError(f"the file cannot be rewritten ({type(error).__name__})") from None


def _read(file: BinaryIO) -> tuple[FileDataset, int | None]:
    """The data set up to its pixels, and where they begin."""
    file.seek(0)
    stopped = False

    def at_pixels(tag: Any, _vr: str | None, _length: int) -> bool:
        nonlocal stopped
        stopped = int(tag) >= _PIXELS
        return stopped

    found = read_partial(file, stop_when=at_pixels)
    if found.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:  # places in it are none in the file
        file.seek(0)
        return dcmread(file), None
    if "TransferSyntaxUID" not in found.file_meta or "SOPInstanceUID" not in found:
        raise InvalidDicomError
    assert isinstance(found, FileDataset)
    return found, file.tell() if stopped else None


def _written(dataset: FileDataset) -> bytes:
    head = io.BytesIO()
    dcmwrite(head, dataset, enforce_file_format=False)
    return head.getvalue()


def _same(dataset: Dataset, fresh: Dataset, keyword: str) -> bool:
    return list(_values(dataset, keyword)) == list(_values(fresh, keyword))


def _values(dataset: Dataset, keyword: str) -> Iterator[tuple[int, str]]:
    """The text of an attribute, and of everything in a sequence; nothing for what is empty or absent."""
    if keyword not in dataset:
        return
    if dictionary_VR(tag_for_keyword(keyword) or 0) != "SQ":
        text = _text(dataset, keyword)
        if text:
            yield 0, text
        return
    for item in dataset[keyword].value or ():
        for element in item:
            yield int(element.tag), str(element.value or "").strip(" \0")


def _text(dataset: Dataset, keyword: str) -> str:
    """As it stands: pydicom would warn of an odd value and name it."""
    element = dataset.get_item(keyword)
    if element is None or element.value is None:
        return ""
    if not isinstance(element, RawDataElement):
        several = [element.value] if isinstance(element.value, str) or element.VM < 2 else element.value
        return "\\".join(str(one) for one in several).strip(" \0")
    raw = bytes(element.value or b"")
    if raw.isascii():
        return raw.decode("ascii").strip(" \0")
    try:
        return str(dataset[keyword].value).strip(" \0")
    except _UNREADABLE:
        return repr(raw)  # equal to nothing that could be wanted


def _keep(before: Dataset, dataset: Dataset, keyword: str) -> None:
    """The attribute as it lies in the file; what was absent is kept as empty."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    present = dataset.get_item(tag)
    if present is None:
        before.add_new(tag, dictionary_VR(tag), [] if dictionary_VR(tag) == "SQ" else None)
    else:
        before[tag] = present


def _put(dataset: Dataset, source: Dataset, keyword: str) -> None:
    tag = Tag(tag_for_keyword(keyword) or 0)
    empty = not list(_values(source, keyword))
    if empty and keyword in TYPE_3:
        if tag in dataset:
            del dataset[tag]
        return
    dataset[tag] = source.get_item(tag)


def _item(before: Dataset, mark: Mark) -> Dataset:
    item = dataset_of(
        {
            "SourceOfPreviousValues": None,
            "ModifyingSystem": mark.system,
            "ReasonForTheAttributeModification": "CORRECT",
        }
    )
    item.add_new(_MOMENT, "DT", mark.moment)
    item.add_new(_MODIFIED, "SQ", [before])
    return item


def _originals(dataset: Dataset) -> list[Dataset]:
    return list(dataset[_ORIGINALS].value or ()) if _ORIGINALS in dataset else []


def _is_of(item: Dataset, mark: Mark) -> bool:
    said = (_text(item, "ModifyingSystem"), _text(item, "AttributeModificationDateTime"))
    return said == (mark.system, mark.moment) and bool(item.get("ModifiedAttributesSequence"))


def _writable(dataset: Dataset, fresh: Dataset) -> bool:
    """Whether the file's own character set holds the new values; code extensions are not switched for them."""
    texts = [text for keyword in CORRECTED for _, text in _values(fresh, keyword) if not text.isascii()]
    if not texts:
        return True
    said = _text(dataset, "SpecificCharacterSet").split("\\")
    codec = python_encoding.get(said[0]) if len(said) == 1 and said[0] else None
    if codec is None or said[0].startswith("ISO 2022"):
        return False
    try:
        return all(text.encode(codec) for text in texts)
    except UnicodeEncodeError:
        return False


def _to_unicode(dataset: Dataset) -> None:
    """All text read in its character set, to be written in the one that holds everything."""
    try:
        checked_character_set(_text(dataset, "SpecificCharacterSet"))
    except InvalidContentError as error:
        raise InvalidContentError(f"its text cannot be carried over: {error.text}") from error
    dataset.decode()
    dataset.add_new(_CHARACTER_SET, "CS", _UNICODE)
    for element in dataset.iterall():
        if element.tag == _CHARACTER_SET and element.value != _UNICODE:
            element.value = _UNICODE
