"""Figures, and the page that shows them."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from bench.load import Outcome


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured, with what it is compared to."""

    what: str
    value: str
    wait: str = ""  # how long one took
    ratio: str = ""  # to the peer in the same run
    goal: str = ""


def rates(outcomes: Sequence[Outcome]) -> float:
    """The middle one of several rounds."""
    return median(outcome.rate for outcome in outcomes)


def rate_figure(what: str, outcomes: Sequence[Outcome], *, ratio: str = "", goal: str = "") -> Figure:
    """So many in a second, half of them within, 99 of 100 within."""
    p50, p99 = (median(getattr(outcome, name) for outcome in outcomes) for name in ("p50", "p99"))
    return Figure(what, f"{rates(outcomes):,.0f}/s", f"{p50:.1f} / {p99:.1f} ms", ratio, goal)


def against(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> str:
    """Our rate as a multiple of theirs."""
    return f"{rates(ours) / rates(theirs):.2f}×"


def table(figures: Sequence[Figure]) -> str:
    """The figures of one section."""
    lines = ["| what | figure | half / 99 % within | ratio | goal |", "|---|---|---|---|---|"]
    lines += [f"| {row.what} | {row.value} | {row.wait} | {row.ratio} | {row.goal} |" for row in figures]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """What it was measured on."""
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    orthanc = subprocess.run(["/usr/sbin/Orthanc", "--version"], capture_output=True, text=True, check=True)
    version = orthanc.stdout.splitlines()[0].split()[-1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"**{os.cpu_count()} cores** ({model}), {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, Orthanc {version}; "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


INTRODUCTION = """\
# Performance

Written by `make bench`. Each peer runs in the same run as we do, in turn with us, as a process of its own; the load
generator (raw asyncio) is another. Ratios carry to another machine better than rates do, and both say little about
yours: measure there. What the peers do and do not do is in
[decision 0008](decisions/0008-measured-as-ratios-in-one-run.md).
"""


def page(sections: Sequence[tuple[str, str, Sequence[Figure]]]) -> str:
    """docs/performance.md: title, explanation and figures of each section."""
    parts = [INTRODUCTION, f"Measured on {machine()}\n"]
    for title, explanation, figures in sections:
        parts += [f"## {title}\n", f"{explanation}\n", table(figures)]
    return "\n".join(parts)
