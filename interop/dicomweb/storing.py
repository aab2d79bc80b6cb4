"""STOW-RS: instances of one study, checked before the archive gets the first of them (PS3.18 10.5)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from interop.dicom.instance_identity import InstanceIdentity, read_identity
from interop.dicomweb.archive import Archive
from interop.dicomweb.intake import Intake, Part
from interop.dicomweb.paths import ROOT
from interop.dicomweb.patient_ids import orthanc_id
from interop.dicomweb.visits import Visit, Visits
from interop.errors import ConflictError, ForbiddenError, InteropError, MalformedError, UnavailableError

log = logging.getLogger(__name__)

_MAX_ANSWER = 256 * 1024
_AT_ONCE = 8  # of all requests together
# Failure reasons of PS3.18 I.2.2 and PS3.7 C
PROCESSING_FAILURE, DUPLICATE, OUT_OF_RESOURCES, NOT_UNDERSTOOD = 0x0110, 0x0111, 0xA700, 0xC000

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# PS3.4 B.5: structured reports and key objects, presentation states, segmentations, RT structure sets
_ANNOTATIONS = tuple(f"{_STORAGE}{kind}" for kind in ("88.", "11.", "66.4", "66.5", "66.7", "481.3"))


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a request that has been looked at."""

    identity: InstanceIdentity
    part: Part


async def read_instances(intake: Intake, parts: Sequence[Part], study: str | None) -> list[Instance]:
    """The instances of a request: all of one study and one patient.

    MalformedError (400) if one is no DICOM file, ConflictError (409) if one belongs elsewhere. Nothing is stored.
    """
    found = await asyncio.to_thread(_read, intake, parts)
    studies = {each.identity.study for each in found}
    if len(studies) > 1:
        raise ConflictError("the request holds instances of several studies; nothing was stored")
    [own] = studies
    if study is not None and own != study:
        raise ConflictError("the request's path names another study than its instances; nothing was stored")
    if len({each.identity.patient_id for each in found}) > 1:
        raise ConflictError("the request holds instances of several patients; nothing was stored")
    instances = [each.identity.instance for each in found]
    if len(set(instances)) != len(instances):
        raise ConflictError("the request holds an instance twice; nothing was stored")
    return found


class Storing:
    """Gives instances to the archive: the first alone, the others a few at a time."""

    at_once = 4  # of one request; Orthanc reads files and writes them beside each other

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._under_way: dict[str, asyncio.Future[None]] = {}  # instances that are being stored
        self._visits = Visits()
        self._room = asyncio.Semaphore(_AT_ONCE)  # of all requests together: others want the archive too

    async def check(self, instances: Sequence[Instance]) -> None:
        """ConflictError (409) unless they are of the patient that the archive has their study under."""
        identity = instances[0].identity
        kept = await self._patients(identity.study)
        if kept and identity.patient_id not in kept:
            raise ConflictError(
                "PatientID is not the one that the archive has this study under, which would then fall in two; "
                "nothing was stored"
            )

    async def _patients(self, study: str) -> set[str]:
        """The PatientIDs under which the archive has the study."""
        found = set()
        for row in await self._rows(f"{ROOT}/studies?StudyInstanceUID={study}"):
            values = row.get("00100020", {}).get("Value") or [""]
            found.add(str(values[0] or "").strip())
        return found

    async def _rows(self, target: str) -> list[dict[str, Any]]:
        answer = await self._archive.get(target.encode("ascii"), [(b"Accept", b"application/dicom+json")])
        try:
            if answer.status == 204:
                return []
            if answer.status != 200:
                raise InteropError(f"the image archive failed ({answer.status})", status=502)
            return cast(list[dict[str, Any]], orjson.loads(await answer.body(_MAX_ANSWER)))
        except orjson.JSONDecodeError:
            raise InteropError("the archive's answer is not DICOM JSON", status=502) from None
        finally:
            answer.close()

    async def store(self, intake: Intake, instances: Sequence[Instance]) -> dict[str, int]:
        """The reasons (0008,1197) why instances are not stored, by SOPInstanceUID; the others are.

        An instance whose fate the archive did not tell counts as not stored. UnavailableError if it told of none.
        """
        reasons = dict.fromkeys((each.identity.instance for each in instances), OUT_OF_RESOURCES)
        with self._visits.entered(frozenset(each.identity.series for each in instances)) as visit:
            await self._find_empty(instances, visit)
            await self._store_all(intake, instances, reasons, visit)
        return {uid: reason for uid, reason in reasons.items() if reason}

    async def _find_empty(self, instances: Sequence[Instance], visit: Visit) -> None:
        """Series of which the archive has nothing: it need not be asked about each of their instances."""
        own = instances[0].identity
        counts = Counter(each.identity.series for each in instances)
        for series, count in counts.items():
            if count > 1 and visit.is_alone_in(series) and _certain(own.patient_id):
                name = orthanc_id(own.patient_id, own.study, series)
                answer = await self._archive.get(f"/series/{name}/metadata".encode("ascii"))
                try:
                    await answer.body(_MAX_ANSWER)
                finally:
                    answer.close()
                if answer.status == 404:
                    visit.found_empty(series)

    async def _store_all(
        self, intake: Intake, instances: Sequence[Instance], reasons: dict[str, int], visit: Visit
    ) -> None:
        waiting = iter(instances)
        await self._next(intake, next(waiting), reasons, visit)
        gone = False

        async def some() -> None:
            nonlocal gone
            for instance in waiting:  # each takes the next one that nobody has
                if gone:
                    return
                try:
                    await self._next(intake, instance, reasons, visit)
                except UnavailableError:
                    gone = True

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.at_once, len(instances) - 1)):
                group.create_task(some())
        if gone:
            log.warning("the archive left while instances were being stored")

    async def _next(self, intake: Intake, instance: Instance, reasons: dict[str, int], visit: Visit) -> None:
        """Stores one. Two requests with the same one take turns between the question whether it is there and that."""
        uid = instance.identity.instance
        while (other := self._under_way.get(uid)) is not None:
            await asyncio.shield(other)
        done = self._under_way[uid] = asyncio.get_running_loop().create_future()
        try:
            async with self._room:
                reasons[uid] = await self._store(intake, instance, new=visit.is_new(instance.identity.series))
        finally:
            del self._under_way[uid]
            done.set_result(None)

    async def _store(self, intake: Intake, instance: Instance, *, new: bool) -> int:
        """Stores it; what is ``new`` is certain not to be there."""
        own = instance.identity
        name = orthanc_id(own.patient_id, own.study, own.series, own.instance)
        stored = b"" if new else await self._md5(name)
        if not new and not stored and not _certain(own.patient_id):
            series = f"{ROOT}/studies/{own.study}/series/{own.series}/instances"
            if await self._rows(f"{series}?SOPInstanceUID={own.instance}"):
                return DUPLICATE
        if stored:
            same = stored == await asyncio.to_thread(intake.digest, instance.part)
            return 0 if same else DUPLICATE  # what is stored stays as it is (PS3.18 10.5.3)
        part = instance.part
        answer = await self._archive.post(b"/instances", part.length, lambda: intake.pieces(part), again=True)
        try:
            body = await answer.body(_MAX_ANSWER)
        finally:
            answer.close()
        if answer.status in (400, 415):
            return NOT_UNDERSTOOD
        if answer.status == 507:
            return OUT_OF_RESOURCES
        if answer.status in (401, 403, 502, 503, 504):
            raise UnavailableError("the image archive does not take images now", retry_after=10)
        if answer.status != 200 or not _says_stored(body):
            log.warning("the archive did not take an instance (%d)", answer.status)
            return PROCESSING_FAILURE
        return 0

    async def _md5(self, name: str) -> bytes:
        answer = await self._archive.get(f"/instances/{name}/attachments/dicom/md5".encode("ascii"))
        try:
            return (await answer.body(64)).strip() if answer.status == 200 else b""
        finally:
            answer.close()


def only_annotations(instances: Sequence[Instance]) -> None:
    """ForbiddenError if one is anything but a report, segmentation, key object or presentation state."""
    for each in instances:
        if not each.identity.sop_class.startswith(_ANNOTATIONS):
            raise ForbiddenError("a viewer stores reports, segmentations, key objects and presentation states only")


def _read(intake: Intake, parts: Sequence[Part]) -> list[Instance]:
    found = []
    with intake.taken.reader() as file:
        for number, part in enumerate(parts, 1):
            file.seek(part.start)
            try:
                found.append(Instance(read_identity(file, part.length), part))
            except MalformedError as error:
                raise MalformedError(f"part {number}: {error.text}; nothing was stored") from None
            if file.tell() > part.start + part.length:  # the next part was read for this one
                raise MalformedError(f"part {number}: that is not a DICOM file; nothing was stored")
    return found


def _certain(patient_id: str) -> bool:
    """Whether Orthanc's name of an instance is sure to follow from it: no other letters, nothing to be trimmed."""
    return patient_id.isascii() and patient_id.isprintable() and "|" not in patient_id


def _says_stored(body: bytes) -> bool:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(said, dict) and said.get("Status") in ("Success", "AlreadyStored")


def answer_of(instances: Sequence[Instance], reasons: dict[str, int], address: str) -> tuple[int, bytes]:
    """Status and body of the answer (PS3.18 10.5.3, table 10.5.3-1; annex I.2): empty sequences are left out."""
    study = f"{address}{ROOT}/studies/{instances[0].identity.study}"
    stored, failed = [], []
    for each in instances:
        own = each.identity
        item: dict[str, Any] = {"00081150": _value("UI", own.sop_class), "00081155": _value("UI", own.instance)}
        if own.instance in reasons:
            failed.append(item | {"00081197": _value("US", reasons[own.instance])})
        else:
            stored.append(item | {"00081190": _value("UR", f"{study}/series/{own.series}/instances/{own.instance}")})
    body: dict[str, Any] = {}
    if stored:
        body |= {"00081190": _value("UR", study), "00081199": {"vr": "SQ", "Value": stored}}
    if failed:
        body["00081198"] = {"vr": "SQ", "Value": failed}
    return (200 if not failed else 202 if stored else 409), orjson.dumps(body)


def _value(vr: str, value: object) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}
