"""A power cut, simulated: what was written and not synced is lost, wholly or in part."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct("=IIIIQQQ")
_WRITE, _TRUNCATE, _SYNC = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Write:
    """One change of a file: what stood at the offset, what was put there, and how long the file was before."""

    inode: int
    offset: int
    old: bytes
    new: bytes | None  # None: the file was cut off (or drawn out) to the offset
    size: int


class VolatileDisk:
    """A folder whose unsynced writes can be taken back."""

    def __init__(self, folder: Path, workshop: Path) -> None:
        self.folder = folder
        self._log = workshop / "writes.log"
        self._log.touch()
        self._log.chmod(0o666)  # a server may run as another user
        self._library = workshop / "power_loss.so"
        source = Path(__file__).with_name("power_loss.c")
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", self._library, source, "-ldl", "-pthread"],
            check=True,
        )
        workshop.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to write to this disk."""
        return {
            "LD_PRELOAD": str(self._library),
            "POWER_LOSS_FOLDER": str(self.folder),
            "POWER_LOSS_LOG": str(self._log),
        }

    def cut_power(self, *, kept: random.Random | None = None) -> int:
        """Lose what was not synced; ``kept`` lets a random part of it reach the disk, in any order.

        No process may be writing. The number of writes that were at stake.
        """
        lost = self._unsynced()
        paths = {path.stat().st_ino: path for path in self.folder.rglob("*") if path.is_file()}
        lost = [write for write in lost if write.inode in paths]
        for write in reversed(lost):
            _undo(paths[write.inode], write)
        if kept is not None:
            survivors = [write for write in lost if write.new is not None and kept.random() < 0.5]
            kept.shuffle(survivors)
            for write in survivors:
                _redo(paths[write.inode], write)
        self._log.write_bytes(b"")
        return len(lost)

    def _unsynced(self) -> list[Write]:
        writes: list[Write] = []
        log = self._log.read_bytes()
        position = 0
        while position + _HEADER.size <= len(log):
            kind, old_length, new_length, _, inode, offset, size = _HEADER.unpack_from(log, position)
            position += _HEADER.size
            old = log[position : position + old_length]
            new = log[position + old_length : position + old_length + new_length]
            position += old_length + new_length
            if kind == _SYNC:
                writes = [write for write in writes if write.inode != inode]
            else:
                writes.append(Write(inode, offset, old, new if kind == _WRITE else None, size))
        return writes


def _undo(path: Path, write: Write) -> None:
    descriptor = os.open(path, os.O_RDWR)
    os.pwrite(descriptor, write.old, write.offset)
    os.ftruncate(descriptor, write.size)
    os.close(descriptor)


def _redo(path: Path, write: Write) -> None:
    assert write.new is not None
    descriptor = os.open(path, os.O_RDWR)
    os.pwrite(descriptor, write.new, write.offset)
    os.close(descriptor)
