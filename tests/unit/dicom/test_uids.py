"""UIDs by PS3.5 chapter 9."""

from uuid import UUID

import pytest

from interop.dicom.uids import digest_uid, is_readable_uid, is_uid, uid_of, uid_to_urn, urn_to_uid


def test_a_uuid_becomes_the_uid_of_annex_b2() -> None:
    assert uid_of(UUID("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")) == "2.25.329800735698586629295641978511506172918"


def test_the_same_content_gets_the_same_valid_uid() -> None:
    assert digest_uid(b"a") == digest_uid(b"a") != digest_uid(b"b")
    assert is_uid(digest_uid(b"a"))
    made = UUID(int=int(digest_uid(b"a").removeprefix("2.25.")))
    assert made.version == 8
    assert made.variant == "specified in RFC 4122"


@pytest.mark.parametrize("uid", ["1.2", "0.0", "1.2.840.10008.1.1", "2." + "1" * 62])
def test_a_uid_is_accepted(uid: str) -> None:
    assert is_uid(uid)


@pytest.mark.parametrize("uid", ["", "1", "1.", ".1", "1..2", "1.02", "1.2\n", "1.2 ", "../x", "2." + "1" * 63, "1.٢"])
def test_what_is_no_uid_is_refused(uid: str) -> None:
    assert not is_uid(uid)


def test_a_device_may_send_leading_zeros_but_nothing_else() -> None:
    assert is_readable_uid("1.2.0003")
    assert not any(map(is_readable_uid, ("", "...", "1.2/3", "1.2\\1.3", "1.2\n", "1" * 65)))


def test_urns_go_there_and_back() -> None:
    assert uid_to_urn("1.2.3") == "urn:oid:1.2.3"
    assert urn_to_uid("urn:oid:1.2.3") == urn_to_uid("1.2.3") == "1.2.3"
    assert urn_to_uid("urn:uuid:1.2.3") is None
