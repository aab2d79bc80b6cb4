"""``python -m bench.seed 1000000 --database URL``: fill a database with a stock, as the store itself would write it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop

from bench.bulk import Loader, PostgresqlLoader, SqliteLoader
from bench.recording import AGENT, RESOURCE, Rows, recorded
from bench.stock import FAMILY
from interop.store import open_store
from interop.store.opening import postgresql_options, sqlite_options

_BLOCK = 500  # families that a process makes at a time
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


def fill(database: str, resources: int) -> float:
    """Seed the empty database of this URL; resources a second."""
    begun = time.monotonic()
    uvloop.run(_prepare(database))
    bar = Bar(resources, begun)
    loader = _loader(database)
    families = -(-resources // FAMILY)
    firsts = range(0, families, _BLOCK)
    ahead = 2 * (os.cpu_count() or 1)
    done = 0
    with ProcessPoolExecutor(os.cpu_count()) as processes:

        def ask(first: int) -> Future[Rows]:
            last = min(first + _BLOCK, families)
            return processes.submit(recorded, first, last, with_large_study=last == families)

        waiting = [ask(first) for first in firsts[:ahead]]
        for n in range(len(firsts)):
            rows = waiting.pop(0).result()
            if n + ahead < len(firsts):
                waiting.append(ask(firsts[n + ahead]))
            loader.add(rows)
            done += len(rows[RESOURCE])
            bar.show(min(done, resources))
    loader.finish()
    return done / (time.monotonic() - begun)


async def _prepare(database: str) -> None:
    """The tables; and that their index is whole, or the server would make it anew while it is measured."""
    store = await open_store(database)
    try:
        await store.unit(AGENT, lambda tx: tx.begin_index())
    finally:
        await store.close()


def _loader(database: str) -> Loader:
    if urlsplit(database).scheme == "sqlite":
        return SqliteLoader(sqlite_options(database).path)
    return PostgresqlLoader(postgresql_options(database).conninfo)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.seed", description=__doc__)
    parser.add_argument("resources", type=int)
    parser.add_argument("--database", required=True, help="as INTEROP_DATABASE_URL has it; an empty one")
    given = parser.parse_args()
    rate = fill(given.database, given.resources)
    sys.stdout.write(f"{given.resources:,} resources, {rate:,.0f}/s\n")


if __name__ == "__main__":
    _main()
