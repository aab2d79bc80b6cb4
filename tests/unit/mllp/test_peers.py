"""Who may send."""

from __future__ import annotations

import pytest

from interop.errors import InvalidContentError
from interop.mllp_listener import AllowList


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


@pytest.mark.parametrize("item", ["", "RIS", "10.0.0.300", "10.0.0.1/99", "10.0.0.1="])
def test_an_entry_that_says_nothing_is_an_error_at_start(item: str) -> None:
    with pytest.raises(InvalidContentError, match="mllp_peers"):
        AllowList.of([item])
