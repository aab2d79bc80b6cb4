"""What clients accept is put so that plugin 1.7 understands it."""

from __future__ import annotations

import pytest

from interop.dicomweb.accept import media_ranges, wish
from interop.dicomweb.paths import parse
from interop.errors import UnsupportedError

STUDY = "/dicom-web/studies/1.2"
INSTANCE = f"{STUDY}/series/1.3/instances/1.4"
OCTETS = 'multipart/related; type="application/octet-stream"'
JPEG = 'multipart/related; type="image/jpeg"'
FILES = 'multipart/related; type="application/dicom"'
STORED = f"{FILES}; transfer-syntax=*"
XML = 'multipart/related; type="application/dicom+xml"'
ANY = f"{OCTETS}; transfer-syntax=*"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("path", "accept", "asked", "otherwise", "unwrap"),
    [
        ("/frames/1", "multipart/related; type=application/octet-stream; transfer-syntax=*", ANY, OCTETS, False),
        ("/frames/1", 'multipart/related; type="application/octet-stream";transfer-syntax=*', ANY, OCTETS, False),
        ("/frames/1", 'multipart/related;type="image/jpeg"', 'multipart/related; type="image/jpeg"', None, False),
        ("/frames/1", "multipart/related", OCTETS, None, False),
        ("/frames/1", 'multipart/related; type="*/*"', OCTETS, ANY, False),
        ("/frames/1", f'multipart/related; type="image/jpeg", {ANY}', JPEG, ANY, False),
        ("/frames/1", f"{ANY}, {JPEG}", ANY, OCTETS, False),
        ("/frames/1", "*/*", OCTETS, ANY, False),
        ("/frames/1", "", OCTETS, ANY, False),
        ("/frames/1", "application/octet-stream", OCTETS, ANY, True),
        ("/frames/1", "application/octet-stream; transfer-syntax=*", ANY, OCTETS, True),
        ("/frames/1", f"{OCTETS};q=0.2, application/octet-stream;q=0.7", OCTETS, ANY, True),
        ("/frames/1", f"{OCTETS};q=0.2, {JPEG};q=0.7", JPEG, OCTETS, False),
        ("/bulk/00420011", "*/*", OCTETS, None, False),
        ("/bulk/00420011", "application/pdf", OCTETS, None, True),
        ("/bulk/00420011", BROWSER, OCTETS, None, True),
        ("", "*/*", FILES, STORED, False),
        ("", "application/dicom", FILES, STORED, True),
        ("", "application/dicom; transfer-syntax=*", STORED, None, True),
        ("", 'application/dicom; transfer-syntax="1.2.3"', f"{FILES}; transfer-syntax=1.2.3", None, True),
        ("", f"{FILES};q=0.5, application/dicom;q=0.9", FILES, STORED, True),
        ("", f"application/dicom;q=0, {FILES}", FILES, STORED, False),
        ("", f"{FILES}; transfer-syntax=1.2.3, {STORED}", f"{FILES}; transfer-syntax=1.2.3", STORED, False),
        ("", f"{FILES}; transfer-syntax=1.2.3", f"{FILES}; transfer-syntax=1.2.3", None, False),
        ("/metadata", "application/json", "application/dicom+json", None, False),
        ("/metadata", "*/*", "application/dicom+json", None, False),
        (
            "/metadata",
            'multipart/related; type="application/dicom+xml"',
            'multipart/related; type="application/dicom+xml"',
            None,
            False,
        ),
        ("/rendered", BROWSER, "image/jpeg", None, False),
        ("/rendered", "image/png, image/jpeg", "image/png", None, False),
        ("/rendered", "image/*", "image/jpeg", None, False),
        ("/rendered", "image/png;q=0.1, image/jpeg;q=0.9", "image/jpeg", None, False),
        ("/metadata", f"application/dicom+json;q=0.1, {XML}", XML, None, False),
        ("/metadata", f"{XML}, */*", "application/dicom+json", None, False),
        ("/metadata", f"application/dicom+json;q=0.000, {XML};q=0.3", XML, None, False),
    ],
)
def test_wishes(path: str, accept: str, asked: str, otherwise: str | None, unwrap: bool) -> None:
    found = wish(parse(INSTANCE + path), accept)
    assert (found.accept, found.otherwise, found.unwrap) == (asked, otherwise, unwrap)


def test_a_whole_study_is_never_one_part() -> None:
    with pytest.raises(UnsupportedError) as caught:
        wish(parse(STUDY), "application/dicom")
    assert caught.value.status == 406


def test_commas_and_semicolons_inside_quotes_do_not_separate() -> None:
    [only] = media_ranges('multipart/related; type="a,b;c"')
    assert only.parameters == {"type": "a,b;c"}


@pytest.mark.parametrize(
    "header",
    ['multipart/related; type="a b"', 'multipart/related; type="x"; transfer-syntax="1.2; evil"', "\x00", ";;,,="],
)
def test_what_is_broken_never_reaches_the_archive(header: str) -> None:
    with pytest.raises(UnsupportedError):
        wish(parse(f"{INSTANCE}/frames/1"), header)


@pytest.mark.parametrize("quality", ["0", "0.0", "0.000"])
def test_a_quality_of_zero_is_a_refusal(quality: str) -> None:
    with pytest.raises(UnsupportedError):
        wish(parse(f"{INSTANCE}/metadata"), f"application/dicom+json;q={quality}")
