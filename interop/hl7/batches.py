"""Batches, and frames that hold several messages (v2.5.1 2.10.3): taken apart, each message to be answered alone."""

from __future__ import annotations

import re

_ENVELOPE = re.compile(rb"(?:^|(?<=[\r\n]))(?:FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9]|$)[^\r\n]*[\r\n]*")
_NEXT = re.compile(rb"(?<=[\r\n])(?=MSH[^A-Za-z0-9\r\n])")
_MARKS = (b"FHS", b"BHS", b"BTS", b"FTS")


def messages_in(data: bytes) -> list[bytes]:
    """The messages in one frame, in order: usually the frame itself. An empty batch has none."""
    if data.count(b"MSH") <= 1 and not any(mark in data for mark in _MARKS):
        return [data]
    parts = _NEXT.split(_ENVELOPE.sub(b"", data))
    return [part for part in parts if part.strip()]
