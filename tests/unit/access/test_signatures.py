"""Signatures of notifications."""

from __future__ import annotations

from interop.access.signatures import signature, subscription_key


def test_the_signature_is_the_one_of_rfc_4231() -> None:
    """RFC 4231 4.3: key "Jefe"."""
    wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature("Jefe", b"what do ya want for nothing?") == f"sha256={wanted}"


def test_each_subscription_has_a_key_of_its_own() -> None:
    keys = {subscription_key(secret, id) for secret in (b"a" * 32, b"b" * 32) for id in ("1", "2")}
    assert len(keys) == 4
    assert subscription_key(b"a" * 32, "1") == subscription_key(b"a" * 32, "1")
