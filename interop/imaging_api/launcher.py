"""Launching the viewer: who may see what, whether it is there, and a one-time URL for exactly that."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import orjson

from interop.access import Agent, may_store_images, may_view_study
from interop.audit import Event
from interop.errors import ConflictError, ForbiddenError, InteropError, InvalidContentError, NotFoundError
from interop.fhir.names import STUDY_UID, V2_0203
from interop.store import Store, Tx

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_ACCESSION = re.compile(r"[^\x00-\x1f\x7f\\]{1,64}")
_MOST = 100  # studies that one request may name
_MAX_ANSWER = 4 * 1024 * 1024


class Links(Protocol):
    """Makes one-time URLs."""

    seconds: int

    def check(self, studies: Sequence[str]) -> None: ...
    def write(self, tx: Tx, studies: Sequence[str], *, annotate: bool = False) -> str: ...


class Archive(Protocol):
    """The relay to the archive; its answers have status, body() and close()."""

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Any: ...


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
        """A one-time URL for the studies, and for storing annotations of them if that is asked for.

        ForbiddenError if the agent may not see (or store into) one of them, NotFoundError if one is not in the archive,
        UnavailableError if the archive does not say.
        """
        uids = list(dict.fromkeys(studies))
        self._links.check(uids)
        patients = await self.require(agent, uids)
        if annotate:
            await self._allow_annotating(agent, patients)

        def work(tx: Tx) -> str:
            _write(tx, patients, "0", None)
            return self._links.write(tx, uids, annotate=annotate)

        url: str = await self._store.unit(agent, work)
        if self._begun is not None:
            self._begun(uids)
        return url

    async def studies_of(self, accession: str) -> list[str]:
        """The StudyInstanceUIDs under an accession number, whether its order or its images are known here.

        NotFoundError if there is none; ConflictError if several issuers gave the number to different patients.
        """
        if not _ACCESSION.fullmatch(accession):
            raise InvalidContentError("the accession number is not one", status=400)
        found: dict[str, str | None] = await self._store.view(lambda tx: _by_accession(tx, accession))
        if not found:
            raise NotFoundError("no order and no study here has this accession number")
        if len(set(found.values())) > 1:
            raise ConflictError("several issuers gave this accession number to different patients; name the studies")
        return sorted(found)

    async def allow(self, agent: Agent, studies: Sequence[str]) -> dict[str, str | None]:
        """The studies' patients; ForbiddenError, written down, if the agent may not see one of the studies."""
        if len(studies) > _MOST:
            raise InvalidContentError(f"a request names at most {_MOST} studies", status=400)
        for uid in studies:
            if len(uid) > 64 or not _UID.fullmatch(uid):
                raise InvalidContentError("a StudyInstanceUID is made of digits and dots", status=400)
        patients = await self._store.view(lambda tx: {uid: _patient(tx, uid) for uid in studies})
        for uid, patient in patients.items():
            if not may_view_study(agent, uid, patient=patient):
                refusal = ForbiddenError("this token or session does not cover the study")
                await self._refused(agent, patients, refusal)
                raise refusal
        return patients

    async def require(self, agent: Agent, studies: Sequence[str]) -> dict[str, str | None]:
        """The studies' patients, the agent allowed to see all of them and the archive having them all."""
        patients = await self.allow(agent, studies)
        try:
            await self._require_present(studies)
        except NotFoundError as refusal:
            await self._refused(agent, patients, refusal)
            raise
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

    async def _require_present(self, uids: Sequence[str]) -> None:
        """Asks the archive; OHIF itself shows the same page for a missing study and for a refusal."""
        target = f"/dicom-web/studies?StudyInstanceUID={','.join(uids)}&limit={4 * len(uids)}"
        answer = await self._archive.get(target.encode("ascii"), [(b"Accept", b"application/dicom+json")])
        try:
            if answer.status not in (200, 204):
                raise InteropError(f"the image archive failed ({answer.status})", status=502)
            rows = orjson.loads(await answer.body(_MAX_ANSWER) or b"[]")
        finally:
            answer.close()
        present = {value for row in rows for value in row.get("0020000D", {}).get("Value", ())}
        missing = [uid for uid in uids if uid not in present]
        if missing:
            raise NotFoundError(f"the archive has no images of study {missing[0]}")


def _write(tx: Tx, patients: dict[str, str | None], outcome: str, detail: str | None) -> None:
    """One event per study; the same refusal once a minute, so that a stubborn caller cannot fill the disk."""
    for uid, patient in patients.items():
        key = f"launch:{tx.agent.who}:{uid}:{int(tx.now.timestamp() // 60)}" if outcome != "0" else None
        event = Event("launch", "launch", "E", outcome, patient, f"urn:oid:{uid}", detail=detail, dedupe_key=key)
        tx.audit(event)


def _patient(tx: Tx, uid: str) -> str | None:
    for stored in tx.by_identifier("ImagingStudy", STUDY_UID, f"urn:oid:{uid}"):
        subject = orjson.loads(stored.body).get("subject", {}).get("reference")
        if subject:
            return str(subject)
    return None


def _by_accession(tx: Tx, accession: str) -> dict[str, str | None]:
    """StudyInstanceUID → patient, of studies that carry the number and of orders that were given it."""
    found: dict[str, str | None] = {}
    for stored in tx.by_identifier("ServiceRequest", None, accession):
        request = stored.resource()
        order = tx.order(stored.id)
        if order is not None and order.study_uid and _has_accession(request, accession):
            found[order.study_uid] = request.get("subject", {}).get("reference")
    for stored in tx.by_identifier("ImagingStudy", None, accession):
        study = orjson.loads(stored.body)
        if _has_accession(study, accession):
            for uid in _study_uids(study):
                found[uid] = study.get("subject", {}).get("reference")
    return found


def _has_accession(resource: dict[str, Any], accession: str) -> bool:
    for identifier in resource.get("identifier", []):
        codings = identifier.get("type", {}).get("coding", [])
        typed = any(coding.get("system") == V2_0203 and coding.get("code") == "ACSN" for coding in codings)
        if typed and identifier.get("value") == accession:
            return True
    return False


def _study_uids(study: dict[str, Any]) -> Iterable[str]:
    for identifier in study.get("identifier", []):
        if identifier.get("system") == STUDY_UID:
            yield str(identifier.get("value", "")).removeprefix("urn:oid:")
