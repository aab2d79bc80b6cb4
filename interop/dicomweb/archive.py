"""What this door needs of a wire: the archive to relay from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Answer(Protocol):
    """An answer of the archive, its body still on the way."""

    status: int
    headers: list[tuple[bytes, bytes]]
    ends_with_connection: bool

    def header(self, name: bytes) -> bytes | None: ...
    async def chunk(self) -> bytes | memoryview: ...
    async def body(self, limit: int) -> bytes: ...
    def close(self) -> None: ...


class Archive(Protocol):
    """The relay to the archive."""

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer: ...
