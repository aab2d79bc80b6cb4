"""Whose pages may show the viewer in a frame of theirs: origins (RFC 6454), as a Content-Security-Policy names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

# host-source of CSP 3 (2.3.1) without its wildcards; it has no words for IPv6 literals.
_ORIGIN = re.compile(r"https?://[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?")
_LOOPBACK = re.compile(r"(.+\.)?localhost|127(\.[0-9]{1,3}){3}|::1")
_PORTS = range(1, 65536)
_FRAMES = frozenset({"iframe", "frame"})


def parse_origin(text: str) -> str:
    """``scheme://host[:port]`` in lower case; ValueError says what is wrong with it."""
    origin = text.strip().lower()
    if "*" in origin:
        raise ValueError("each origin is named whole, without *")
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("an origin is scheme://host[:port] and no more, e.g. https://emr.example.org")
    port = origin.rpartition(":")[2]
    if port.isdigit() and int(port) not in _PORTS:
        raise ValueError("the port is from 1 to 65535")
    return origin


def frame_ancestors(origins: Sequence[str], otherwise: str) -> str:
    """The directive that lets pages of this server and of these origins frame a page; ``otherwise`` without any."""
    return "frame-ancestors " + (" ".join(("'self'", *origins)) if origins else otherwise)


def in_frame(destination: str | None) -> bool:
    """Whether Sec-Fetch-Dest says that the answer is for a frame. Browsers send it over https, and to loopback."""
    return destination in _FRAMES


def is_loopback_name(host: str) -> bool:
    """Whether browsers take this host for the machine itself, and so http to it for secure (Secure Contexts 3.1)."""
    return _LOOPBACK.fullmatch(host) is not None


def frames_need_https(url: str) -> bool:
    """Whether a browser would drop the cookie of a framed viewer at this address: it is one that needs https."""
    parts = urlsplit(url)
    return parts.scheme != "https" and not is_loopback_name(parts.hostname or "")
