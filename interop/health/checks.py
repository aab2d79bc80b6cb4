"""Whether the parts this server needs have answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from interop.errors import InteropError

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[object]]
_PATIENCE = 3.0  # seconds for one part to answer
_KEPT = 1.0  # seconds an answer holds: nobody can wear out the parts by asking


@dataclass(frozen=True, slots=True)
class Finding:
    """What one part said."""

    ok: bool
    milliseconds: float
    detail: str = ""


class Readiness:
    """Asks every part at once. A check raises if its part does not answer."""

    def __init__(
        self, checks: Mapping[str, Check], spare: frozenset[str] = frozenset(), lesser: frozenset[str] = frozenset()
    ) -> None:
        """Of the checks named in ``spare`` one that holds is enough: the others serve what is theirs.

        Without those in ``lesser`` everything that is asked of this server is still answered.
        """
        self._checks = dict(checks)
        self._spare = spare
        self._lesser = lesser
        self._last: tuple[float, dict[str, Finding]] | None = None
        self._asking: asyncio.Task[dict[str, Finding]] | None = None

    async def findings(self) -> dict[str, Finding]:
        """What the parts say, not older than a second. That HTTP answers is shown by this being asked."""
        if self._last is not None and time.monotonic() - self._last[0] < _KEPT:
            return self._last[1]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    def verdict(self, findings: Mapping[str, Finding]) -> str:
        """``ready``; ``degraded`` where only what is lesser or spare has failed, and not all that is spare; else
        ``not ready``."""
        failed = {name for name, finding in findings.items() if not finding.ok}
        if not failed:
            return "ready"
        grave = failed - self._lesser
        return "degraded" if not grave or grave < self._spare else "not ready"

    async def _ask(self) -> dict[str, Finding]:
        names = list(self._checks)
        found = await asyncio.gather(*(_run(name, self._checks[name]) for name in names))
        findings = {"http": Finding(True, 0.0), **dict(zip(names, found, strict=True))}
        self._last = (time.monotonic(), findings)
        return findings


async def _run(name: str, check: Check) -> Finding:
    begun = time.perf_counter()
    detail = ""
    try:
        async with asyncio.timeout(_PATIENCE):
            await check()
    except TimeoutError:
        detail = f"no answer within {_PATIENCE:g} s"
    except InteropError as error:
        detail = error.text
    except Exception as error:  # whatever a part fails with is a finding here, not a failure of this door
        log.warning("check %s failed: %s", name, type(error).__name__)
        detail = type(error).__name__
    return Finding(not detail, round((time.perf_counter() - begun) * 1000, 1), detail)
