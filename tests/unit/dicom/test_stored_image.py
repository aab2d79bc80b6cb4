"""What the beginning of a file says of its pixels: as pydicom reads it, or nothing."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from interop.dicom.stored_image import MEDIA_TYPES, Short, StoredImage, read_stored_image

STUDY, SERIES, INSTANCE = "1.2.3", "1.2.3.4", "1.2.3.4.5"
JUNK = b"\xe0\x7f\x10\x00OW\0\0\x08\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"


def image(syntax: str = ExplicitVRLittleEndian, *, rows: int = 4, columns: int = 6, bits: int = 16) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    found.SOPClassUID, found.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", INSTANCE
    found.StudyInstanceUID, found.SeriesInstanceUID = STUDY, SERIES
    found.PatientID, found.PatientName = "P1", "A^B"
    found.Rows, found.Columns, found.SamplesPerPixel, found.PixelRepresentation = rows, columns, 1, 0
    found.PhotometricInterpretation, found.BitsAllocated, found.BitsStored = "MONOCHROME2", bits, bits
    found.HighBit = bits - 1
    length = rows * columns * bits // 8
    pixels = bytes(n % 251 for n in range(length)) + b"\0" * (length % 2)
    found.add_new(0x7FE00010, "OB" if bits == 8 else "OW", pixels)
    return found


def written(dataset: FileDataset) -> bytes:
    stream = io.BytesIO()
    implicit = dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    dataset.save_as(stream, enforce_file_format=True, implicit_vr=implicit)
    return stream.getvalue()


def compressed(fragments: list[bytes], frames: int = 1) -> FileDataset:
    found = image(RLELossless)
    found.PixelData = encapsulate(fragments)
    found["PixelData"].VR, found["PixelData"].is_undefined_length = "OB", True
    if frames > 1:
        found.NumberOfFrames = frames
    return found


def nested(depth: int, *, defined: bool = False) -> FileDataset:
    """Sequences in sequences, and in the innermost one what looks like the pixels."""
    found = image()
    inner = Dataset()
    inner.PixelData = JUNK
    inner["PixelData"].VR = "OW"
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedImageSequence = [inner]
        inner.is_undefined_length_sequence_item = not defined
        outer["ReferencedImageSequence"].is_undefined_length = not defined
        inner = outer
    found.ReferencedImageSequence = inner.ReferencedImageSequence
    found["ReferencedImageSequence"].is_undefined_length = not defined
    return found


def read(data: bytes) -> StoredImage | Short | None:
    return read_stored_image(data, len(data))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("shape", [{}, {"bits": 8}, {"bits": 8, "rows": 5, "columns": 5}, {"bits": 32}])
def test_one_uncompressed_frame_is_found(syntax: str, shape: dict[str, int]) -> None:
    dataset = image(syntax, **shape)
    data = written(dataset)
    found = read(data)
    assert isinstance(found, StoredImage)
    assert (found.transfer_syntax, found.frames) == (syntax, 1)
    assert (found.study, found.series, found.instance) == (STUDY, SERIES, INSTANCE)
    length = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    assert data[found.start : found.start + found.length] == dataset.PixelData[:length]
    assert found.length == length


def test_one_fragment_is_found_and_several_are_not_guessed_at() -> None:
    data = written(compressed([b"abcdef"]))
    found = read(data)
    assert isinstance(found, StoredImage)
    assert data[found.start : found.start + found.length] == b"abcdef"
    dataset = compressed([])
    dataset.PixelData = encapsulate([b"abcdefgh"], fragments_per_frame=2)
    found = read(written(dataset))
    assert isinstance(found, StoredImage)
    assert (found.start, found.length) == (0, 0)


def test_many_frames_are_told_before_their_pixels_are_reached() -> None:
    dataset = compressed([b"ab", b"cd", b"ef"], frames=3)
    data = written(dataset)
    found = read_stored_image(data[: data.index(b"\x28\x00\x00\x01US")], len(data))
    assert isinstance(found, StoredImage)
    assert (found.frames, found.start, found.transfer_syntax) == (3, 0, RLELossless)


@pytest.mark.parametrize("depth", [1, 2, 15])
@pytest.mark.parametrize("defined", [True, False])
def test_what_is_nested_is_passed_over(depth: int, defined: bool) -> None:
    dataset = nested(depth, defined=defined)
    data = written(dataset)
    found = read(data)
    assert isinstance(found, StoredImage)
    assert data[found.start : found.start + found.length] == dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data = written(dataset)
    found = read(data)
    assert isinstance(found, StoredImage)
    assert data[found.start :] == dataset.PixelData


def test_too_deep_or_too_many_is_left_to_others() -> None:
    assert read(written(nested(40))) is None
    many = image()
    block = many.private_block(0x0009, "TEST", create=True)
    for element in range(255):
        block.add_new(element, "OB", b"")
    assert isinstance(read(written(many)), StoredImage)
    sequence = [Dataset() for _ in range(5000)]
    many.ReferencedImageSequence = sequence
    many["ReferencedImageSequence"].is_undefined_length = True
    assert read(written(many)) is None


ODD: dict[str, Any] = {
    "BitsAllocated": 12,
    "BitsStored": 17,
    "Rows": 5,
    "Columns": 0,
    "SamplesPerPixel": 0,
    "NumberOfFrames": 0,
    "StudyInstanceUID": None,
    "PixelData": b"ab",
}


@pytest.mark.parametrize("keyword", ODD)
def test_what_does_not_agree_gives_no_place(keyword: str) -> None:
    dataset = image()
    setattr(dataset, keyword, ODD[keyword])
    if ODD[keyword] is None:
        del dataset[keyword]
    found = read(written(dataset))
    assert found is None or (isinstance(found, StoredImage) and found.start == 0)


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PixelRepresentation"])
def test_what_is_missing_gives_no_place(keyword: str) -> None:
    dataset = image()
    del dataset[keyword]
    found = read(written(dataset))
    assert isinstance(found, StoredImage)
    assert found.start == 0


def test_other_syntaxes_and_files_without_pixels_are_left_to_others() -> None:
    data = written(image())
    for syntax in (b"1.2.840.10008.1.2.2\0", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.4.100", b"9.9\0"):
        length = len(syntax).to_bytes(2, "little")
        start = data.index(b"\x02\x00\x10\x00UI")
        old = int.from_bytes(data[start + 6 : start + 8], "little")
        group = (int.from_bytes(data[140:144], "little") - old + len(syntax)).to_bytes(4, "little")
        assert read(data[:140] + group + data[144 : start + 6] + length + syntax + data[start + 8 + old :]) is None
    assert read(data[:140] + b"\x10\0\0\0" + data[144:]) is None
    assert isinstance(read(data), StoredImage)
    without = image()
    del without.PixelData
    assert read(written(without)) is None
    assert read(b"") is None
    assert read(data[132:]) is None
    assert read(data + b"\xfc\xff\xfc\xffOB\0\0\0\0\0\0").start == 0  # type: ignore[union-attr]
    descending = image()
    body = written(descending)
    at = body.index(b"\x28\x00\x10\x00US")
    twice = body[:at] + body[at : at + 10] + body[at:]
    assert read(twice) is None


def test_every_beginning_says_how_much_more_it_needs() -> None:
    for dataset in (image(), image(ImplicitVRLittleEndian), nested(3), compressed([b"abcdef"])):
        data = written(dataset)
        whole = read(data)
        assert isinstance(whole, StoredImage)
        for end in range(whole.start):
            found = read_stored_image(data[:end], len(data))
            assert found == whole or (isinstance(found, Short) and end < found.needed <= len(data)), end
        assert read_stored_image(memoryview(bytearray(data)), len(data)) == whole


@given(st.binary(max_size=400))
def test_random_bytes_give_nothing(data: bytes) -> None:
    assert read(bytes(128) + b"DICM" + data) is None
    assert not isinstance(read(data), StoredImage)


FILES = [
    written(image()),
    written(image(ImplicitVRLittleEndian)),
    written(nested(2)),
    written(compressed([b"abcdef"])),
    written(compressed([b"abcdef", b"ghijkl"], frames=2)),
    written(image(bits=8, rows=5, columns=5)),
]


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(FILES) - 1), st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=3))
@example(3, [(200, 0)])
def test_a_changed_file_gives_nothing_or_what_pydicom_finds(which: int, changes: list[tuple[int, int]]) -> None:
    data = bytearray(FILES[which])
    for position, value in changes:
        data[position % len(data)] = value
    found = read(bytes(data))
    if not isinstance(found, StoredImage):
        return
    assert found.transfer_syntax in MEDIA_TYPES
    if found.start == 0:
        return
    assert 132 < found.start < found.start + found.length <= len(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(io.BytesIO(data), force=True)
        assert str(dataset.file_meta.TransferSyntaxUID) == found.transfer_syntax
        assert str(dataset.SOPInstanceUID) == found.instance
        pixels = dataset.PixelData
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            [pixels] = generate_frames(pixels, number_of_frames=1)
    assert bytes(data[found.start : found.start + found.length]) == pixels[: found.length]


@given(st.data())
def test_a_cut_file_never_gives_more_than_it_has(data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(FILES))
    end = data.draw(st.integers(0, len(file)))
    found = read(file[:end])
    assert not isinstance(found, Short)
    if isinstance(found, StoredImage) and found.start:
        assert end == len(file)


def test_jpeg_is_told_by_its_media_type() -> None:
    dataset = compressed([b"\xff\xd8\xff\xd9"])
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    found = read(written(dataset))
    assert isinstance(found, StoredImage)
    assert MEDIA_TYPES[found.transfer_syntax] == "image/jpeg"
