"""Frames out of the file as the archive stored it.

Orthanc's DICOMweb plugin reads and parses the whole file for each frame: 2 ms for a CT slice, half a second for a cine
of 80 MB. The stored file costs it 0.2 ms. What is answered is what the plugin would answer, but for the boundary; all
that is not plain goes to the plugin.

- One frame that is one run of bytes up to the end of the file: the file is asked for, its beginning says where the
  pixels lie, the rest streams by.
- Anything else whose beginning can be read: the archive gives the frame by its own index of the file. That answer says
  nothing of itself, so what it is (transfer syntax) is remembered from the file with its MD5, and holds only if the
  archive still has a file of that MD5 after it has read the frame.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from interop.dicom.stored_image import (
    EXPLICIT,
    IMPLICIT,
    MEDIA_TYPES,
    Short,
    StoredImage,
    read_stored_image,
)
from interop.dicomweb.archive import Answer, Archive, ArchiveAnswer
from interop.dicomweb.frame_answer import FrameAnswer
from interop.dicomweb.paths import Target
from interop.dicomweb.patient_ids import PatientIds

_LONGEST_HEAD = 448 * 1024  # of a file up to its pixels; the wire reads 512 kB ahead
_FIRST_LOOK = 2048
_KEPT = 2048
_KEPT_SECONDS = 60.0  # that a file cannot be read here
_CHECKS = 8  # frames that hold a connection and need a second: few enough that they never wait for each other
_ETAG = re.compile(rb'"[0-9]+-([0-9a-f]{32})"')  # Orthanc: the revision and the MD5 of an attachment


@dataclass(frozen=True, slots=True)
class Question:
    """A frame, and how it is to look."""

    target: Target
    syntax: str  # "*": as it is stored; "": the default of PS3.18 8.7.3.3, Explicit VR Little Endian
    single: bool  # the bytes alone, no multipart around them
    address: str  # scheme and host by which clients reach this server


@dataclass(frozen=True, slots=True)
class _Known:
    """What the beginning of a file has said."""

    until: float
    image: StoredImage | None  # None: nothing that can be used
    md5: bytes


class StoredFrames:
    """Answers for frames, where they can be had without the archive's DICOMweb."""

    def __init__(
        self, archive: Archive, patients: PatientIds | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._patients = patients or PatientIds(archive)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._looking: dict[str, asyncio.Future[None]] = {}
        self._checks = asyncio.Semaphore(_CHECKS)

    async def get(self, question: Question) -> Answer | None:
        """The answer; None where only the archive's DICOMweb can tell, what it refuses included.

        UnavailableError when the archive cannot be reached, or falls silent.
        """
        name = await self._patients.instance(question.target)
        if name is None:
            return None
        if (other := self._looking.get(name)) is not None:
            await asyncio.shield(other)
        known = self._known.get(name)
        if known is None:
            return await self._from_file(name, question)
        if known.image is not None:
            return await self._from_index(name, known.image, known.md5, question)
        if known.until <= self._clock():
            del self._known[name]
        return None

    async def _from_file(self, name: str, question: Question) -> Answer | None:
        looked = self._looking[name] = asyncio.get_running_loop().create_future()
        answer = None
        try:
            answer = await self._archive.get(b"/instances/%b/attachments/dicom/data" % name.encode("ascii"))
            total = _length(answer)
            if answer.status == 404:
                self._patients.forget(str(question.target.study))
            if answer.status != 200 or total == 0:
                return None
            image = await _look(answer, total)
            if image is not None and not _is(image, question.target):
                image = None
            if image is not None and image.start:
                found = _framed(answer, image, question, image.start, image.length)
                if found is not None:
                    answer = None
                    return found
            tag = _ETAG.fullmatch(answer.header(b"etag") or b"")
            self._remember(name, image if tag else None, tag.group(1) if tag else b"")
        finally:
            if self._looking.get(name) is looked:
                del self._looking[name]
            looked.set_result(None)
            if answer is not None:
                answer.close()
        return await self.get(question) if name in self._known else None

    def _remember(self, name: str, image: StoredImage | None, md5: bytes) -> None:
        self._known[name] = _Known(self._clock() + _KEPT_SECONDS, image, md5)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    async def _from_index(self, name: str, image: StoredImage, md5: bytes, question: Question) -> Answer | None:
        frame = question.target.frame
        if not 1 <= frame <= image.frames or _label(image, question.syntax) is None:
            return None
        path = f"/instances/{name}/frames/{frame - 1}/raw".encode("ascii")
        async with self._checks:
            answer = await self._archive.get(path)
            good = False
            try:
                length = _length(answer)
                if answer.status == 200 and length > 0:
                    if await self._has(name, md5):
                        good = True
                        return _framed(answer, image, question, 0, length)
                    self._known.pop(name, None)
                return None
            finally:
                if not good:
                    answer.close()

    async def _has(self, name: str, md5: bytes) -> bool:
        """Whether the archive's file is still that one."""
        answer = await self._archive.get(f"/instances/{name}/attachments/dicom/md5".encode("ascii"))
        try:
            return answer.status == 200 and (await answer.body(64)).strip() == md5
        finally:
            answer.close()


def _length(answer: Answer) -> int:
    """Of its body; 0 where that is not said."""
    length = answer.header(b"content-length") or b""
    return int(length) if length.isdigit() and not answer.ends_with_connection else 0


async def _look(answer: ArchiveAnswer, total: int) -> StoredImage | None:
    """What the file's beginning says; None also if that is too long."""
    needed = _FIRST_LOOK
    while True:
        data = await answer.ahead(min(needed, total))
        found = read_stored_image(data, total)
        if not isinstance(found, Short):
            return found
        if found.needed > _LONGEST_HEAD or found.needed <= len(data):
            return None
        needed = min(max(found.needed, 2 * len(data)), _LONGEST_HEAD)


def _is(image: StoredImage, target: Target) -> bool:
    return (image.study, image.series, image.instance) == (target.study, target.series, target.instance)


def _label(image: StoredImage, syntax: str) -> str | None:
    """The transfer syntax by which the stored pixels may be called; None if they would have to be converted.

    Uncompressed pixels are the same bytes with implicit and explicit VR (PS3.5 8.1.1, A.1, A.2).
    """
    if syntax == "*" or syntax == image.transfer_syntax == IMPLICIT:
        return image.transfer_syntax
    return EXPLICIT if syntax in ("", EXPLICIT) and image.transfer_syntax in (IMPLICIT, EXPLICIT) else None


def _framed(answer: Answer, image: StoredImage, question: Question, start: int, length: int) -> Answer | None:
    label = _label(image, question.syntax)
    if label is None or not 1 <= question.target.frame <= image.frames:
        return None
    if question.single:
        coded = "" if label in (IMPLICIT, EXPLICIT) else f"; transfer-syntax={label}"
        return FrameAnswer(answer, start, length, content_type=f"application/octet-stream{coded}".encode("ascii"))
    kind = f"{MEDIA_TYPES[label]}; transfer-syntax={label}"
    path = question.target.path.rpartition("/")[0]
    boundary = os.urandom(24).hex()
    head = (
        f"--{boundary}\r\nContent-Location: {question.address}{path}/{question.target.frame}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\nMIME-Version: 1.0\r\n\r\n"
    )
    return FrameAnswer(
        answer,
        start,
        length,
        content_type=f'multipart/related; type="{kind}"; boundary={boundary}'.encode("ascii"),
        before=head.encode("ascii"),
        after=f"\r\n--{boundary}--\r\n".encode("ascii"),
    )
