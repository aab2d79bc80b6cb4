"""The leased row that makes one process the consumer, with the cursor in it.

The row is read and written in the units of work that register studies: whoever lost the lease cannot commit.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from interop.access.agent import system_agent
from interop.errors import UnavailableError
from interop.store import Store, Tx

AGENT = system_agent("archive-feed")
ROW = "archive-feed"
TERM = timedelta(seconds=15)


class LeaseLostError(UnavailableError):
    """Another process consumes the archive's changes now."""


@dataclass(frozen=True, slots=True)
class Holding:
    """The row: who consumes until when, and the last change that is dealt with (None before the first start)."""

    owner: str
    until: str
    cursor: int | None = None


def this_process() -> str:
    """A name of this very process that another one on this machine can test: host, pid namespace, pid, start."""
    return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}"


class Lease:
    """This process's claim to the row."""

    def __init__(self, store: Store, owner: str | None = None, *, row: str = ROW) -> None:
        self._store = store
        self._row = row
        self.owner = owner or this_process()

    async def take(self) -> Holding | None:
        """The row, if it is ours or free now; None while another process holds it."""

        def work(tx: Tx) -> Holding | None:
            held = self._read(tx)
            if held is not None and held.owner != self.owner and not _free(held, tx.now):
                return None
            return self._write(tx, held.cursor if held is not None else None)

        return await self._store.unit(AGENT, work)

    async def renew(self) -> None:
        """Hold it for another term; LeaseLostError if another process has it."""
        await self._store.unit(AGENT, lambda tx: self._write(tx, self.held(tx).cursor))

    async def release(self) -> None:
        """Let another process take over at once."""

        def work(tx: Tx) -> None:
            held = self._read(tx)
            if held is not None and held.owner == self.owner:
                tx.set_state(self._row, _text(replace(held, until="")))

        await self._store.unit(AGENT, work)

    def held(self, tx: Tx) -> Holding:
        """The row inside a unit of work; LeaseLostError if it is not ours, so that nothing of the unit is kept."""
        held = self._read(tx)
        if held is None or held.owner != self.owner:
            raise LeaseLostError
        return held

    def move(self, tx: Tx, cursor: int) -> None:
        """Put the cursor there, never back; and hold the row for another term."""
        present = self.held(tx).cursor
        self._write(tx, cursor if present is None else max(cursor, present))

    def reset(self, tx: Tx, cursor: int) -> None:
        """Put the cursor anywhere: the archive's counting began anew."""
        self.held(tx)
        self._write(tx, cursor)

    def _read(self, tx: Tx) -> Holding | None:
        tx.lock(self._row)
        text = tx.get_state(self._row)
        if text is None:
            return None
        fields: dict[str, Any] = json.loads(text)
        return Holding(**fields)

    def _write(self, tx: Tx, cursor: int | None) -> Holding:
        holding = Holding(self.owner, (tx.now + TERM).isoformat(), cursor)
        tx.set_state(self._row, _text(holding))
        return holding


def _text(holding: Holding) -> str:
    return json.dumps(asdict(holding))


def _free(held: Holding, now: datetime) -> bool:
    return not held.until or datetime.fromisoformat(held.until) <= now or _dead(held.owner)


def _dead(owner: str) -> bool:
    """Whether the owner was a process of this very machine that is gone: after kill -9 nobody waits out the term."""
    machine, _, rest = owner.partition("/")
    pid, _, started = rest.partition("/")
    return machine == _machine() and pid.isdigit() and _started(int(pid)) != started


def _machine() -> str:
    return f"{socket.gethostname()}:{os.readlink('/proc/self/ns/pid')}"


def _started(pid: int) -> str:
    """When the process started, in the kernel's ticks (proc(5), field 22); "" where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
