"""A temporary file that threads write and read, several at a time, while nobody has to wait for them to close it."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from interop.errors import UnavailableError

_AT_ONCE = 512  # pieces in one call; Linux takes 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class TakenFile:
    """Closed when it is told to be and the last thread is done: its number may then be another file's."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="interop-stow-", buffering=0)  # noqa: SIM115  # closed by close()
        self._lock = threading.Lock()
        self._users = 0
        self._closed = False

    def append(self, pieces: Sequence[memoryview]) -> None:
        """Writes the pieces behind what is there; UnavailableError where there is no room for them."""
        left = list(pieces)
        with self._used() as number:
            while left:
                try:
                    written = os.writev(number, left[:_AT_ONCE])
                except OSError as error:
                    if error.errno not in _FULL:
                        raise
                    raise UnavailableError(
                        "no room is left to take the request in; nothing was stored", retry_after=60
                    ) from None
                left = _behind(left, written)

    def read(self, start: int, size: int) -> bytes:
        """The bytes there, fewer at the end of the file."""
        with self._used() as number:
            return os.pread(number, size, start)

    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        """The file as one reader sees it at a time."""
        with self._used() as number, open(number, "rb", closefd=False) as found:
            yield found

    def close(self) -> None:
        """Nothing is begun any more; what is under way goes on to its end."""
        with self._lock:
            self._closed = True
            idle = not self._users
        if idle:
            self._file.close()

    @contextmanager
    def _used(self) -> Iterator[int]:
        with self._lock:
            if self._closed:
                raise ValueError("the file is closed")
            self._users += 1
        try:
            yield self._file.fileno()
        finally:
            with self._lock:
                self._users -= 1
                last = self._closed and not self._users
            if last:
                self._file.close()


def _behind(pieces: list[memoryview], written: int) -> list[memoryview]:
    """What is left of the pieces when so many bytes of them are written."""
    for number, piece in enumerate(pieces):
        if written < len(piece):
            return [piece[written:], *pieces[number + 1 :]]
        written -= len(piece)
    return []
