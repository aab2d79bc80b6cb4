"""tags: make the tags of a study in the archive what is wanted of them, file by file.

An archive names an instance by its PatientID among others. Where that changes, the corrected file is another instance
beside the old one, and the old ones go together when all of them are there: at every moment the study is whole under
one of its patients. A run takes some seconds, says how far it is, and is owed anew until nothing is left; what an
interrupted one has done is seen in the files themselves.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Protocol

from interop.access.agent import system_agent
from interop.dicom.corrections import Rewritten, corrected, restored
from interop.errors import InvalidContentError, MalformedError, NotFoundError, RefusedError
from interop.jobs.runner import Lane, Outcome, UndeliverableError
from interop.store import Job, Store
from interop.workflow import tag_corrections as tags
from interop.workflow.tag_corrections import CORRECT, Correction

_AGENT = system_agent("tags")
_LEASE = 300.0
_STUCK = 2  # runs; one may only have met a file that came in that moment


class Files(Protocol):
    """An archive whose files can be rewritten."""

    async def find_studies(self, study_uid: str) -> list[str]: ...

    async def resources(self, ids: Sequence[str], level: str | None = None) -> list[dict[str, Any]]: ...

    async def fetch(self, instance: str, into: BinaryIO) -> None: ...

    async def store_file(self, file: BinaryIO, size: int) -> dict[str, Any]: ...

    async def delete_instances(self, ids: Sequence[str]) -> None: ...

    async def reconstruct(self, study: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Held:
    """The studies of one StudyInstanceUID: that of the order's patient, and those of others."""

    own: tuple[str, ...]
    others: tuple[str, ...]


class TagJobs:
    """The handler of kind ``tags``."""

    def __init__(self, store: Store, archives: Mapping[str, Files], *, seconds: float = 15.0) -> None:
        self._store = store
        self._archives = archives
        self._seconds = seconds

    async def __call__(self, job: Job) -> Outcome | None:
        """One part of the work."""
        uid = str(job.payload["study"])
        wanted = await self._store.view(lambda tx: tags.read(tx, uid))
        if wanted is None or wanted.state in (tags.DONE, tags.FAILED):
            return None
        archive = self._archives.get(wanted.archive)
        if archive is None:
            raise _hopeless(uid, wanted, f"there is no archive {wanted.archive} to rewrite files in")
        run = _Run(archive, uid, replace(wanted, state="running"), time.monotonic() + self._seconds)
        try:
            ended = await run.go()
        except (MalformedError, InvalidContentError, RefusedError) as error:
            raise _hopeless(uid, run.reached, error.text) from error
        step = tags.finish if ended else tags.keep
        return Outcome(_AGENT, lambda tx: step(tx, uid, run.reached))


def tags_lane(store: Store, archives: Mapping[str, Files]) -> Lane:
    """How these jobs are run: one study at a time, so that the archive serves others meanwhile."""
    return Lane(TagJobs(store, archives), at_once=1, lease=_LEASE)


def _hopeless(uid: str, reached: Correction, why: str) -> UndeliverableError:
    return UndeliverableError(why).keeping(Outcome(_AGENT, lambda tx: tags.fail(tx, uid, reached, why)))


class _Run:
    """One part: from where the last one ended, until it is done or the time is up."""

    def __init__(self, archive: Files, uid: str, reached: Correction, until: float) -> None:
        self.reached = reached
        self._archive, self._uid, self._until = archive, uid, until
        self._began = reached.changed

    async def go(self) -> bool:
        """Whether nothing is left."""
        held = await self._held()
        if self.reached.total is None:
            self._note(total=len(await self._instances([*held.own, *held.others])))
        if self.reached.phase == "in-place":
            there = sorted(await self._instances(held.own))
            if not await self._rewrite_all([id for id in there if id > self.reached.after], cursor=True):
                return False
            self._note(phase="moving" if self.reached.verb == CORRECT else "leaving")
        if self.reached.phase == "moving":
            held = await self._held()
            moved = set((await self._instances(held.own)).values())
            left = {id: sop for id, sop in (await self._instances(held.others)).items() if sop not in moved}
            if not await self._rewrite_all(list({sop: id for id, sop in left.items()}.values())):
                return False
            self._note(phase="leaving")
        return await self._leave()

    async def _leave(self) -> bool:
        """Take away what stands elsewhere now; whether that was all. What has come meanwhile is moved first."""
        held = await self._held()
        correct = self.reached.verb == CORRECT
        going, staying = (held.others, held.own) if correct else (held.own, held.others)
        kept = set((await self._instances(staying)).values())
        stale = await self._instances(going)
        gone = [id for id, sop in stale.items() if sop in kept]
        if gone:
            await self._archive.delete_instances(gone)
        if correct and len(gone) < len(stale):
            stuck = self.reached.stuck + 1 if self.reached.changed == self._began else 0
            if stuck > _STUCK:
                raise RefusedError("the archive keeps some files under another PatientID than theirs")
            self._note(phase="moving", stuck=stuck)
            return False
        if self.reached.changed:
            for study in await self._archive.find_studies(self._uid):
                await self._archive.reconstruct(study)  # searches are answered from what it noted at the first storing
        return True

    async def _rewrite_all(self, ids: Sequence[str], *, cursor: bool = False) -> bool:
        """Whether there was time for all of them."""
        for position, id in enumerate(ids, 1):
            changed = await self._rewrite(id)
            after = {"after": id} if cursor else {}
            self._note(done=self.reached.done + 1, changed=self.reached.changed + changed, **after)
            if position < len(ids) and time.monotonic() >= self._until:
                return False
        return True

    async def _rewrite(self, id: str) -> bool:
        with tempfile.TemporaryFile() as old, tempfile.TemporaryFile() as new:
            try:
                await self._archive.fetch(id, old)
            except NotFoundError:
                return False  # deleted meanwhile
            rewritten = await asyncio.to_thread(self._change(), old)
            if rewritten is None:
                return False
            size = await asyncio.to_thread(rewritten.write, old, new)
            answer = await self._archive.store_file(new, size)
        if answer.get("Status") != "Success":
            raise RefusedError("the archive keeps its first version of a file: it needs OverwriteInstances")
        return True

    def _change(self) -> Callable[[BinaryIO], Rewritten | None]:
        reached = self.reached
        if reached.verb == CORRECT:
            return lambda file: corrected(file, reached.wanted, reached.mark)
        return lambda file: restored(file, reached.mark)

    async def _held(self) -> _Held:
        ids = await self._archive.find_studies(self._uid)
        found = await self._archive.resources(ids) if ids else []
        patient = str(self.reached.wanted.get("PatientID", ""))
        own = [one["ID"] for one in found if _patient_id(one) == patient]
        return _Held(tuple(own), tuple(one["ID"] for one in found if _patient_id(one) != patient))

    async def _instances(self, studies: Sequence[str]) -> dict[str, str]:
        """SOPInstanceUID by the archive's id."""
        if not studies:
            return {}
        found = await self._archive.resources(list(studies), "Instance")
        return {one["ID"]: str(one["MainDicomTags"]["0008,0018"]).strip(" \0") for one in found}

    def _note(self, **changes: Any) -> None:
        self.reached = replace(self.reached, **changes)


def _patient_id(study: Mapping[str, Any]) -> str:
    return str((study.get("PatientMainDicomTags") or {}).get("0010,0020", "")).strip(" \0")
