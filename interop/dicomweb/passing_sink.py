"""The client's socket with somebody between: what passes to it is looked at or cut on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from interop.dicomweb.archive import Sink


class PassingSink(ABC):
    """A sink before another; what it writes is its own affair, all else is the other's."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    @property
    def full(self) -> bool:
        """Whether the client has not taken yet what it got."""
        return self._sink.full

    @property
    def gone(self) -> bool:
        """Whether the client is not there any more."""
        return self._sink.gone

    @abstractmethod
    def write(self, *pieces: bytes | memoryview) -> bool:
        """Whether there is room for more."""

    def tell(self, changed: Callable[[], None] | None) -> None:
        """Call this when the client has taken something, or has gone."""
        self._sink.tell(changed)

    def abort(self) -> None:
        """Cut the client off."""
        self._sink.abort()

    def lend(self) -> int | None:
        """None: what passes is looked at or cut."""
        return None

    def given_back(self, written: int) -> None:
        """Nothing was lent here."""
        self._sink.given_back(written)
