"""Where browsers find this server, and whose pages may show its viewer in a frame of theirs.

Those are origins (RFC 6454), as a Content-Security-Policy names them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

# host-source of CSP 3 (2.3.1) without its wildcards; it has no words for IPv6 literals.
_ORIGIN = re.compile(r"https?://[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?")
_LOOPBACK = re.compile(r"(.+\.)?localhost|127(\.[0-9]{1,3}){3}|::1")
_PORTS = range(1, 65536)
_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")  # no dot segments, nothing escaped
_OWN_PATHS = frozenset({"fhir", "dicom-web", "api", "console", "login", "viewer", "healthz", "readyz", "assets"})
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


def check_place(url: str) -> None:
    """ValueError if the server cannot be found below this URL's path, which may be empty."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or parts.query or parts.fragment:
        raise ValueError(f"{url!r} has more than a plain path, e.g. https://host.example.org/imaging")
    if path and path.split("/")[1] in _OWN_PATHS:
        raise ValueError(f"{url!r}: the path begins with one that the server itself has; choose another")
