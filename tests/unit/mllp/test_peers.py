"""Who may send."""

from __future__ import annotations

import pytest

from interop.errors import InvalidContentError
from interop.mllp_listener import AllowList
from interop.tls import Certificate


@pytest.mark.parametrize(
    ("items", "address", "application", "allowed"),
    [
        ((), "127.0.0.1", "ANY", True),
        ((), "127.9.9.9", "ANY", True),
        ((), "::1", "ANY", True),
        ((), "::ffff:127.0.0.1", "ANY", True),
        ((), "10.0.0.1", "ANY", False),
        ((), "::ffff:10.0.0.1", "ANY", False),
        (("10.0.0.0/24",), "10.0.0.77", "ANY", True),
        (("10.0.0.0/24",), "10.0.1.1", "ANY", False),
        (("10.0.0.0/24",), "127.0.0.1", "ANY", False),
        (("10.0.0.5=RIS",), "10.0.0.5", "RIS", True),
        (("10.0.0.5=RIS",), "10.0.0.5", "ris", False),
        (("10.0.0.5=RIS",), "10.0.0.5", "EMR", False),
        (("10.0.0.5=RIS", "10.0.0.5=EMR"), "10.0.0.5", "EMR", True),
        (("fe80::1",), "fe80::1%eth0", "ANY", True),
        ((), "nonsense", "ANY", False),
    ],
)
def test_who_is_heard(items: tuple[str, ...], address: str, application: str, allowed: bool) -> None:
    assert AllowList.of(items).allows(address, application) is allowed


def test_a_connection_is_admitted_if_anybody_there_may_send() -> None:
    allow = AllowList.of(["10.0.0.5=RIS"])
    assert allow.admits("10.0.0.5")
    assert not allow.admits("10.0.0.6")


RIS = Certificate(frozenset({"ris", "ris.example"}), "ab" * 32)


@pytest.mark.parametrize(
    ("item", "certificate", "sender", "allowed"),
    [
        ("10.0.0.5=RIS|HOSP", None, ("RIS", "HOSP"), True),
        ("10.0.0.5=RIS|HOSP", None, ("RIS", "CLINIC"), False),
        ("cn:ris", RIS, ("ANY", "WHERE"), True),
        ("cn:ris.example=RIS", RIS, ("RIS", ""), True),
        ("cn:ris", None, ("RIS", ""), False),
        ("cn:emr", RIS, ("RIS", ""), False),
        ("10.0.0.0/8+cn:ris", RIS, ("RIS", ""), True),
        ("10.0.0.6+cn:ris", RIS, ("RIS", ""), False),
        ("sha256:" + ":".join(["AB"] * 32), RIS, ("RIS", ""), True),
        ("sha256:" + "ac" * 32, RIS, ("RIS", ""), False),
        ("cn:ris+sha256:" + "ab" * 32, RIS, ("RIS", ""), True),
        ("cn:emr+sha256:" + "ab" * 32, RIS, ("RIS", ""), False),
    ],
)
def test_who_is_heard_by_certificate(
    item: str, certificate: Certificate | None, sender: tuple[str, str], allowed: bool
) -> None:
    assert AllowList.of([item]).known_by(certificate).allows("10.0.0.5", *sender) is allowed


def test_a_certificate_entry_lets_nobody_in_without_tls() -> None:
    allow = AllowList.of(["cn:ris", "10.0.0.6"])
    assert allow.admits("10.0.0.5")  # over TLS, to be asked for a certificate
    assert not allow.known_by(None).admits("10.0.0.5")
    assert allow.known_by(None).admits("10.0.0.6")
    assert allow.known_by(Certificate()).admits("10.0.0.5")  # heard out, and refused by AR
    assert not allow.known_by(Certificate()).allows("10.0.0.5", "RIS")


@pytest.mark.parametrize(
    "item",
    ["sha256:ab", "cn:", "10.0.0.1=RIS|", "cn:ris+nonsense", "", "RIS", "10.0.0.300", "10.0.0.1/99", "10.0.0.1="],
)
def test_an_entry_that_says_nothing_is_an_error_at_start(item: str) -> None:
    with pytest.raises(InvalidContentError, match="mllp_peers"):
        AllowList.of([item])
