"""Free TCP ports."""

from __future__ import annotations

from interop.orthanc.holders import free_port


def free_ports(count: int) -> tuple[int, ...]:
    """So many different ports that were free a moment ago."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return tuple(found)
