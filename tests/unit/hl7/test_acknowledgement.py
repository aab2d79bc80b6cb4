"""Acknowledgements: who answers whom, in which character set and version, and what the ERR segments say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from interop.errors import InvalidContentError, Issue
from interop.hl7.acknowledgement import acknowledge
from interop.hl7.message import Message, parse

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)


def order(version: str = "2.5.1", charset: str = "UNICODE UTF-8") -> Message:
    return parse(f"MSH|^~\\&|RIS^1.2^ISO|HOSP|X|Y|20261121||ORM^O01|C1|T|{version}||||||{charset}\r".encode())


def answer(message: Message | None, code: str, *issues: Issue) -> Message:
    return parse(acknowledge(message, code, issues=issues, control_id="A1", now=NOW, facility="IMG"))


def test_the_answer_goes_back_to_the_sender() -> None:
    request = parse(b"MSH|^~\\&|RIS^1.2^ISO|HOSP|X|Y|20261121||ORM^O01^ORM_O01|C\\F\\1|T|2.5.1\r")
    ack = answer(request, "AA")
    assert ack.sender == ("INTEROP", "IMG")
    assert ack.get("MSH-5.2") == "1.2"
    assert ack.receiver == ("RIS", "HOSP")
    assert ack.get("MSH-7") == "20261121100000+0000"
    assert ack.get("MSH-9") == "ACK^O01^ACK"
    assert (ack.control_id, ack.get("MSH-11"), ack.version) == ("A1", "T", "2.5.1")
    assert (ack.get("MSA-1"), ack.get("MSA-2"), ack.get("MSA-3")) == ("AA", "C|1", "")
    assert len(ack.segments) == 2


@pytest.mark.parametrize(
    ("version", "type"),
    [
        ("2.1", "ACK"),
        ("2.2", "ACK"),
        ("2.3", "ACK^O01"),
        ("2.3.1", "ACK^O01^ACK"),
        ("2.8", "ACK^O01^ACK"),
        ("", "ACK^O01^ACK"),
    ],
)
def test_the_type_follows_the_version(version: str, type: str) -> None:
    ack = answer(parse(f"MSH|^~\\&|A|B|||1||ORM^O01|1|P|{version}\r".encode()), "AA")
    assert ack.get("MSH-9") == type
    assert ack.version == (version or "2.5.1")


def test_an_error_says_where_and_why() -> None:
    error = InvalidContentError("the accession number has 17 characters", location="OBR-18")
    more = Issue("value", "what|ever", ("Patient.gender",), "PID[2]-3[4].5.6", "warning", "103")
    ack = answer(order(), "AE", *error.issues, more, Issue("exception", "no place", severity="information"))
    assert (ack.get("MSA-1"), ack.get("MSA-3")) == ("AE", "the accession number has 17 characters")
    assert ack.get("ERR-2") == "OBR^1^18^1"
    assert ack.get("ERR-3") == "102^Data type error^HL70357"
    assert (ack.get("ERR-4"), ack.get("ERR-7"), ack.get("ERR-8")) == ("E", "", "the accession number has 17 characters")
    assert ack.get("ERR[2]-2") == "PID^2^3^4^5^6"
    assert (ack.get("ERR[2]-4"), ack.get("ERR[2]-7"), ack.get("ERR[2]-8")) == ("W", "Patient.gender", "what|ever")
    assert (ack.get("ERR[3]-2"), ack.get("ERR[3]-3.1"), ack.get("ERR[3]-4")) == ("", "207", "I")


def test_older_receivers_find_the_place_in_err_1() -> None:
    ack = answer(order("2.3.1"), "AE", Issue("value", "no", (), "PID-8", hl7_code="103"))
    assert ack.get("ERR-1.1") == "PID"
    assert ack.get("ERR-1.4.1") == "103"


def test_a_segment_alone_is_a_location() -> None:
    assert answer(order(), "AR", Issue("structure", "no PID", (), "PID")).get("ERR-2") == "PID^1"


@pytest.mark.parametrize("charset", ["8859/7", "UNICODE UTF-8", "~ISO IR87", "GB 18030-2000"])
def test_the_answer_is_in_the_character_set_of_the_request(charset: str) -> None:
    request = order(charset=charset)
    ack = answer(request, "AE", Issue("value", "Ωμέγα 𝄞"))
    assert ack.charset == request.charset
    assert ack.get("ERR-8").startswith("Ωμέγα")
    assert ack.issues == ()


def test_a_guessed_or_wide_set_is_answered_too() -> None:
    wide = parse("MSH|^~\\&|A|B|||1||ORM^O01|1|P|2.5\rPID|1||Ω\r".encode("utf-16"))
    guessed = parse(b"MSH|^~\\&|A|B|||1||ORM^O01|1|P|2.5\rPID|1||\xfc\r")
    assert answer(wide, "AA").charset == "UNICODE UTF-8"
    assert answer(guessed, "AE", Issue("value", "ü")).get("ERR-8") == "ü"


def test_bytes_that_were_no_message_are_answered() -> None:
    ack = answer(None, "AR", Issue("structure", "no MSH", (), "MSH"))
    assert (ack.get("MSH-5"), ack.get("MSH-9"), ack.version) == ("", "ACK^^ACK", "2.5.1")
    assert (ack.get("MSA-1"), ack.get("MSA-2")) == ("AR", "")


def test_only_codes_of_table_0008() -> None:
    with pytest.raises(ValueError):
        answer(None, "OK")


def test_a_header_that_was_cut_off_and_joined_to_what_followed_is_answered() -> None:
    message = parse(b"MSH|^~\\&\rgarbage|123\r")
    ack = acknowledge(message, "AE", control_id="X1", now=NOW, facility="IMG")
    assert parse(ack).get("MSA-1") == "AE"
