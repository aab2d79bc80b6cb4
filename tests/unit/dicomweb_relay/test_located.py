"""Content-Location of parts leads to this server, and every other byte stays where and as it was."""

from __future__ import annotations

import pytest

from interop.dicomweb_relay.located import Relocation, xml_led_here
from interop.dicomweb_relay.plain import root_of

FAR = b"https://pacs.example.org:8443/dcm4chee-arc/aets/DCM4CHEE/rs/studies/1.2/series/1.3/instances/1.4/frames/1"
OWN = b"/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1"
PIXELS = b"\x00\r\n--b not a mark\r\n\r\nContent-Location: http://in/the/pixels\r\n--" + bytes(range(256))


def body(location: bytes) -> bytes:
    part = b"--bound\r\nContent-Location: " + location + b"\r\nContent-Type: application/octet-stream\r\n\r\n" + PIXELS
    return part + b"\r\n" + part + b"\r\n--bound--\r\n"


def relocated(data: bytes, size: int) -> bytes:
    relocation = Relocation(b"bound", b"/dicom-web")
    pieces = [relocation.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join(pieces) + relocation.rest()


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_both_parts_lead_here_however_they_arrive(size: int) -> None:
    assert relocated(body(FAR), size) == body(OWN.ljust(len(FAR)))


@pytest.mark.parametrize("far", [b"http://p/bulk/17", b"http://p/studies/1.2", b""])
def test_what_has_no_place_here_or_no_room_is_left_blank(far: bytes) -> None:
    assert relocated(body(far), 5) == body(b" " * len(far))


def test_a_path_of_the_archive_leads_here_too() -> None:
    far = b"/dcm4chee-arc/aets/X/rs/studies/1.2"
    assert relocated(body(far), 50) == body(b"/dicom-web/studies/1.2".ljust(len(far)))


@pytest.mark.parametrize(
    "data", [b"", b"--bound", b"no mark at all", b"--bound\r\nContent-Location: p", body(FAR)[:-9]]
)
def test_a_body_that_breaks_off_is_passed_on_as_far_as_it_goes(data: bytes) -> None:
    assert relocated(data, 3)[-9:] == data[-9:]
    assert len(relocated(data, 3)) == len(data)


def test_bulk_data_in_xml_lead_here_and_the_length_stays() -> None:
    far = b'<BulkData uri="https://pacs.example.org/aets/X/rs/studies/1.2/bulkdata/17"/><BulkData uri="http://p/studies/1"/>'
    head = b"--bound\r\nContent-Length: %d\r\nContent-Location: %b\r\n\r\n" % (len(far), FAR)
    body = xml_led_here(head + far + b"\r\n--bound--", b"multipart/related; boundary=bound", b"/dicom-web")
    assert len(body) == len(head + far) + 11
    assert b'<BulkData uri="/dicom-web/studies/1.2/bulkdata/17"' in body
    assert b'<BulkData uri=""  ' in body
    assert b"://" not in body


@pytest.mark.parametrize(
    ("address", "root"),
    [(b"", b"/dicom-web"), (b"http://h:1", b"/dicom-web"), (b"https://h/imaging", b"/imaging/dicom-web")],
)
def test_it_leads_below_the_path_of_the_public_address(address: bytes, root: bytes) -> None:
    assert root_of(address) == root


def test_a_head_without_end_is_passed_on() -> None:
    data = b"--bound\r\n" + b"x" * 40_000
    assert relocated(data, 1000) == data
