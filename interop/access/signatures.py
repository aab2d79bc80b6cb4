"""What tells a receiver that a notification is ours: an HMAC over the body, with a key of that subscription alone."""

from __future__ import annotations

import hashlib
import hmac

SIGNATURE_HEADER = "X-Interop-Signature"


def subscription_key(secret: bytes, id: str) -> str:
    """The key of one subscription, made from the server's secret: no receiver can sign for another."""
    return hmac.new(secret, f"Subscription/{id}".encode(), hashlib.sha256).hexdigest()


def signature(key: str, body: bytes) -> str:
    """``sha256=<hex>``: HMAC-SHA256 (RFC 2104) over the bytes of the body, the key's text being the key."""
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
