"""What this door needs of a wire: the archive to relay from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

PathOf = Callable[[str], str]  # of a file by its name in the index; ValueError for what is no name

SINK = "interop.sink"  # the ASGI extension by which a server offers one: {"open": a function that gives a Sink}


class Sink(Protocol):
    """The client's socket, for the body of an answer whose start has been sent."""

    @property
    def full(self) -> bool: ...
    @property
    def gone(self) -> bool: ...
    def write(self, *pieces: bytes | memoryview) -> bool: ...
    def tell(self, changed: Callable[[], None] | None) -> None: ...
    def abort(self) -> None: ...
    def lend(self) -> int | None: ...
    def given_back(self, written: int) -> None: ...


class Answer(Protocol):
    """An answer to pass on, its body still on the way."""

    status: int
    headers: list[tuple[bytes, bytes]]
    ends_with_connection: bool

    def header(self, name: bytes) -> bytes | None: ...
    async def chunk(self) -> bytes | memoryview: ...
    async def pour(self, sink: Sink, patience: float) -> bool: ...
    def close(self) -> None: ...


class ArchiveAnswer(Answer, Protocol):
    """An answer of the archive, which may be looked at before it is passed on, or read whole."""

    async def ahead(self, size: int) -> bytes | memoryview: ...
    async def body(self, limit: int) -> bytes: ...


class Archive(Protocol):
    """The relay to the archive."""

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> ArchiveAnswer: ...
    async def post(
        self,
        target: bytes,
        length: int,
        pieces: Callable[[], AsyncIterator[bytes | memoryview]],
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        again: bool = False,
    ) -> ArchiveAnswer: ...


@dataclass(frozen=True, slots=True)
class NamedArchive:
    """One of several archives."""

    name: str
    relay: Archive
    plain: bool = False  # DICOMweb is all it has; else it is an Orthanc
    thumbnails: bool = False  # whether it has /thumbnail (PS3.18 10.4.1.1.5)
    page: int = 1000  # rows that one search gives at most
    path_of: PathOf | None = None  # where an Orthanc keeps its files, if they can be read


ONLY = "orthanc"  # the name of the archive where there is one
