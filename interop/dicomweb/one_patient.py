"""Who may see one patient's images alone sees none of a study that the archive has under several patients.

The UID of such a study says nothing of whose an image in it is, and it is registered as the first one's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import orjson

from interop.dicom.search_rows import shared_studies
from interop.dicomweb.archive import Archive
from interop.dicomweb.archives import Archives
from interop.dicomweb.paths import ROOT, parse
from interop.dicomweb.upstream import failure
from interop.errors import ForbiddenError, InteropError, UnavailableError

_KEPT_SECONDS = 10.0
_KEPT = 4096
_MAX_ANSWER = 4 * 1024 * 1024
_BATCH = 60  # UIDs in one question; Orthanc reads request lines of 16 kB


class OnePatient:
    """Asks the archive of a study whose it is there, at most every ten seconds."""

    def __init__(self, archives: Archives, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._archives, self._clock = archives, clock
        self._until: dict[str, float] = {}  # studies of one patient

    async def check(self, study: str) -> None:
        """ForbiddenError where there are several; UnavailableError when the archive does not answer."""
        if self._until.get(study, 0.0) > self._clock():
            return
        if await self._is_shared(study):
            raise ForbiddenError("the archive has this study under several patients")
        if len(self._until) >= _KEPT:
            self._until.clear()
        self._until[study] = self._clock() + _KEPT_SECONDS

    async def alone(self, studies: Collection[str]) -> frozenset[str]:
        """Those of the studies that are of one patient; those of an archive that does not answer too, which then shows
        none of them either."""
        found = frozenset(studies)
        for name, uids in (await self._archives.holders(sorted(studies))).items():
            for start in range(0, len(uids), _BATCH):
                with contextlib.suppress(UnavailableError):
                    rows = await self._rows(self._archives.named(name).archive, uids[start : start + _BATCH])
                    found -= shared_studies(rows)
        return found

    async def _is_shared(self, study: str) -> bool:
        archive = (await self._archives.of(study)).archive
        return study in shared_studies(await self._rows(archive, [study]))

    async def _rows(self, archive: Archive, studies: Sequence[str]) -> list[dict[str, Any]]:
        target = f"{ROOT}/studies?StudyInstanceUID={','.join(studies)}"
        answer = await archive.get(target.encode("ascii"), [(b"Accept", b"application/dicom+json")])
        try:
            if answer.status == 204:
                return []
            if answer.status != 200:
                raise failure(answer.status, parse(f"{ROOT}/studies"))
            rows = orjson.loads(await answer.body(_MAX_ANSWER))
        except orjson.JSONDecodeError:
            rows = None
        finally:
            answer.close()
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InteropError("the archive's answer is not DICOM JSON", status=502)
        return rows
