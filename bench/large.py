"""``make bench-large``: FHIR with a million resources against FHIR with ten thousand, on either engine.

``python -m bench.large --engine postgresql --resources 200000`` for another engine, another size.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bench.fhir import RESOURCES, outcomes, spoken, stocked
from bench.figures import Figure, machine, rate_figure, table
from bench.parts import ROOT
from tests.postgres import Cluster

LARGE = 1_000_000
CONNECTIONS = (1, 16)
SECONDS = 4.0
GROWTH = 1.5  # of the time within which 99 of 100 are answered
PAGE = ROOT / "docs/performance-large.md"


@contextmanager
def databases(engine: str) -> Iterator[tuple[str, str]]:
    """The URLs of two empty databases; "" is a file in the folder of the measurement."""
    with ExitStack() as stack:
        if engine == "sqlite":
            yield "", ""
            return
        cluster = Cluster(durable=True)
        stack.callback(cluster.remove)
        yield cluster.url(cluster.create_database()), cluster.url(cluster.create_database())


def measure(folder: Path, engine: str, resources: int) -> list[Figure]:
    """Each interaction with few and with many resources there, and how much longer it takes."""
    with databases(engine) as (small, large):
        with stocked(folder, RESOURCES, small) as ours:
            few = outcomes(ours, RESOURCES, CONNECTIONS, SECONDS)
        with stocked(folder, resources, large) as ours:
            many = outcomes(ours, resources, CONNECTIONS, SECONDS)
    figures = []
    for (name, connections), before in few.items():
        after = many[name, connections]
        what = f"{name}, {spoken(connections)}"
        figures.append(rate_figure(f"{what}: {RESOURCES:,} resources", [before]))
        ratio = f"99 %: {after.p99 / before.p99:.2f}×, half: {after.p50 / before.p50:.2f}×"
        figure = rate_figure(f"{what}: {resources:,}", [after], ratio=ratio)
        figures.append(replace(figure, goal=f"≤ {GROWTH}×"))
    return figures


def main() -> None:
    """Measure; with a million resources the page is written."""
    parser = argparse.ArgumentParser(prog="python -m bench.large", description=__doc__)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--resources", type=int, default=LARGE)
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="interop-bench-") as folder:
        figures = measure(Path(folder), given.engine, given.resources)
    sys.stdout.write(f"\n{table(figures)}\nbench: {time.monotonic() - begun:.0f} s\n")
    if given.resources == LARGE and given.engine == "sqlite":
        head = "# Performance with a million resources\n\nWritten by `make bench-large`.\n\nMeasured on"
        PAGE.write_text(f"{head} {machine()}\n\n{table(figures)}")
        sys.stdout.write(f"bench: {PAGE.relative_to(ROOT)} written\n")


if __name__ == "__main__":
    main()
