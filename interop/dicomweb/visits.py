"""Which requests are storing into which series: what one alone brings to an empty series cannot be there already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Visit:
    """One request's. Series that another request enters meanwhile are not known to be empty from then on."""

    def __init__(self) -> None:
        self._shared: set[str] = set()
        self._empty: set[str] = set()

    def share(self, series: str) -> None:
        """Another request stores into it too."""
        self._shared.add(series)

    def is_alone_in(self, series: str) -> bool:
        """Whether no other request has stored into it since this one entered."""
        return series not in self._shared

    def found_empty(self, series: str) -> None:
        """The archive had nothing of it since this request entered."""
        self._empty.add(series)

    def is_new(self, series: str) -> bool:
        """Whether what this request brings of it, and has not stored yet, is not there."""
        return series in self._empty and series not in self._shared


class Visits:
    """Of all requests under way."""

    def __init__(self) -> None:
        self._of: dict[str, list[Visit]] = {}

    @contextmanager
    def entered(self, series: frozenset[str]) -> Iterator[Visit]:
        """While a request stores into these series."""
        mine = Visit()
        for uid in series:
            there = self._of.setdefault(uid, [])
            for other in there:
                other.share(uid)
                mine.share(uid)
            there.append(mine)
        try:
            yield mine
        finally:
            for uid in series:
                self._of[uid].remove(mine)
                if not self._of[uid]:
                    del self._of[uid]
