"""Whose an instance is and what: the few attributes that say it, read from the beginning of its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian

from interop.dicom.stored_image import first_values
from interop.errors import MalformedError

_LAST = 0x0020000E  # SeriesInstanceUID, the highest of what is asked for
_LONGEST_UID = 64
_META = b"\x02\0"  # group 0002: how what pydicom writes of a data set without a preamble begins
_UIDS = (0x0020000D, _LAST, 0x00080018, 0x00080016)
_PATIENT_ID, _CHARACTER_SET = 0x00100020, 0x00080005
_WANTED = frozenset({*_UIDS, _PATIENT_ID, _CHARACTER_SET})
_BEGINNING = 8 * 1024  # of a file, which mostly says it all


@dataclass(frozen=True, slots=True)
class InstanceIdentity:
    """What the beginning of a file says."""

    patient_id: str
    study: str
    series: str
    instance: str
    sop_class: str


def read_identity(file: BinaryIO, length: int) -> InstanceIdentity:
    """The identity of the instance whose file (PS3.10) of that length begins where ``file`` stands.

    MalformedError if it is no such file, names no study, series, instance or class, or names them out of order or twice
    (PS3.5 7.1), so that two readers could find different ones in it.
    """
    start, seen = file.tell(), -1
    plain = first_values(file.read(min(length, _BEGINNING)), _WANTED, _LAST)
    if plain is not None:
        try:
            return _identity(plain)
        except (ValueError, LookupError):
            raise MalformedError("that is not a DICOM file") from None
    file.seek(start)

    def stop(tag: Any, _vr: str | None, _length: int) -> bool:
        nonlocal seen
        if int(tag) <= seen:
            raise MalformedError("the elements of a data set are not in ascending order")
        seen = int(tag)
        return seen > _LAST

    try:
        found = read_partial(file, stop_when=stop)
        if found.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise MalformedError("deflated data sets are not taken")
        return _identity({tag: _bytes(found, tag) for tag in _WANTED})
    except MalformedError:
        raise
    except Exception:  # pydicom has many for bytes that are no DICOM, of its own and of struct's
        file.seek(start)
        if file.read(2) == _META:
            raise MalformedError("a DICOM file begins with 128 bytes and DICM (PS3.10 7.1); they are missing") from None
        raise MalformedError("that is not a DICOM file") from None


def _identity(values: Mapping[int, bytes]) -> InstanceIdentity:
    """MalformedError where a UID is missing or none; ValueError or LookupError where a value is not readable."""
    uids = [values.get(tag, b"").rstrip(b" \0").decode("ascii") for tag in _UIDS]
    patient = _text(values.get(_PATIENT_ID, b""), values.get(_CHARACTER_SET, b"")).strip(" \0")
    if not all(0 < len(uid) <= _LONGEST_UID and _is_uid(uid) for uid in uids):
        raise MalformedError("StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID or SOPClassUID is missing or no UID")
    return InstanceIdentity(patient, uids[0], uids[1], uids[2], uids[3])


def _bytes(dataset: Dataset, tag: int) -> bytes:
    """A value as it stands in the file: pydicom would warn of an odd one and name it in a log.

    The character set it has read already, and gives as one text or several.
    """
    element = dataset.get_item(tag)
    value = element.value if element is not None else None
    if not value or isinstance(value, bytes | bytearray):
        return bytes(value or b"")
    return ("\\".join(value) if isinstance(value, MultiValue) else str(value)).encode("latin-1")


def _text(value: bytes, character_set: bytes) -> str:
    """A text in the data set's character set (PS3.5 6.1.2.3); ValueError or LookupError if it is not readable."""
    if value.isascii():
        return value.decode("ascii")
    return value.decode(python_encoding[character_set.split(b"\\")[0].strip(b" \0").decode("ascii")])


def _is_uid(text: str) -> bool:
    return text.isascii() and all(part.isdigit() for part in text.split("."))
