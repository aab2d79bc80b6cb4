"""Which studies a caller may see: asked on every path, and of every row of a search."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson

from interop.access import Agent, bound_to_patient, decide, may_store_images, may_view_study
from interop.dicomweb.access_log import patient_of_study
from interop.errors import ForbiddenError
from interop.fhir.names import STUDY_UID
from interop.fhir.query import Clause, Query, ReferenceValue
from interop.store import Store, Tx

_KEPT_SECONDS = 10.0  # whose study it is changes only when patients are merged or a study is moved
_KEPT = 4096


class Guard:
    """Asks ``access`` with what it needs to know from the store."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._owners: dict[str, tuple[float, str | None]] = {}

    async def check(self, agent: Agent, study: str) -> None:
        """ForbiddenError unless the agent may see the study."""
        if may_view_study(agent, study):
            return
        bound = agent.studies is None and bound_to_patient(agent, "r", "ImagingStudy")
        if bound and may_view_study(agent, study, patient=await self._owner(study)):
            return
        raise ForbiddenError("this session or token does not cover the study")

    def is_bound(self, agent: Agent, verbs: str = "rs") -> bool:
        """Whether the agent may see (or store: ``c``) images of one patient alone, whatever study they are in."""
        return agent.studies is None and any(bound_to_patient(agent, verb, "ImagingStudy") for verb in verbs)

    def check_storing(self, agent: Agent) -> None:
        """ForbiddenError unless the agent may store images of some study: asked before a body is read."""
        may_store_images(agent, None)

    async def check_storing_into(self, agent: Agent, study: str) -> None:
        """ForbiddenError unless the agent may store images of the study.

        A ``patient/`` scope needs a study that is registered for its patient already.
        """
        bound = agent.studies is None and bound_to_patient(agent, "c", "ImagingStudy")
        may_store_images(agent, study, patient=await self._owner(study) if bound else None)

    async def visible(self, agent: Agent) -> frozenset[str] | None:
        """The studies that a search may show; None for all. ForbiddenError if the agent may not search at all."""
        if agent.studies is not None:
            return agent.studies
        if not bound_to_patient(agent, "s", "ImagingStudy"):
            decide(agent, "s", "ImagingStudy")
            return None
        decide(agent, "s", "ImagingStudy", patient=f"Patient/{agent.patient}")
        return await self._store.view(lambda tx: _studies_of(tx, str(agent.patient)))

    async def _owner(self, study: str) -> str | None:
        until, owner = self._owners.get(study, (0.0, None))
        if until > self._clock():
            return owner
        owner = await self._store.view(lambda tx: patient_of_study(tx, study))
        if len(self._owners) >= _KEPT:
            self._owners.clear()
        if owner is not None:
            self._owners[study] = (self._clock() + _KEPT_SECONDS, owner)
        return owner


def _studies_of(tx: Tx, patient: str) -> frozenset[str]:
    """The StudyInstanceUIDs of a patient."""
    found: set[str] = set()
    after: str | None = None
    while True:
        clause = Clause("patient", "reference", (ReferenceValue("Patient", patient),))
        page = tx.search(Query("ImagingStudy", (clause,), count=200, after=after))
        for stored in page.rows:
            for identifier in orjson.loads(stored.body).get("identifier", []):
                if identifier.get("system") == STUDY_UID:
                    found.add(str(identifier["value"]).removeprefix("urn:oid:"))
        after = page.next
        if after is None:
            return frozenset(found)
