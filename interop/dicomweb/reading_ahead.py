"""Series of studies that have come in, read ahead of whoever opens them first.

Level-triggered: it looks, every other second, which studies have a version that it has not read, so that nothing has
to be told or kept, and what is missed is seen at the next look. It is in nobody's way: one series at a time, with a
pause four times as long as that took, and none while images come in, unless a study has waited for a minute.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from traceback import format_tb

from interop.dicomweb.warming import Warming
from interop.errors import InteropError, UnavailableError
from interop.fhir.names import STUDY_UID
from interop.store import Store, Stored, Tx

log = logging.getLogger(__name__)

STUDIES = 20  # the newest; with a longer backlog those before them are left to their viewers
OLDEST = timedelta(hours=1)  # since a study's last change
QUIET = timedelta(seconds=3)  # without a change: the study is complete, and Orthanc's seconds tell changes apart
WAITING = timedelta(seconds=60)  # for other studies to be complete
_LOOK = 2.0  # seconds between looks
_AFTER_FAILURE = 10.0
_PAUSE = 4  # times what a series took
_LONGEST = 20.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class _Study:
    """A version of a study, and what is still to be read of it."""

    uid: str
    version: int
    changed: datetime
    owed: list[str]


class ReadingAhead:
    """Runs where the memories are: in each process that answers DICOMweb. ``series``: of a study at most."""

    def __init__(self, store: Store, warming: Warming, *, series: int, clock: Callable[[], datetime] = _now) -> None:
        self._store, self._warming, self._most, self._clock = store, warming, series, clock
        self._studies: dict[str, _Study] = {}

    async def run(self) -> None:
        """Until cancelled; what the archive or the database refuses is tried again."""
        while True:
            try:
                pause = await self.turn()
            except InteropError as error:
                log.info("nothing is read ahead for now: %s", error.text)
                pause = _AFTER_FAILURE
            except Exception as error:  # nobody waits for this, and the server does not end because of it
                where = "".join(format_tb(error.__traceback__))  # its text may hold what an archive said
                log.error("a series could not be read ahead: %s\n%s", type(error).__name__, where)
                pause = _AFTER_FAILURE
            await asyncio.sleep(pause)

    async def turn(self) -> float:
        """Reads one series, if one is due; seconds until the next turn.

        UnavailableError leaves it owed; what is refused otherwise is left to the viewer.
        """
        now = self._clock()
        known = {uid: study.version for uid, study in self._studies.items()}
        seen = await self._store.view(lambda tx: _seen(tx, now - OLDEST, known, self._most))
        self._studies = {each.uid: self._merged(each) for each in seen}
        study = self._due(now)
        if study is None:
            return _LOOK
        begun = time.monotonic()
        series = study.owed.pop(0)
        try:
            await self._warming.series(study.uid, series)
        except UnavailableError:
            study.owed.insert(0, series)
            raise
        return min((time.monotonic() - begun) * _PAUSE, _LONGEST)

    def _merged(self, seen: _Study) -> _Study:
        before = self._studies.get(seen.uid)
        return before if before is not None and before.version == seen.version else seen

    def _due(self, now: datetime) -> _Study | None:
        growing = any(each.changed > now - QUIET for each in self._studies.values())
        wait = WAITING if growing else QUIET
        return next((each for each in self._studies.values() if each.owed and each.changed <= now - wait), None)


def _seen(tx: Tx, since: datetime, known: dict[str, int], most: int) -> list[_Study]:
    """The newest studies, the newest first; the series of those only that are not known in this version."""
    found = []
    for stored in tx.recent_studies(since, STUDIES):
        uid = _uid(stored)
        if uid is None:
            continue
        owed = [] if known.get(uid) == stored.version else list(tx.study_series(stored.id))[:most]
        found.append(_Study(uid, stored.version, stored.last_updated, owed))
    return found


def _uid(stored: Stored) -> str | None:
    for identifier in stored.resource().get("identifier", ()):
        if identifier.get("system") == STUDY_UID:
            return str(identifier.get("value", "")).removeprefix("urn:oid:")
    return None
