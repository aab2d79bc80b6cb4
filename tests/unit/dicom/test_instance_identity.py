"""Whose an instance is: the quick reading of a plain file says what pydicom's says, or leaves it to that."""

from __future__ import annotations

import io
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from interop.dicom import instance_identity
from interop.dicom.instance_identity import InstanceIdentity, read_identity
from interop.errors import MalformedError

IDENTITY = InstanceIdentity("Ä 1", "1.2.3", "1.2.3.4", "1.2.3.4.5", CTImageStorage)


def file_of(syntax: str, *, undefined: bool = False) -> bytes:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3.4.5"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.PatientID, dataset.PatientName = "Ä 1", "Müller^Jürgen"
    nested = Dataset()
    nested.PatientID, nested.SOPInstanceUID = "another", "9.9"
    nested.is_undefined_length_sequence_item = undefined
    sequence = Sequence([nested, nested])
    sequence.is_undefined_length = undefined
    dataset.ReferencedStudySequence = sequence
    dataset["ReferencedStudySequence"].is_undefined_length = undefined
    dataset.Rows, dataset.PixelData = 1, bytes(2)
    dataset["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = syntax, CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    dataset.file_meta = meta
    out = io.BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return out.getvalue()


FILES = [
    file_of(syntax, undefined=undefined)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    for undefined in (False, True)
]


def outcome(data: bytes) -> InstanceIdentity | None:
    """None: it is refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_identity(io.BytesIO(data), len(data))
    except MalformedError:
        return None


@pytest.fixture
def pydicom_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_identity, "_BEGINNING", 0)


@pytest.mark.parametrize("data", FILES)
def test_a_plain_file_is_read_without_pydicom(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_identity, "read_partial", None)
    assert outcome(data) == IDENTITY


@pytest.mark.parametrize("data", FILES)
@pytest.mark.usefixtures("pydicom_alone")
def test_pydicom_reads_the_same(data: bytes) -> None:
    assert outcome(data) == IDENTITY


def test_what_is_read_is_within_the_length() -> None:
    data = FILES[0]
    after = data.index(b"1.2.3.4\0")
    with pytest.raises(MalformedError):
        read_identity(io.BytesIO(data[:after]), after)
    file = io.BytesIO(b"before" + data + FILES[2])
    file.seek(6)
    assert read_identity(file, len(data)) == IDENTITY
    assert file.tell() <= 6 + len(data)


@settings(max_examples=400)
@given(
    data=st.sampled_from(FILES),
    changes=st.lists(st.tuples(st.integers(128, 700), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3),
    end=st.integers(100, 2000),
)
def test_a_damaged_file_is_nobody_elses_by_the_quick_reading(
    data: bytes, changes: list[tuple[int, bytes]], end: int
) -> None:
    damaged = bytearray(data)
    for place, put in changes:
        damaged[place : place + len(put)] = put
    quick = outcome(bytes(damaged[:end]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instance_identity, "_BEGINNING", 0)
        thorough = outcome(bytes(damaged[:end]))
    assert quick == thorough


def test_other_syntaxes_are_left_to_pydicom() -> None:
    data = FILES[0].replace(ExplicitVRLittleEndian.encode() + b"\0", ExplicitVRBigEndian.encode() + b"\0")
    assert outcome(data) is None
