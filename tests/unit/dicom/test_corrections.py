"""Files with corrected tags: in every way a data set can be written, and back again."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from interop.dicom.corrections import Mark, Rewritten, corrected, restored
from interop.errors import InvalidContentError, MalformedError

MARK = Mark("INTEROP IMG", "20261126040000.000000+0000")
WANTED = {
    "PatientID": "100234",
    "PatientName": "Παπαδόπουλος^Νίκος",
    "PatientBirthDate": "19670321",
    "PatientSex": "M",
    "IssuerOfPatientID": "HOSP",
    "AccessionNumber": "R1",
    "IssuerOfAccessionNumberSequence": [{"LocalNamespaceEntityID": "IMG"}],
}
PIXELS = bytes(range(128)) + b"\x00\xff" * 64


def an_image(syntax: str = ExplicitVRLittleEndian, charset: str | None = "ISO_IR 100", **more: Any) -> bytes:
    """A file of that transfer syntax and character set."""
    dataset = Dataset()
    if charset is not None:
        dataset.SpecificCharacterSet = charset
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.3"
    dataset.PatientID, dataset.PatientName, dataset.AccessionNumber = "666", "Doe^Jane", "TYPO"
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.Rows, dataset.Columns, dataset.BitsAllocated = 16, 16, 8
    dataset.add_new(0x7FE00010, "OB" if syntax != ImplicitVRLittleEndian else "OW", PIXELS)
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def made(rewritten: Rewritten | None, old: bytes) -> bytes:
    assert rewritten is not None
    new = io.BytesIO()
    assert rewritten.write(io.BytesIO(old), new) == len(new.getvalue())
    return new.getvalue()


def read(file: bytes) -> Dataset:
    dataset = dcmread(io.BytesIO(file))
    dataset.walk(lambda _dataset, element: element.value)
    return dataset


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_there_and_back_in_every_encoding(syntax: str) -> None:
    old = an_image(syntax, InstitutionName="Hôpital")
    new = made(corrected(io.BytesIO(old), WANTED, MARK), old)
    dataset = read(new)
    assert (dataset.PatientID, str(dataset.PatientName), dataset.AccessionNumber) == (
        "100234",
        "Παπαδόπουλος^Νίκος",
        "R1",
    )
    assert (dataset.IssuerOfPatientID, dataset.PatientSex, dataset.InstitutionName) == ("HOSP", "M", "Hôpital")
    assert dataset.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "IMG"
    assert dataset.PixelData == PIXELS
    assert corrected(io.BytesIO(new), WANTED, Mark("another", "2027")) is None
    back = read(made(restored(io.BytesIO(new), MARK), new))
    before = read(old)
    before.SpecificCharacterSet = "ISO_IR 192"  # what had to be rewritten stays so
    assert back == before
    assert restored(io.BytesIO(old), MARK) is None


@pytest.mark.parametrize(
    ("charset", "kept"),
    [
        ("ISO_IR 126", "ISO_IR 126"),
        ("ISO_IR 192", "ISO_IR 192"),
        ("GB18030", "GB18030"),
        ("ISO_IR 100", "ISO_IR 192"),
        ("ISO 2022 IR 6\\ISO 2022 IR 126", "ISO_IR 192"),
        (None, "ISO_IR 192"),
    ],
)
def test_a_character_set_that_holds_the_name_stays(charset: str | None, kept: str) -> None:
    old = an_image(charset=charset)
    dataset = read(made(corrected(io.BytesIO(old), WANTED, MARK), old))
    assert (dataset.SpecificCharacterSet, str(dataset.PatientName)) == (kept, WANTED["PatientName"])


@pytest.mark.filterwarnings("ignore:Unknown encoding")
def test_names_in_latin_letters_leave_any_character_set_alone() -> None:
    old = an_image().replace(b"ISO_IR 100", b"ISO_IR 87X")
    new = made(corrected(io.BytesIO(old), WANTED | {"PatientName": "Roe^Jane"}, MARK), old)
    assert all(text in new for text in (b"ISO_IR 87X", b"Roe^Jane", b"100234"))
    with pytest.raises(InvalidContentError, match="character set"):
        corrected(io.BytesIO(old), WANTED, MARK)


def test_what_others_have_kept_stays_and_what_the_order_does_not_say_goes() -> None:
    once = an_image(IssuerOfPatientID="ELSE", PatientBirthDate="19010101")
    first = made(corrected(io.BytesIO(once), {"PatientID": "1", "PatientName": "A"}, Mark("PACS", "2020")), once)
    second = read(made(corrected(io.BytesIO(first), WANTED, MARK), first))
    assert [item.ModifyingSystem for item in second.OriginalAttributesSequence] == ["PACS", "INTEROP IMG"]
    (kept,) = second.OriginalAttributesSequence[0].ModifiedAttributesSequence
    assert (kept.IssuerOfPatientID, kept.PatientBirthDate) == ("ELSE", "19010101")
    assert "IssuerOfPatientID" not in read(first)
    assert read(first).PatientBirthDate == ""


def test_only_what_differs_is_kept() -> None:
    old = an_image(PatientID="100234", charset="ISO_IR 192")
    dataset = read(made(corrected(io.BytesIO(old), WANTED, MARK), old))
    (before,) = dataset.OriginalAttributesSequence[0].ModifiedAttributesSequence
    assert "PatientID" not in before
    assert before.AccessionNumber == "TYPO"


def test_a_document_without_pixels_ends_with_its_attributes() -> None:
    old = an_image()
    dataset = dcmread(io.BytesIO(old))
    del dataset.PixelData
    dataset.EncapsulatedDocument = b"%PDF-1.7 "
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    rewritten = corrected(buffer, WANTED, MARK)
    assert rewritten is not None
    assert rewritten.tail is None
    assert read(rewritten.head).EncapsulatedDocument.startswith(b"%PDF-1.7 ")


@pytest.mark.parametrize("content", [b"", b"DICM", b"\0" * 128 + b"DICM" + b"\x08\0\x05\0CS\xff\xff"])
def test_what_is_no_file_is_refused(content: bytes) -> None:
    for change in (lambda file: corrected(file, WANTED, MARK), lambda file: restored(file, MARK)):
        with pytest.raises(MalformedError):
            change(io.BytesIO(content))


def test_values_that_dicom_has_no_room_for_are_refused() -> None:
    with pytest.raises(InvalidContentError, match="AccessionNumber"):
        corrected(io.BytesIO(an_image()), {"AccessionNumber": "1" * 17}, MARK)
