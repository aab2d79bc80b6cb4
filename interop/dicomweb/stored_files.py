"""Whole studies and series from the files that Orthanc keeps, where this server can read them.

Orthanc's DICOMweb copies each byte several times, and a relay twice more. Its index tells which files there are
(/studies/…/instances with FileUuid and FileSize); from there the kernel sends them to the client itself. Only what was
asked for as it is stored (transfer-syntax=*, PS3.18 8.7.3.5.2) goes this way, and the answer is that of the plugin.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable
from typing import Any

import orjson

from interop.dicomweb.archive import Archive, PathOf
from interop.dicomweb.file_answer import FilesAnswer, Sending, StoredFile
from interop.dicomweb.paths import Target
from interop.dicomweb.patient_ids import PatientIds

log = logging.getLogger(__name__)

_LARGEST = 64 * 1024 * 1024  # of a list of instances: about 140,000 of them
_WITHOUT_SECONDS = 60.0  # for which a study of which a file was not as expected is relayed
_KEPT = 1024
_SYNTAX = re.compile(r'multipart/related; type="application/dicom"; transfer-syntax=\*')


class StoredFiles:
    """Answers for studies and series of one Orthanc; ``path_of`` leads to its files."""

    def __init__(
        self, archive: Archive, path_of: PathOf, patients: PatientIds, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._archive, self._path_of, self._patients = archive, path_of, patients
        self._clock = clock
        self._sending = Sending()
        self._without: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[list[StoredFile] | None]] = {}

    async def get(self, target: Target, accept: str) -> FilesAnswer | None:
        """The answer; None where the archive's DICOMweb has to give it, refusals included.

        UnavailableError when the archive does not answer.
        """
        study = str(target.study)
        if target.kind != "retrieve" or target.level not in ("study", "series") or not _SYNTAX.fullmatch(accept):
            return None
        if self._without.get(study, 0.0) > self._clock() or not self._sending.free:
            return None
        files = await self._files(target)
        if files is None:
            return None
        if not await asyncio.to_thread(_is_there, files[0]):
            self._leave(study)
            return None
        return FilesAnswer(files, self._sending, lambda: self._leave(study))

    async def _files(self, target: Target) -> list[StoredFile] | None:
        of_series = target.level == "series"
        name = await (self._patients.series(target) if of_series else self._patients.study(target))
        if name is None:
            return None
        path = f"/{'series' if of_series else 'studies'}/{name}/instances"
        asking = self._asking.get(path)
        if asking is None:  # who asks at the same time shares the list
            asking = self._asking[path] = asyncio.create_task(self._listed(path, str(target.study)))
            asking.add_done_callback(lambda _: self._asking.pop(path, None))
        return await asyncio.shield(asking)

    async def _listed(self, path: str, study: str) -> list[StoredFile] | None:
        answer = await self._archive.get(path.encode("ascii"))
        try:
            if answer.status == 404:
                self._patients.forget(study)
            if answer.status != 200:
                return None
            rows = orjson.loads(await answer.body(_LARGEST))
        except orjson.JSONDecodeError:
            return None
        finally:
            answer.close()
        try:
            return [self._file(row) for row in rows] or None
        except (KeyError, TypeError, ValueError):
            return None

    def _file(self, row: dict[str, Any]) -> StoredFile:
        return StoredFile(self._path_of(row["FileUuid"]), int(row["FileSize"]))

    def _leave(self, study: str) -> None:
        """A file was not as the index has it: compressed, in another storage, not to be read, or gone by now."""
        if len(self._without) >= _KEPT:
            self._without.clear()
        self._without[study] = self._clock() + _WITHOUT_SECONDS
        log.warning("files in the archive's storage are not as its index says: a study comes from its DICOMweb")


def _is_there(file: StoredFile) -> bool:
    """Whether it can be read and looks like DICOM (PS3.10 7.1): neither compressed nor encrypted."""
    try:
        with open(file.path, "rb") as found:
            head = found.read(132)
            return head[128:] == b"DICM" and os.fstat(found.fileno()).st_size == file.size
    except OSError:
        return False
