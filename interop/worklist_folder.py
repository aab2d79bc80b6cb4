"""The folder of ``.wl`` files that the worklist SCP reads anew at every query.

A file is complete or absent: it is written under a name the SCP does not read, fsynced, renamed, and the folder is
fsynced. The files of many orders are all on their way to the disk before the first is waited for: so they share the
journal's commits, which cost more than the writing. Names are made of our own order ids and a digest, never of anything
that came in.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import hashlib
import logging
import os
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from interop.errors import UnavailableError

logger = logging.getLogger(__name__)

_ORDER_ID = re.compile(r"[A-Za-z0-9-][A-Za-z0-9.-]{0,63}\Z")
_NAME = re.compile(r"([A-Za-z0-9-][A-Za-z0-9.-]{0,63})~[0-9a-f]{16}\.wl\Z")
_ASIDE = ".part"
_STALE = 60.0  # seconds after which an unfinished file is of a writer that died
_TOGETHER = 64  # orders whose files are open at the same time; each has one for each of its stations
_START_WRITING = 2  # SYNC_FILE_RANGE_WRITE
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)  # Linux
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


Change = tuple[str, Mapping[str, bytes], Collection[str] | None]  # what ``make`` is given


class WorklistFolder:
    """The worklist as the files of each order. Blocking work runs in a thread; one caller per order at a time."""

    def __init__(self, path: Path, *, mode: int = 0o640) -> None:
        self._path = path
        self._mode = mode  # the SCP may run as another user of the same group
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise UnavailableError(f"the worklist folder {path} cannot be made: {error.strerror}") from error

    async def make(self, order_id: str, files: Mapping[str, bytes], absent: Collection[str] | None = None) -> bool:
        """Make the order's files exactly these (by station, say; {} removes them all). True if anything changed.

        ``absent`` names the keys that may have had a file and shall have none; without it the folder is read through,
        which takes time in proportion to all that is in it.
        """
        _file_name(order_id, "")  # ValueError at once
        (made,) = await asyncio.to_thread(self.make_all, [(order_id, files, absent)])
        if isinstance(made, UnavailableError):
            raise made
        return made

    async def names(self) -> tuple[str, ...]:
        """The files that stand there now, sorted."""
        return tuple(sorted(await asyncio.to_thread(self._list)))

    def name(self, order_id: str, key: str) -> str:
        """What the file of this order and key is called; its order's id is what stands before ``~``."""
        return _file_name(order_id, key)

    async def foreign(self) -> tuple[str, ...]:
        """Files that the SCP reads too and that are none of ours, sorted."""

        def look() -> list[str]:
            with self._opened() as folder:
                return [name for name in os.listdir(folder) if name.endswith(".wl") and not _NAME.match(name)]

        return tuple(sorted(await asyncio.to_thread(look)))

    def looked_at(self) -> LookedAt:
        """The same folder, of which is only said what would be changed."""
        return LookedAt(self)

    async def sweep(self) -> int:
        """Remove the unfinished files of writers that died; files of other names are somebody else's and stay."""
        return await asyncio.to_thread(self._sweep)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def make_all(self, changes: Sequence[Change]) -> list[bool | UnavailableError]:
        """``make`` for many orders, with one fsync of the folder; for each: whether anything changed, or why not.

        An order that cannot be written takes no other along. Blocks: not for an event loop that others wait for.
        """
        try:
            with self._opened() as folder:
                made = [
                    one
                    for start in range(0, len(changes), _TOGETHER)
                    for one in self._make_together(folder, changes[start : start + _TOGETHER])
                ]
                if any(one is not False for one in made):  # one that failed may have made a part of its files
                    os.fsync(folder)
                return made
        except UnavailableError as error:
            return [error] * len(changes)

    def differing(self, changes: Sequence[Change]) -> list[bool | UnavailableError]:
        """For each order whether ``make_all`` would change anything; nothing is written or removed. Blocks."""
        try:
            with self._opened() as folder:
                there: dict[str, set[str]] = {}
                for name in os.listdir(folder):
                    if match := _NAME.match(name):
                        there.setdefault(match[1], set()).add(name)
                return [_differs(folder, change, there.get(change[0], set())) for change in changes]
        except UnavailableError as error:
            return [error] * len(changes)

    def _make_together(self, folder: int, changes: Sequence[Change]) -> list[bool | UnavailableError]:
        begun: list[_Begun | UnavailableError] = []
        try:
            begun.extend(self._begin(folder, change) for change in changes)
            return [one if isinstance(one, UnavailableError) else _finish(folder, one) for one in begun]
        finally:
            for one in begun:
                if not isinstance(one, UnavailableError):
                    _give_up(folder, one.written)

    def _begin(self, folder: int, change: Change) -> _Begun | UnavailableError:
        """Write aside what is new, and say what is to go."""
        order_id, files, absent = change
        written: list[_Aside] = []
        try:
            wanted = {_file_name(order_id, key): content for key, content in files.items()}
            if absent is None:
                start = f"{order_id}~"
                there = {name for name in os.listdir(folder) if name.startswith(start) and _NAME.match(name)}
                unwanted = there - wanted.keys()
            else:
                unwanted = {_file_name(order_id, key) for key in absent if key not in files}
            for name, content in wanted.items():
                if _read(folder, name) != content:
                    written.append(_write_aside(folder, name, content, self._mode))
            return _Begun(written, unwanted)
        except OSError as error:
            _give_up(folder, written)
            return _unavailable(error)
        except ValueError as error:
            return UnavailableError(f"the worklist folder takes no such name: {error}")

    def _list(self) -> list[str]:
        with self._opened() as folder:
            return [name for name in os.listdir(folder) if _NAME.match(name)]

    def _sweep(self) -> int:
        removed = 0
        with self._opened() as folder:
            for name in os.listdir(folder):
                if _stray(folder, name):
                    _remove(folder, name)
                    removed += 1
            if removed:
                os.fsync(folder)
        return removed

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The folder as a descriptor: every name is looked up in this very folder, wherever a link may point later."""
        try:
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise UnavailableError(f"the worklist folder cannot be opened: {error.strerror}") from error
        try:
            yield folder
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            os.close(folder)


class LookedAt:
    """A folder whose files are compared and left as they are."""

    def __init__(self, folder: WorklistFolder) -> None:
        self._folder = folder

    def make_all(self, changes: Sequence[Change]) -> list[bool | UnavailableError]:
        """For each order whether its files are others than these."""
        return self._folder.differing(changes)


def _differs(folder: int, change: Change, there: set[str]) -> bool | UnavailableError:
    order_id, files, _ = change
    wanted = {_file_name(order_id, key): content for key, content in files.items()}
    try:
        return wanted.keys() != there or any(_read(folder, name) != content for name, content in wanted.items())
    except OSError as error:
        return UnavailableError(f"the worklist folder cannot be read: {error.strerror}")


def _unavailable(error: OSError) -> UnavailableError:
    logger.warning("worklist folder: %s", errno.errorcode.get(error.errno or 0, "error"))
    return UnavailableError(f"the worklist folder cannot be written: {error.strerror}")


def _file_name(order_id: str, key: str) -> str:
    if not _ORDER_ID.match(order_id):
        raise ValueError(f"{order_id!r} is no order id")
    return f"{order_id}~{_digest(key)}.wl"


@lru_cache(maxsize=1024)
def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


class _Aside(NamedTuple):
    """A file that is written, not yet known to be on the disk, and not yet under its name."""

    name: str
    aside: str
    file: int


class _Begun(NamedTuple):
    """What is left to do of an order."""

    written: list[_Aside]
    unwanted: Collection[str]


def _write_aside(folder: int, name: str, content: bytes, mode: int) -> _Aside:
    aside = f"{name}.{token_hex(8)}{_ASIDE}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    written = _Aside(name, aside, os.open(aside, flags, mode, dir_fd=folder))
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(written.file, rest) :]
    except BaseException:
        _give_up(folder, [written])
        raise
    if _sync_file_range is not None:  # whether it could be begun shows at the fsync
        _sync_file_range(written.file, 0, 0, _START_WRITING)
    return written


def _finish(folder: int, begun: _Begun) -> bool | UnavailableError:
    """Bring the files to the disk and under their names, and remove what is unwanted; whether anything changed."""
    changed = bool(begun.written)
    try:
        while begun.written:
            name, aside, file = begun.written[-1]
            os.fsync(file)
            os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
            begun.written.pop()
            os.close(file)
        for name in begun.unwanted:
            changed |= _remove(folder, name)
    except OSError as error:
        return _unavailable(error)
    return changed


def _give_up(folder: int, written: list[_Aside]) -> None:
    while written:
        one = written.pop()
        os.close(one.file)
        _remove(folder, one.aside)


def _read(folder: int, name: str) -> bytes | None:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)  # a pipe would be waited for
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link in place of our file is replaced
            return None
        raise
    with os.fdopen(file, "rb") as stream:
        return stream.read()


def _remove(folder: int, name: str) -> bool:
    """Whether there was such a file."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _stray(folder: int, name: str) -> bool:
    if not name.endswith(_ASIDE):
        return False
    try:
        return time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > _STALE
    except FileNotFoundError:
        return False
