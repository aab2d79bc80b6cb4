"""Metadata read ahead of a viewer: a launch is asked for seconds before OHIF asks for the metadata of every series."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import orjson

from interop.dicomweb.accept import wish
from interop.dicomweb.archive import Archive
from interop.dicomweb.archives import Archives
from interop.dicomweb.paths import ROOT, parse
from interop.dicomweb.small_pictures import SIZE, as_the_archive_has_it, small_picture
from interop.errors import InteropError, UnavailableError

log = logging.getLogger(__name__)

_STUDIES = 4  # read ahead at the same time; further launches are opened without
_SERIES = 50  # of a study
_MAX_ANSWER = 4 * 1024 * 1024


class Warming:
    """Reads ahead in the background; what fails is left to the viewer's own requests, whose errors are answered."""

    def __init__(self, archives: Archives, address: str) -> None:
        self._archives = archives
        self._address = address  # scheme and host by which viewers will come
        scheme, _, host = address.partition("://")
        self._forwarded = (b"Forwarded", f"host={host};proto={scheme}".encode("ascii"))
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, studies: Sequence[str]) -> None:
        """Reads the metadata of these studies, as many as there is room for."""
        for study in studies:
            if len(self._tasks) < _STUDIES:
                task = asyncio.get_running_loop().create_task(self._read(study))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def series(self, study: str, series: str) -> None:
        """Reads the metadata and the thumbnail of one series, where they can be kept.

        UnavailableError when the archive does not answer; a series without a picture is none.
        """
        upstream = await self._archives.of(study)
        path = f"{ROOT}/studies/{study}/series/{series}"
        await upstream.metadata.get(parse(f"{path}/metadata"), self._address, self._forwarded, counted=False)
        asked = parse(f"{path}/thumbnail")
        target, wanted = as_the_archive_has_it(asked, wish(asked, ""), upstream)
        try:
            await small_picture(upstream, target, f"viewport={SIZE}", wanted, self._forwarded, counted=False)
        except UnavailableError:
            raise
        except InteropError as error:
            log.debug("a series has no thumbnail: %s", error.text)

    async def _read(self, study: str) -> None:
        try:
            upstream = await self._archives.of(study)
            for series in await _series(upstream.archive, study):
                target = parse(f"{ROOT}/studies/{study}/series/{series}/metadata")
                await upstream.metadata.get(target, self._address, self._forwarded, counted=False)
        except InteropError as error:
            log.info("metadata were not read ahead: %s", error.text)


async def _series(archive: Archive, study: str) -> list[str]:
    answer = await archive.get(
        f"{ROOT}/studies/{study}/series?limit={_SERIES}".encode("ascii"), [(b"Accept", b"application/dicom+json")]
    )
    try:
        body = await answer.body(_MAX_ANSWER) if answer.status == 200 else b"[]"
        return [str(row["0020000E"]["Value"][0]) for row in orjson.loads(body)]
    except (ValueError, KeyError, IndexError, TypeError):
        return []
    finally:
        answer.close()
