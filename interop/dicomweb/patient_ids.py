"""Under which PatientID the archive keeps a study: with it, the archive's own name of an instance can be computed.

Orthanc names an instance by the SHA-1 of PatientID, StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID with bars
between them. The UIDs are those that the request was authorised for, so a PatientID that is wrong or out of date names
an instance that does not exist, never one of another study.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable

import orjson

from interop.dicomweb.archive import Archive
from interop.dicomweb.paths import Target

_KNOWN_SECONDS = 60.0
_UNKNOWN_SECONDS = 5.0  # a study may be about to arrive
_KEPT = 4096
_MAX_ANSWER = 1024 * 1024  # it names every series


class PatientIds:
    """Asks the archive once for each study, and again after a minute."""

    def __init__(self, archive: Archive, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._archive = archive
        self._clock = clock
        self._known: dict[str, tuple[float, str | None]] = {}
        self._asking: dict[str, asyncio.Future[None]] = {}

    async def instance(self, target: Target) -> str | None:
        """The archive's name of the instance, if it exists; None where that is not certain."""
        patient = await self._patient(str(target.study))
        return None if patient is None else orthanc_id(patient, str(target.study), target.series, target.instance)

    async def study(self, target: Target) -> str | None:
        """The archive's name of the study, if it exists; None where that is not certain."""
        patient = await self._patient(str(target.study))
        return None if patient is None else orthanc_id(patient, str(target.study))

    async def series(self, target: Target) -> str | None:
        """The archive's name of the series, if it exists; None where that is not certain."""
        patient = await self._patient(str(target.study))
        return None if patient is None else orthanc_id(patient, str(target.study), target.series)

    async def _patient(self, study: str) -> str | None:
        until, patient = self._known.get(study, (0.0, None))
        return patient if until > self._clock() else await self._ask_once(study)

    def forget(self, study: str) -> None:
        """The instance was not there: perhaps the study got another PatientID."""
        self._known.pop(study, None)

    async def _ask_once(self, study: str) -> str | None:
        other = self._asking.get(study)
        if other is not None:
            await asyncio.shield(other)
            return self._known.get(study, (0.0, None))[1]
        done = self._asking[study] = asyncio.get_running_loop().create_future()
        try:
            patient = await self._ask(study)
            if len(self._known) >= _KEPT:
                self._known.clear()
            seconds = _UNKNOWN_SECONDS if patient is None else _KNOWN_SECONDS
            self._known[study] = (self._clock() + seconds, patient)
        finally:
            del self._asking[study]
            done.set_result(None)
        return patient

    async def _ask(self, study: str) -> str | None:
        """By the archive's own search: the plugin's counts every instance of the study for its answer."""
        question = orjson.dumps({"Level": "Study", "Expand": True, "Limit": 2, "Query": {"StudyInstanceUID": study}})

        async def pieces() -> AsyncIterator[bytes]:
            yield question

        answer = await self._archive.post(b"/tools/find", len(question), pieces, again=True)
        try:
            return _patient_id(await answer.body(_MAX_ANSWER), study) if answer.status == 200 else None
        finally:
            answer.close()


def _patient_id(body: bytes, study: str) -> str | None:
    """The PatientID of the one row of a search; None where the study is kept under several."""
    try:
        [row] = orjson.loads(body)
        patient = row["PatientMainDicomTags"].get("PatientID", "")
        # A bar could make the parts of the name mean something else.
        return patient if "|" not in patient and row["ID"] == orthanc_id(patient, study) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def orthanc_id(*parts: str) -> str:
    """Orthanc's name of what has this PatientID, StudyInstanceUID, SeriesInstanceUID and so on."""
    digest = hashlib.sha1("|".join(parts).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))
