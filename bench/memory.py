"""How much memory a server takes, as Linux counts it."""

from __future__ import annotations

import re
from pathlib import Path


def processes(pid: int) -> list[int]:
    """The process and those below it, without the image archive, whose memory is its own."""
    found = [pid]
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listed.read_text().split()):
            if Path(f"/proc/{child}/comm").read_text().strip() != "Orthanc":
                found += processes(child)
    return found


def resident(pid: int) -> float:
    """Megabytes of all of them now."""
    return sum(_megabytes(each, "VmRSS") for each in processes(pid))


def forget_peak(pid: int) -> None:
    """From here on, the peak is that of what follows (proc(5), clear_refs)."""
    for each in processes(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5")


def peak(pid: int) -> float:
    """Megabytes at most, since that was said."""
    return sum(_megabytes(each, "VmHWM") for each in processes(pid))


def _megabytes(pid: int, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found.group(1)) / 1024 if found else 0.0
