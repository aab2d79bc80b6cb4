"""The worklist as items of Orthanc's worklists plugin, over its REST interface (``/worklists``; plugin 0.9 and later).

The same as the folder to whoever makes items: each has a name of our own, of its order and a digest, so it is put
there again and again without a second one, and taken away by name. What the plugin has is compared first, as files are.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import httpx
import orjson

from interop.errors import UnavailableError

logger = logging.getLogger(__name__)

Change = tuple[str, Mapping[str, bytes], Collection[str] | None]  # an order, its items, keys that shall have none

_ORDER_ID = re.compile(r"[A-Za-z0-9-][A-Za-z0-9.-]{0,63}\Z")
_NAME = re.compile(r"([A-Za-z0-9-][A-Za-z0-9.-]{0,63})~[0-9a-f]{16}\Z")
_ROOT = "/worklists"
_SECONDS = 10.0


class OrthancWorklists:
    """The items of each order. Blocks: for a process of its own, or a thread."""

    def __init__(self, url: str, username: str, password: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            auth=httpx.BasicAuth(username, password),
            timeout=httpx.Timeout(_SECONDS, connect=2.0),
            trust_env=False,
            follow_redirects=False,
            transport=transport,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def make_all(self, changes: Sequence[Change]) -> list[bool | UnavailableError]:
        """Make the items of each order exactly these; in turn: whether anything changed, or why it was not done.

        Without a list of keys that shall have none (None) the plugin is asked for everything that it has.
        """
        made: list[bool | UnavailableError] = []
        for order, items, absent in changes:
            try:
                made.append(self._make(order, items, absent))
            except UnavailableError as error:
                logger.warning("worklist of Orthanc: %s", error.text)
                made.append(error)
        return made

    def looked_at(self) -> LookedAt:
        """The same worklist, of which is only said what would be changed."""
        return LookedAt(self)

    def differing(self, changes: Sequence[Change]) -> list[bool | UnavailableError]:
        """For each order whether ``make_all`` would change anything; nothing is put or taken away. Blocks."""
        try:
            there: dict[str, set[str]] = {}
            for name in self._names():
                there.setdefault(name.partition("~")[0], set()).add(name)
            return [self._differs(items, order, there.get(order, set())) for order, items, _ in changes]
        except UnavailableError as error:
            return [error] * len(changes)

    def _differs(self, items: Mapping[str, bytes], order: str, there: set[str]) -> bool:
        wanted = {_name(order, key): content for key, content in items.items()}
        return wanted.keys() != there or any(
            not _within(orjson.loads(content)["Tags"], self._tags(name)) for name, content in wanted.items()
        )

    async def names(self) -> tuple[str, ...]:
        """The names of our items, sorted; those that somebody else has made are left out."""
        return tuple(sorted(await asyncio.to_thread(self._names)))

    def name(self, order_id: str, key: str) -> str:
        """What the item of this order and key is called; its order's id is what stands before ``~``."""
        return _name(order_id, key)

    async def sweep(self) -> int:
        """Nothing is left unfinished here: an item is there or not."""
        return 0

    def _make(self, order: str, items: Mapping[str, bytes], absent: Collection[str] | None) -> bool:
        wanted = {_name(order, key): content for key, content in items.items()}
        if absent is None:
            there = {name for name in self._names() if name.startswith(f"{order}~")}
            unwanted = there - wanted.keys()
        else:
            unwanted = {_name(order, key) for key in absent if key not in items}
        changed = False
        for name, content in wanted.items():
            if not _within(orjson.loads(content)["Tags"], self._tags(name)):
                self._asked("PUT", f"{_ROOT}/{name}", content=content)
                changed = True
        for name in unwanted:
            changed |= self._asked("DELETE", f"{_ROOT}/{name}") is not None
        return changed

    def _names(self) -> list[str]:
        found = self._asked("GET", f"{_ROOT}?format=Simplify")
        if not isinstance(found, list):
            raise UnavailableError("Orthanc has no /worklists: it needs the worklists plugin, 0.9 or later")
        names = [str(one.get("ID", "")) for one in found if isinstance(one, dict)]
        return [name for name in names if _NAME.match(name)]

    def _tags(self, name: str) -> Any:
        """What the plugin has under a name; None where it has nothing."""
        found = self._asked("GET", f"{_ROOT}/{name}?format=Simplify")
        return found.get("Tags") if isinstance(found, dict) else None

    def _asked(self, method: str, path: str, content: bytes | None = None) -> Any:
        """The answer; None for what is not there."""
        try:
            answer = self._http.request(method, path, content=content)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise UnavailableError(f"Orthanc does not answer ({type(error).__name__})", retry_after=5) from error
        if answer.status_code == 404 and method != "PUT":
            return None
        if answer.status_code in (401, 403):
            raise UnavailableError("Orthanc refuses the configured user or password", retry_after=60)
        if answer.status_code == 404:
            raise UnavailableError("Orthanc has no /worklists: it needs the worklists plugin, 0.9 or later")
        if not answer.is_success:
            raise UnavailableError(f"Orthanc answered {answer.status_code} to {method} {_ROOT}", retry_after=5)
        try:
            return orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise UnavailableError("Orthanc's answer is not JSON", retry_after=5) from error


class LookedAt:
    """A worklist whose items are compared and left as they are."""

    def __init__(self, worklist: OrthancWorklists) -> None:
        self._worklist = worklist

    def make_all(self, changes: Sequence[Change]) -> list[bool | UnavailableError]:
        """For each order whether its items are others than these."""
        return self._worklist.differing(changes)


def _within(ours: Any, theirs: Any) -> bool:
    """Whether the plugin has all that we say; it may have more, and leaves empty text out or makes null of it."""
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and all(_within(value, theirs.get(name)) for name, value in ours.items())
    if isinstance(ours, list):
        there = theirs if isinstance(theirs, list) else []
        return len(ours) == len(there) and all(map(_within, ours, there))
    return str(ours) == ("" if theirs is None else str(theirs).strip(" \0"))


def _name(order: str, key: str) -> str:
    if not _ORDER_ID.match(order):
        raise ValueError(f"{order!r} is no order id")
    return f"{order}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"
