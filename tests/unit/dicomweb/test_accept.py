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
        ("/bulk/00420011", "*/*", OCTETS, None, False),
        ("/bulk/00420011", "application/pdf", OCTETS, None, True),
        ("/bulk/00420011", BROWSER, OCTETS, None, True),
        ("", "*/*", 'multipart/related; type="application/dicom"', None, False),
        ("", "application/dicom", 'multipart/related; type="application/dicom"', None, True),
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


def test_a_quality_of_zero_is_a_refusal() -> None:
    with pytest.raises(UnsupportedError):
        wish(parse(f"{INSTANCE}/metadata"), "application/dicom+json;q=0")
