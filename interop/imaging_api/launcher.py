"""Launching the viewer: who may see what, whether it is there, and a one-time URL for exactly that."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from interop.access import Agent, bound_to_patient, may_store_images, may_view_study
from interop.audit import Event
from interop.dicom.search_rows import shared_studies
from interop.errors import ConflictError, ForbiddenError, InteropError, InvalidContentError, NotFoundError
from interop.fhir.names import STUDY_UID
from interop.imaging_api.finding import read_selection, studies_by_accession, studies_by_patient
from interop.imaging_api.unseen import Row, Unseen, modalities_of, questions, unseen
from interop.store import Store, Tx

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_ACCESSION = re.compile(r"[^\x00-\x1f\x7f\\]{1,64}")
_MOST = 100  # studies that one request may name
_MAX_ANSWER = 4 * 1024 * 1024


class Links(Protocol):
    """Makes one-time URLs."""

    seconds: int
    most: int  # studies of one session

    def check(self, studies: Sequence[str]) -> None: ...
    def write(self, tx: Tx, studies: Sequence[str], *, annotate: bool = False) -> str: ...


class Archive(Protocol):
    """The relay to the archive; its answers have status, body() and close()."""

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Any: ...


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launch brought."""

    url: str
    unseen: tuple[Unseen, ...]


class Launcher:
    """Makes launches for the API and for the viewer's IID address."""

    def __init__(
        self, store: Store, links: Links, archive: Archive, *, begun: Callable[[Sequence[str]], None] | None = None
    ) -> None:
        """``begun`` is told the studies of each launch, which a viewer will soon ask for."""
        self._begun = begun
        self._store = store
        self._links = links
        self._archive = archive
        self.seconds = links.seconds

    async def launch(self, agent: Agent, studies: Sequence[str], *, annotate: bool = False) -> str:
        """A one-time URL alone, for who is led to it."""
        return (await self.launched(agent, studies, annotate=annotate)).url

    async def launched(self, agent: Agent, studies: Sequence[str], *, annotate: bool = False) -> Launched:
        """A one-time URL for the studies, and for storing annotations of them if that is asked for; and what of them
        the viewer will not show.

        ForbiddenError if the agent may not see (or store into) one of them, NotFoundError if one is not in the archive,
        UnavailableError if the archive does not say.
        """
        uids = list(dict.fromkeys(studies))
        self._links.check(uids)
        patients, modalities = await self._required(agent, uids)
        if annotate:
            await self._allow_annotating(agent, patients)
        hidden = await self._unseen(modalities)

        def work(tx: Tx) -> str:
            _write(tx, patients, "0", None)
            return self._links.write(tx, uids, annotate=annotate)

        url: str = await self._store.unit(agent, work)
        if self._begun is not None:
            self._begun(uids)
        return Launched(url, hidden)

    async def not_shown(self, agent: Agent, studies: Sequence[str]) -> list[dict[str, str]]:
        """What of the studies the viewer will not show, as the answer to a launch tells it; refused as a launch is."""
        _, modalities = await self._required(agent, list(dict.fromkeys(studies)))
        return [each.told() for each in await self._unseen(modalities)]

    async def _unseen(self, modalities: dict[str, frozenset[str]]) -> tuple[Unseen, ...]:
        rows = [row for question in questions(modalities) for row in await self._search(question)]
        return tuple(unseen(modalities, rows))

    async def studies_of(self, agent: Agent, accession: str) -> list[str]:
        """The StudyInstanceUIDs under an accession number, whether its order or its images are known here.

        Those that the agent may see; where it may see none of them, all, for the launch to refuse. NotFoundError if
        there is none; ConflictError if several issuers gave the number to different patients whom the agent may see.
        """
        if not _ACCESSION.fullmatch(accession):
            raise InvalidContentError("the accession number is not one", status=400)
        found: dict[str, str | None] = await self._store.view(lambda tx: studies_by_accession(tx, accession))
        if not found:
            raise NotFoundError("no order and no study here has this accession number")
        seen = {uid: patient for uid, patient in found.items() if may_view_study(agent, uid, patient=patient)}
        if len(set(seen.values())) > 1:
            raise ConflictError("several issuers gave this accession number to different patients; name the studies")
        return sorted(seen or found)

    async def studies_of_patient(
        self, agent: Agent, patient_id: str, *, newest: str = "", lower: str = "", upper: str = "", modalities: str = ""
    ) -> list[str]:
        """The StudyInstanceUIDs of the one patient that the agent may see and the archive has, newest first.

        Thirty of them unless fewer are wanted, which is what one session holds. The texts are those of an IID address
        (RAD-106). InvalidContentError, NotFoundError, ForbiddenError and ConflictError say what is wrong with them; a
        refusal is written down.
        """
        wanted = read_selection(newest, lower, upper, modalities, self._store.zone)
        try:
            found = await self._store.view(lambda tx: studies_by_patient(tx, agent, patient_id, wanted))
        except (ForbiddenError, NotFoundError, ConflictError) as error:
            text = error.text
            await self._store.unit(agent, lambda tx: _write_refusal(tx, text))
            raise
        found = found[:_MOST]
        present = await self._present(found)
        kept = [uid for uid in found if uid in present]
        if kept and _is_bound(agent):
            shared = shared_studies(await self._search(_of(kept)))
            kept = [uid for uid in kept if uid not in shared]
        if not kept:
            raise NotFoundError("the archive has no images of the patient's studies")
        return kept[: self._links.most]

    async def allow(self, agent: Agent, studies: Sequence[str]) -> dict[str, str | None]:
        """The studies' patients; ForbiddenError, written down, if the agent may not see one of the studies."""
        if len(studies) > _MOST:
            raise InvalidContentError(f"a request names at most {_MOST} studies", status=400)
        for uid in studies:
            if len(uid) > 64 or not _UID.fullmatch(uid):
                raise InvalidContentError("a StudyInstanceUID is made of digits and dots", status=400)
        patients = await self._store.view(lambda tx: {uid: patient_of(tx, uid) for uid in studies})
        for uid, patient in patients.items():
            if not may_view_study(agent, uid, patient=patient):
                refusal = ForbiddenError("this token or session does not cover the study")
                await self._refused(agent, patients, refusal)
                raise refusal
        return patients

    async def require(self, agent: Agent, studies: Sequence[str]) -> dict[str, str | None]:
        """The studies' patients, the agent allowed to see all of them and the archive having them all."""
        return (await self._required(agent, studies))[0]

    async def _required(
        self, agent: Agent, studies: Sequence[str]
    ) -> tuple[dict[str, str | None], dict[str, frozenset[str]]]:
        """The studies' patients and modalities."""
        patients = await self.allow(agent, studies)
        try:
            if _is_bound(agent):
                await self._require_one_patient(studies)
            return patients, await self._require_present(studies)
        except (NotFoundError, ForbiddenError) as refusal:
            await self._refused(agent, patients, refusal)
            raise

    async def entitled(self, agent: Agent, studies: Sequence[str], *, annotate: bool) -> dict[str, str | None]:
        """The studies' patients, the agent allowed to give others what a launch would give itself: see ``launch``."""
        patients = await self.require(agent, studies)
        if annotate:
            await self._allow_annotating(agent, patients)
        return patients

    async def _allow_annotating(self, agent: Agent, patients: dict[str, str | None]) -> None:
        try:
            for uid, patient in patients.items():
                may_store_images(agent, uid, patient=patient)
        except ForbiddenError as refusal:
            await self._refused(agent, patients, refusal)
            raise

    async def _refused(self, agent: Agent, patients: dict[str, str | None], refusal: InteropError) -> None:
        await self._store.unit(agent, lambda tx: _write(tx, patients, "4", refusal.text))

    async def _require_one_patient(self, uids: Sequence[str]) -> None:
        """ForbiddenError where the archive has a study under several patients, of whom the agent may see one."""
        if shared_studies(await self._search(_of(uids))):
            raise ForbiddenError("the archive has one of the studies under several patients")

    async def _require_present(self, uids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Asks the archive; OHIF itself shows the same page for a missing study and for a refusal."""
        present = await self._present(uids)
        missing = [uid for uid in uids if uid not in present]
        if missing:
            raise NotFoundError(f"the archive has no images of study {missing[0]}")
        return present

    async def _present(self, uids: Sequence[str]) -> dict[str, frozenset[str]]:
        """The modalities of those of the studies that the archive has."""
        return modalities_of(await self._search(_of(uids)))

    async def _search(self, target: str) -> list[Row]:
        answer = await self._archive.get(target.encode("ascii"), [(b"Accept", b"application/dicom+json")])
        try:
            if answer.status not in (200, 204):
                raise InteropError(f"the image archive failed ({answer.status})", status=502)
            rows: list[Row] = orjson.loads(await answer.body(_MAX_ANSWER) or b"[]")
        finally:
            answer.close()
        return rows


def _is_bound(agent: Agent) -> bool:
    """Whether it may see one patient's images alone."""
    return agent.studies is None and bound_to_patient(agent, "r", "ImagingStudy")


def _of(uids: Sequence[str]) -> str:
    return f"/dicom-web/studies?StudyInstanceUID={','.join(uids)}&limit={4 * len(uids)}"


def _write(tx: Tx, patients: dict[str, str | None], outcome: str, detail: str | None) -> None:
    """One event per study; the same refusal once a minute, so that a stubborn caller cannot fill the disk."""
    for uid, patient in patients.items():
        key = f"launch:{tx.agent.who}:{uid}:{int(tx.now.timestamp() // 60)}" if outcome != "0" else None
        event = Event("launch", "launch", "E", outcome, patient, f"urn:oid:{uid}", detail=detail, dedupe_key=key)
        tx.audit(event)


def _write_refusal(tx: Tx, text: str) -> None:
    key = f"launch:{tx.agent.who}:patient:{int(tx.now.timestamp() // 60)}"
    tx.audit(Event("launch", "launch", "E", "4", detail=text, dedupe_key=key))


def patient_of(tx: Tx, uid: str) -> str | None:
    """The reference of the patient whose study this is, if that is known here."""
    for stored in tx.by_identifier("ImagingStudy", STUDY_UID, f"urn:oid:{uid}"):
        subject = orjson.loads(stored.body).get("subject", {}).get("reference")
        if subject:
            return str(subject)
    return None
