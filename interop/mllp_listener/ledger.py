"""Connections that came to nothing: all are counted, and so few written down that no flood fills a table."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

WINDOW = 60.0  # seconds
EACH = 10  # of one kind from one address that are written down in a window
ALL = 100  # of all kinds and addresses

Summary = Callable[[str, int, int], Awaitable[None]]


class Ledger:
    """What may still be written down. Those that may not are told in one line for each kind when the window ends."""

    def __init__(self, tell: Summary, *, window: float = WINDOW, each: int = EACH, most: int = ALL) -> None:
        """``tell`` is given a kind, how many of it were only counted, and from how many addresses at least."""
        self._tell = tell
        self._window = window
        self._each = each
        self._most = most
        self._began = time.monotonic()
        self._written: Counter[tuple[str, str]] = Counter()
        self._said: set[tuple[str, ...]] = set()
        self._unwritten: dict[str, int] = {}
        self._addresses: dict[str, set[str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def writes(self, kind: str, address: str) -> int:
        """The number of this one among those of the window that may be written down; 0 if it is only counted."""
        if time.monotonic() - self._began > self._window:
            self._turn()
        key = (kind, address)
        if self._written[key] < self._each and self._written.total() < self._most:
            self._written[key] += 1
            return self._written[key]
        self._unwritten[kind] = self._unwritten.get(kind, 0) + 1
        known = self._addresses.setdefault(kind, set())
        if len(known) < self._most:
            known.add(address)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._window, self._turn)
        return 0

    def is_new(self, *what: str) -> bool:
        """Whether this is the first of its like in the window; asked of what may be written down, which is little."""
        if what in self._said:
            return False
        self._said.add(what)
        return True

    def _turn(self) -> None:
        """A new window, and a line for each kind of which some were only counted."""
        self._began = time.monotonic()
        self._written.clear()
        self._said.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counted, self._unwritten = self._unwritten, {}
        addresses, self._addresses = self._addresses, {}
        for kind, number in counted.items():
            task = asyncio.ensure_future(self._tell(kind, number, len(addresses[kind])))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Tell what is still to be told."""
        self._turn()
        await asyncio.gather(*self._telling)
