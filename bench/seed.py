"""``python -m bench.seed 1000000 --database URL``: fill a database with a stock, straight through the store."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from itertools import islice

import uvloop

from bench.stock import FAMILY, family, large_study
from interop.access.agent import system_agent
from interop.store import Store, Tx, open_store

_AGENT = system_agent("bench")
_GROUP = 25  # families in one unit of work
_BESIDE = 8  # units under way together: they share a commit on SQLite, and run beside one another on PostgreSQL
_WIDTH = 40


@dataclass(slots=True)
class Bar:
    """How far it has come, on standard error where that is a terminal; else a line for each tenth."""

    whole: int
    begun: float
    told: int = -1

    def show(self, done: int) -> None:
        """Draw it anew."""
        passed = max(time.monotonic() - self.begun, 0.001)
        rate = done / passed
        left = (self.whole - done) / rate if rate else 0.0
        drawn = ("█" * (_WIDTH * done // self.whole)).ljust(_WIDTH, "·")
        line = f"{drawn} {done:,} of {self.whole:,}, {rate:,.0f}/s, {left:,.0f} s left"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line} " + "\n" * (done == self.whole))
        elif (tenth := 10 * done // self.whole) > self.told:
            self.told = tenth
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


async def seed(store: Store, resources: int, bar: Bar | None = None) -> int:
    """Store the stock, and the large study beside it; how many resources it is."""
    numbers = iter(range(-(-resources // FAMILY)))
    done = 0

    async def fill() -> None:
        nonlocal done
        while group := list(islice(numbers, _GROUP)):
            stored = await store.unit(_AGENT, lambda tx, group=group: _stored(tx, group))  # type: ignore[misc]
            done += stored
            if bar is not None:
                bar.show(min(done, resources))

    await asyncio.gather(*(fill() for _ in range(_BESIDE)))
    study = large_study()
    await store.unit(_AGENT, lambda tx: tx.create(study, id=study["id"]))
    return done + 1


def _stored(tx: Tx, numbers: list[int]) -> int:
    stored = 0
    for number in numbers:
        for resource in family(number):
            tx.create(resource, id=resource["id"])
            stored += 1
    return stored


async def fill(database: str, resources: int) -> float:
    """Seed the database of this URL; resources a second."""
    store = await open_store(database)
    try:
        begun = time.monotonic()
        done = await seed(store, resources, Bar(resources, begun))
        return done / (time.monotonic() - begun)
    finally:
        await store.close()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.seed", description=__doc__)
    parser.add_argument("resources", type=int)
    parser.add_argument("--database", required=True, help="as INTEROP_DATABASE_URL has it")
    given = parser.parse_args()
    rate = uvloop.run(fill(given.database, given.resources))
    sys.stdout.write(f"{given.resources:,} resources, {rate:,.0f}/s\n")


if __name__ == "__main__":
    _main()
