"""One writing process for a database file: a lock beside it, which the kernel takes back when its holder dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path

from interop.store.rows import StoreInUseError

PATIENCE = 5.0  # seconds in which a process that is closing may finish
_PAUSE = 0.05


class FileLock:
    """The held lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let it go; the file stays, since removing it would race with the next holder."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


async def take(database: Path) -> FileLock:
    """The lock of this database; StoreInUseError naming the holder where it stays taken."""
    path = database.with_name(database.name + ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                await asyncio.sleep(_PAUSE)
                continue
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreInUseError(f"the database {database} is in use by the process with pid {holder}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return FileLock(path, descriptor)
