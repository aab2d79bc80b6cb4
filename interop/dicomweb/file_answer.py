"""Files as one multipart answer, which the kernel copies from the disk's cache to the client's socket."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

from interop.dicomweb.archive import Sink
from interop.errors import UnavailableError

STREAMS = 32  # answers on their way at once, each in a thread that mostly waits
_PIECE = 1024 * 1024  # read at once where the server lends no socket
_LOOK = 1000  # milliseconds until it is looked whether the answer is still wanted


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the archive, and how long its index says that it is."""

    path: str
    size: int


class ChangedError(UnavailableError):
    """A file is not as the index had it."""


class _LeftError(Exception):
    """The client is gone, takes nothing, or is not waited for any more."""


class Sending:
    """The threads that send: disks may keep them waiting, and the event loop must not be."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(STREAMS, thread_name_prefix="files")
        self._under_way = 0

    @property
    def free(self) -> bool:
        """Whether another answer need not wait for its thread."""
        return self._under_way < STREAMS

    async def run(self, job: Callable[[], bool], left: Callable[[bool], None]) -> bool:
        """What the job gives, from a thread; ``left`` is told when nobody waits any more, and whether it never ran."""
        self._under_way += 1
        under_way = self._threads.submit(job)
        try:
            return await asyncio.wrap_future(under_way)
        finally:
            self._under_way -= 1
            left(under_way.cancelled())


class FilesAnswer:
    """An Answer: each file a part, with the headers that Orthanc's DICOMweb gives it."""

    status = 200
    ends_with_connection = False

    def __init__(self, files: Sequence[StoredFile], sending: Sending, changed: Callable[[], None]) -> None:
        self._files, self._sending, self._changed = files, sending, changed
        self._boundary = os.urandom(24).hex()
        self._end = f"\r\n--{self._boundary}--\r\n".encode("ascii")
        heads = sum(len(self._head(number)) for number in range(len(files)))
        self.length = heads + sum(file.size for file in files) + len(self._end)
        kind = f'multipart/related; type="application/dicom"; boundary={self._boundary}'
        self.headers = [(b"content-type", kind.encode("ascii")), (b"content-length", b"%d" % self.length)]
        self._pieces: Iterator[bytes] | None = None

    def _head(self, number: int) -> bytes:
        mark = f"--{self._boundary}\r\nContent-Type: application/dicom\r\n"
        about = f"Content-Length: {self._files[number].size}\r\nMIME-Version: 1.0\r\n\r\n"
        return (("\r\n" if number else "") + mark + about).encode("ascii")

    def header(self, name: bytes) -> bytes | None:
        """The header of that (lower case) name."""
        return next((value for key, value in self.headers if key == name), None)

    async def chunk(self) -> bytes | memoryview:
        """The next piece of the body; empty at its end. UnavailableError if a file is not as it should be."""
        if self._pieces is None:
            self._pieces = self._read()
        try:
            return await asyncio.to_thread(next, self._pieces, b"")
        except (OSError, ChangedError):
            self._changed()
            raise ChangedError("a file of the archive is not there any more", retry_after=5) from None

    def _read(self) -> Iterator[bytes]:
        for number, file in enumerate(self._files):
            yield self._head(number)
            with _opened(file) as found:
                left = file.size
                while left:
                    data = found.read(min(left, _PIECE))
                    if not data:
                        raise ChangedError("the file is shorter than it was")
                    left -= len(data)
                    yield data
        yield self._end

    async def pour(self, sink: Sink, patience: float) -> bool:
        """Sends it all; False if the client was gone before its end, or took nothing for ``patience`` seconds.

        UnavailableError if a file is not as it should be.
        """
        stop = threading.Event()
        descriptor = await _lent(sink, patience)
        if descriptor is None:
            return False
        client = _copied(descriptor)
        sink.tell(lambda: stop.set() if sink.gone else None)

        def left(never_ran: bool) -> None:
            stop.set()
            if never_ran:
                client.close()

        try:
            sent = await self._sending.run(lambda: self._send(client, stop, patience), left)
        except OSError:
            self._changed()
            raise ChangedError("a file of the archive is not there any more", retry_after=5) from None
        except ChangedError:
            self._changed()
            raise
        finally:
            sink.tell(None)
        if sent:
            sink.given_back(self.length)
        else:
            sink.abort()
        return sent

    def _send(self, client: socket.socket, stop: threading.Event, patience: float) -> bool:
        with client:
            client.setblocking(False)
            way = _Way(client, stop, patience)
            try:
                for number, file in enumerate(self._files):
                    with _opened(file) as found:
                        way.send(self._head(number), more=True)
                        way.send_file(found, file.size)
                way.send(self._end)
            except _LeftError:
                return False
        return True

    def close(self) -> None:
        """Nothing is held beyond an answer's end."""
        self._pieces = None


def _copied(descriptor: int) -> socket.socket:
    """The client's socket under a number of its own: the event loop holds on to the one that it has."""
    try:
        return socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise UnavailableError("no file number is left to send files with", retry_after=5) from None


def _opened(file: StoredFile) -> BinaryIO:
    found = open(file.path, "rb", buffering=0)  # noqa: SIM115
    if os.fstat(found.fileno()).st_size != file.size:
        found.close()
        raise ChangedError("a file of the archive has another length than its index says", retry_after=5)
    return found


class _Way:
    """The client's socket, from a thread."""

    def __init__(self, client: socket.socket, stop: threading.Event, patience: float) -> None:
        self._client, self._stop, self._patience = client, stop, patience
        self._room = select.poll()
        self._room.register(client, select.POLLOUT)

    def send(self, data: bytes, *, more: bool = False) -> None:
        """All of it; ``more`` follows in the same packet."""
        while data:
            try:
                data = data[self._client.send(data, socket.MSG_MORE if more else 0) :]
            except BlockingIOError:
                self._wait()
            except OSError:
                raise _LeftError from None

    def send_file(self, file: BinaryIO, size: int) -> None:
        """So many bytes of a file; ChangedError if it has fewer."""
        offset = 0
        while offset < size:
            try:
                sent = os.sendfile(self._client.fileno(), file.fileno(), offset, size - offset)
            except BlockingIOError:
                self._wait()
                continue
            except (BrokenPipeError, ConnectionError):
                raise _LeftError from None
            if sent == 0:
                raise ChangedError("a file of the archive became shorter", retry_after=5)
            offset += sent

    def _wait(self) -> None:
        until = time.monotonic() + self._patience
        while not self._stop.is_set():
            if self._room.poll(min(_LOOK, self._patience * 1000)):
                return
            if time.monotonic() >= until:
                break
        raise _LeftError


async def _lent(sink: Sink, patience: float) -> int | None:
    """The client's socket once it has what was written before; None if the client is gone, or takes nothing."""
    until = time.monotonic() + patience
    wait = 0.0  # the head of the answer leaves at the loop's next turn; what waits for a slow client takes longer
    while (descriptor := sink.lend()) is None and not sink.gone:
        if time.monotonic() >= until:
            sink.abort()
            return None
        await asyncio.sleep(wait)
        wait = min(wait + 0.001, 0.05)
    return descriptor
