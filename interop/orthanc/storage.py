"""The folder in which Orthanc keeps its files, where this server can read it (two levels of two letters each)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BEGINNING = 4 * 1024  # bytes: a file's own header, and the attributes that come first


class Storage:
    """Finds files by the names that the index has (``FileUuid``)."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)

    def path(self, name: str) -> str:
        """Where the file is, or would be; ValueError for what is no name of Orthanc's."""
        if not _UUID.fullmatch(name):
            raise ValueError("not the name of a file")
        return f"{self._folder}/{name[:2]}/{name[2:4]}/{name}"

    def heads(self, names: Sequence[str]) -> list[bytes]:
        """The first 4 kB of each; nothing of one that is gone, not readable, or no name of Orthanc's. It blocks."""
        return [self._head(name) for name in names]

    def _head(self, name: str) -> bytes:
        try:
            file = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        except (OSError, ValueError):
            return b""
        try:
            return os.read(file, _BEGINNING)
        except OSError:
            return b""
        finally:
            os.close(file)
