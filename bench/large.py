"""``make bench-large``: FHIR with a million resources against FHIR with ten thousand, in turn, on both engines.

``python -m bench.large --engine postgresql --resources 200000 --rounds 1`` for one engine, another size, fewer rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.fhir import RESOURCES, WARM_UP_SECONDS, Interaction, interactions, stocked
from bench.figures import machine, rates
from bench.load import Load, Outcome
from bench.parts import ROOT, Server, generate
from tests.postgres import Cluster

LARGE = 1_000_000
CONNECTIONS = (1, 16, 64)
ROUNDS = 3
SECONDS = 2.0
GROWTH = 1.5  # of the time within which 99 of 100 are answered
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
PAGE = ROOT / "docs/performance-large.md"
HEAD = """\
# Performance with a million resources

Written by `make bench-large`. Two servers are up, one with {few:,} resources and one with {many:,} (patients, orders,
studies, reports, observations), each with its HTTP and MLLP roles. An interaction is measured with both in turn, first
one and then the other, {rounds} times for {seconds:g} s each, with {clients} clients; shown are the middle rates and
times. Growth is the time with many over the time with few, of the two rounds that stood beside each other: the middle
one, and in brackets the least and the most, which tell how much the machine itself wavers. The goal is {goal}× where 99
of 100 are answered. What is written meanwhile stays: the smaller stock grows by some tens of thousands. The audit
trails hold what the run itself leaves. Searches that no index narrows are
[a matter of their own](performance-broad.md).

Measured on {machine}
"""


@dataclass(slots=True)
class Row:
    """An interaction at a number of clients, with few and with many resources, round by round."""

    name: str
    connections: int
    few: list[Outcome] = field(default_factory=list)
    many: list[Outcome] = field(default_factory=list)

    def growth(self, share: str) -> list[float]:
        """Of the time within which half (p50) or 99 of 100 (p99) are answered, in each round."""
        return [
            getattr(after, share) / getattr(before, share) for before, after in zip(self.few, self.many, strict=True)
        ]


@contextmanager
def databases(engine: str) -> Iterator[tuple[str, str]]:
    """The URLs of two empty databases; "" is a file in the folder of the measurement."""
    if engine == "sqlite":
        yield "", ""
        return
    cluster = Cluster(durable=True)
    try:
        yield cluster.url(cluster.create_database()), cluster.url(cluster.create_database())
    finally:
        cluster.remove()


def measure(folder: Path, engine: str, resources: int, rounds: int) -> list[Row]:
    """Each interaction with few and with many resources there."""
    with ExitStack() as stack:
        small, large = stack.enter_context(databases(engine))
        few = stack.enter_context(stocked(folder / engine, RESOURCES, small))
        many = stack.enter_context(stocked(folder / engine, resources, large))
        first = 0
        found = []
        pairs = zip(interactions(few, RESOURCES), interactions(many, resources), strict=True)
        for one, other in pairs:
            for ours, each in ((few, one), (many, other)):
                _asked(ours, each, max(CONNECTIONS), WARM_UP_SECONDS, first)
            for count in CONNECTIONS:
                row = Row(one.name, count)
                for number in range(rounds):
                    first += 100_000
                    turns = [(row.few, few, one), (row.many, many, other)]
                    for outcomes, ours, each in turns if number % 2 == 0 else reversed(turns):
                        outcomes.append(_asked(ours, each, count, SECONDS, first))
                found.append(row)
                sys.stdout.write(_line(row) + "\n")
                sys.stdout.flush()
            first += 100_000
    return found


def _asked(ours: Server, each: Interaction, count: int, seconds: float, first: int) -> Outcome:
    return generate(Load(ours.http_port, "http", each.templates, count, seconds, first, each.good))


def _line(row: Row) -> str:
    def wait(outcomes: Sequence[Outcome]) -> str:
        half, most = (median(getattr(each, share) for each in outcomes) for share in ("p50", "p99"))
        return f"{rates(outcomes):,.0f}/s, {half:.1f} / {most:.1f} ms"

    half, most = row.growth("p50"), row.growth("p99")
    spread = f"{median(most):.2f}× ({min(most):.2f} to {max(most):.2f})"
    return f"| {row.name} | {row.connections} | {wait(row.few)} | {wait(row.many)} | {median(half):.2f}× | {spread} |"


def section(engine: str, rows: Sequence[Row], resources: int) -> str:
    """The rows of an engine, and which of them miss the goal."""
    head = f"| what | clients | {RESOURCES:,}: rate, half / 99 % | {resources:,} | growth, half | 99 % |"
    missed = [f"{row.name} ({row.connections})" for row in rows if median(row.growth("p99")) > GROWTH]
    said = (
        f"Over {GROWTH}× at 99 %: {', '.join(missed)}."
        if missed
        else f"All are within {GROWTH}× at 99 %, by the middle of the rounds."
    )
    lines = "\n".join(map(_line, rows))
    return f"\n## {ENGINES[engine]}\n\n{said}\n\n{head}\n|---|---|---|---|---|---|\n{lines}\n"


def main() -> None:
    """Measure; with a million resources on both engines the page is written."""
    parser = argparse.ArgumentParser(prog="python -m bench.large", description=__doc__)
    parser.add_argument("--engine", choices=("both", *ENGINES), default="both")
    parser.add_argument("--resources", type=int, default=LARGE)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    begun = time.monotonic()
    engines = list(ENGINES) if given.engine == "both" else [given.engine]
    parts = []
    for engine in engines:
        with tempfile.TemporaryDirectory(prefix="interop-bench-") as folder:
            rows = measure(Path(folder), engine, given.resources, given.rounds)
        parts.append(section(engine, rows, given.resources))
        sys.stdout.write(parts[-1])
    sys.stdout.write(f"\nbench: {time.monotonic() - begun:.0f} s\n")
    if given.resources == LARGE and given.engine == "both":
        about = {"few": RESOURCES, "many": given.resources, "rounds": given.rounds, "seconds": SECONDS}
        clients = ", ".join(map(str, CONNECTIONS))
        PAGE.write_text(HEAD.format(**about, clients=clients, goal=GROWTH, machine=machine()) + "".join(parts))
        sys.stdout.write(f"bench: {PAGE.relative_to(ROOT)} written\n")


if __name__ == "__main__":
    main()
