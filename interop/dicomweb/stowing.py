"""Storing in an archive that is no Orthanc: each instance by a STOW-RS request of its own (PS3.18 10.5)."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from interop.dicomweb.intake import Intake
from interop.dicomweb.paths import ROOT
from interop.dicomweb.storing import (
    DUPLICATE,
    NOT_UNDERSTOOD,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    Instance,
    Storing,
)
from interop.dicomweb.taken import Piece
from interop.dicomweb.visits import Visit
from interop.errors import UnavailableError

log = logging.getLogger(__name__)

_MAX_ANSWER = 256 * 1024


class StowStoring(Storing):
    """One instance in a request, so that the archive's answer is about that one."""

    at_once = 1  # two at a time may both make their patient, study or series

    async def _find_empty(self, instances: Sequence[Instance], visit: Visit) -> None:
        """It is asked about each: others may store there, past this server."""

    async def _store(self, intake: Intake, instance: Instance, *, new: bool) -> int:
        own = instance.identity
        series = f"{ROOT}/studies/{own.study}/series/{own.series}/instances"
        if await self._rows(f"{series}?SOPInstanceUID={own.instance}"):
            return DUPLICATE  # whether it is the same, only the archive could tell, and it may have changed it
        boundary = os.urandom(24).hex()
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
        tail = f"\r\n--{boundary}--\r\n".encode("ascii")

        async def pieces() -> AsyncIterator[Piece]:
            yield head
            async for piece in intake.pieces(instance.part):
                yield piece
            yield tail

        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'.encode("ascii")
        headers = [(b"Content-Type", kind), (b"Accept", b"application/dicom+json")]
        length = len(head) + instance.part.length + len(tail)
        target = f"{ROOT}/studies/{own.study}".encode("ascii")
        answer = await self._archive.post(target, length, pieces, headers)
        try:
            return _reason(answer.status, await answer.body(_MAX_ANSWER))
        finally:
            answer.close()


def _reason(status: int, body: bytes) -> int:
    """What became of the one instance: 0, or the failure reason that the archive gives (PS3.18 table 10.5.3-1)."""
    if status in (401, 403, 502, 503, 504):
        raise UnavailableError("the image archive does not take images now", retry_after=10)
    if status == 507:
        return OUT_OF_RESOURCES
    if status in (400, 415):
        return NOT_UNDERSTOOD
    said = _object(body)
    failed = said.get("00081198", {}).get("Value") or []
    if failed:
        reasons = failed[0].get("00081197", {}).get("Value") or [PROCESSING_FAILURE]
        return int(reasons[0])
    if status in (200, 202):
        return 0
    log.warning("the archive did not take an instance (%d)", status)
    return PROCESSING_FAILURE


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(said, list) and len(said) == 1:  # some put the one object into an array
        said = said[0]
    return said if isinstance(said, dict) else {}
