"""Which types somebody has subscribed to: what a write asks before it owes a notice.

A process keeps the answer in memory and renews it from time to time; a write without subscribers pays for one look into
a set. Where the answer has grown old, because the database did not answer or the process was held up, every write owes
a notice: one too many is looked at and forgotten, one too few would be a notification that never comes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

FRESH_SECONDS = 2.5  # how old an answer may be; a subscription becomes active later than that (workflow)


class Watched:
    """The watched types of one process; none until they are told for the first time."""

    def __init__(self) -> None:
        self._types: frozenset[str] = frozenset()
        self._asked = float("-inf")
        self._until: float | None = None  # None: nobody renews it here, so it does not grow old

    def tell(self, types: Iterable[str], asked: float) -> None:
        """These types are watched, as the database said when it was asked (``time.monotonic()``).

        An answer that was overtaken by one asked for later says nothing any more.
        """
        if asked < self._asked:
            return
        self._asked = asked
        self._types = frozenset(types)
        self._until = asked + FRESH_SECONDS

    def __contains__(self, type: str) -> bool:
        return type in self._types or (self._until is not None and time.monotonic() > self._until)
