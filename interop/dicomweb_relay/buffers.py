"""Memory to read into, used again: a fresh half megabyte for every frame costs more than copying it."""

from __future__ import annotations

SIZE = 576 * 1024  # a CT frame of 512 kB with its heads in one read
_KEPT = 8  # idle ones; more are made when more are in use


class Buffers:
    """Lends buffers. One that does not come back is collected with its last reader."""

    def __init__(self) -> None:
        self._idle: list[bytearray] = []

    def take(self) -> bytearray:
        """The buffer used last, which the processor's cache still holds, or a new one."""
        return self._idle.pop() if self._idle else bytearray(SIZE)

    def give(self, buffer: bytearray) -> None:
        """Gives a buffer back of which nobody reads any more."""
        if len(self._idle) < _KEPT:
            self._idle.append(buffer)
