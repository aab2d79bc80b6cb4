"""Units of work from the blocking threads of associations: handed to the store's event loop, and waited for."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from interop.access.agent import Agent
from interop.errors import UnavailableError
from interop.store import Store, Tx

T = TypeVar("T")


class Units:
    """The store, as a thread that is not the loop's may use it. There is one writer: the loop's."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        self._store = store
        self._loop = loop
        self._patience = patience

    def unit(self, agent: Agent, work: Callable[[Tx], T]) -> T:
        """See ``Store.unit``; UnavailableError where it takes too long, too."""
        return self._wait(self._store.unit(agent, work))

    def view(self, work: Callable[[Tx], T]) -> T:
        """See ``Store.view``."""
        return self._wait(self._store.view(work))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:  # the loop is closed
            work.close()
            raise UnavailableError("the server is stopping") from error
        try:
            return future.result(self._patience)
        except (TimeoutError, concurrent.futures.CancelledError) as error:
            future.cancel()
            raise UnavailableError("the database did not answer in time") from error
