"""What this door needs of others: the archive to relay from, and the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from interop.access import Agent

T = TypeVar("T")


class Answer(Protocol):
    """An answer of the archive, its body still on the way."""

    status: int
    headers: list[tuple[bytes, bytes]]
    ends_with_connection: bool

    def header(self, name: bytes) -> bytes | None: ...
    async def chunk(self) -> bytes: ...
    async def body(self, limit: int) -> bytes: ...
    def close(self) -> None: ...


class Archive(Protocol):
    """The relay to the archive."""

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer: ...


class AccessStore(Protocol):
    """The store, as far as this door goes."""

    async def unit(self, agent: Agent, work: Callable[[Any], T]) -> T: ...
    async def view(self, work: Callable[[Any], T]) -> T: ...
