"""Ids that sort by the time they were made: UUIDs of version 7 (RFC 9562 5.7)."""

from __future__ import annotations

import os
import threading
import time

_RANDOM_BITS = 74
_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new id, larger than every earlier one of this process."""
    global _last
    fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | int.from_bytes(os.urandom(10), "big") >> 6
    with _lock:
        if fresh <= _last:
            fresh = _last + 1
        _last = fresh
    milliseconds, low = fresh >> _RANDOM_BITS, fresh & ((1 << 62) - 1)
    rand_a = fresh >> 62 & 0xFFF
    digits = f"{milliseconds:012x}{0x7000 | rand_a:04x}{1 << 63 | low:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
