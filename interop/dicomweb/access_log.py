"""Who saw which study: one AuditEvent per agent, study and verb in five minutes, committed before the first byte.

The first access writes; what follows within five minutes costs a look into a table in memory. The event's key carries
its five-minute window too, so that replicas and a restart do not double it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

import orjson

from interop.access import Agent
from interop.audit import Event
from interop.fhir.names import STUDY_UID
from interop.store import Store, Tx

WINDOW = 300.0  # seconds
_UNREGISTERED = 5.0  # a study without a resource yet is written down again soon, with its patient
_KEPT = 20_000

_Key = tuple[str, str, str | None, str, str, str]
_KINDS = {"qido-rs": "dicom-query", "wado-rs": "dicom-transfer", "stow-rs": "dicom-transfer"}
_ACTIONS = {"qido-rs": "E", "wado-rs": "R", "stow-rs": "C"}


def patient_of_study(tx: Tx, study: str) -> str | None:
    """``Patient/<id>`` of the study; None while it is not registered."""
    for stored in tx.by_identifier("ImagingStudy", STUDY_UID, f"urn:oid:{study}"):
        subject = orjson.loads(stored.body).get("subject", {}).get("reference")
        if subject:
            return str(subject)
    return None


class AccessLog:
    """Writes accesses down."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._until: dict[_Key, float] = {}
        self._writing: dict[_Key, asyncio.Future[None]] = {}

    def known(self, agent: Agent, study: str, verb: str) -> bool:
        """Whether this access is already written down, so that nothing has to be awaited."""
        return self._until.get(_key(agent, study, verb, "0"), 0.0) > self._clock()

    async def record(
        self,
        agent: Agent,
        studies: Iterable[str],
        verb: str,
        *,
        outcome: str = "0",
        detail: str | None = None,
        query: str | None = None,
    ) -> None:
        """Returns when the access to each study is committed; UnavailableError if it cannot be."""
        now = self._clock()
        keys = {_key(agent, study, verb, outcome): study for study in studies}
        new = [key for key in keys if self._until.get(key, 0.0) <= now and key not in self._writing]
        others = [self._writing[key] for key in keys if key in self._writing]
        if new:
            await self._write(agent, new, detail, query, now)
        for other in others:
            await asyncio.shield(other)

    async def _write(
        self, agent: Agent, keys: Sequence[_Key], detail: str | None, query: str | None, now: float
    ) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_retrieved)
        self._writing |= dict.fromkeys(keys, done)

        def work(tx: Tx) -> list[str | None]:
            patients = [patient_of_study(tx, key[3]) if key[3] else None for key in keys]
            for key, patient in zip(keys, patients, strict=True):
                tx.audit(_event(key, patient, detail, query, now))
            return patients

        try:
            patients = await self._store.unit(agent, work)
        except BaseException as error:
            done.set_exception(error if isinstance(error, Exception) else RuntimeError("cancelled"))
            raise
        else:
            done.set_result(None)
            self._forget_old(now)
            for key, patient in zip(keys, patients, strict=True):
                self._until[key] = now + (WINDOW if patient or not key[3] else _UNREGISTERED)
        finally:
            for key in keys:
                del self._writing[key]

    async def record_search(self, agent: Agent, query: str) -> None:
        """A search that found no study: written down once in five minutes for the same question."""
        await self.record(agent, [""], f"qido-rs {hashlib.sha256(query.encode()).hexdigest()[:16]}", query=query)

    def _forget_old(self, now: float) -> None:
        if len(self._until) >= _KEPT:
            self._until = {key: until for key, until in self._until.items() if until > now}
        if len(self._until) >= _KEPT:
            self._until.clear()


def _retrieved(future: asyncio.Future[None]) -> None:
    """The exception reaches whoever waits; nobody waiting is no fault."""
    if not future.cancelled():
        future.exception()


def _key(agent: Agent, study: str, verb: str, outcome: str) -> _Key:
    return (agent.who, agent.kind, agent.client, study, verb, outcome)


def _event(key: _Key, patient: str | None, detail: str | None, query: str | None, now: float) -> Event:
    study, verb, outcome = key[3], key[4].partition(" ")[0], key[5]
    window = "" if patient or not study else "unregistered:"
    digest = hashlib.sha256("\x00".join(part or "" for part in key).encode()).hexdigest()
    return Event(
        _KINDS[verb],
        verb,
        _ACTIONS[verb],
        outcome,
        patient=patient,
        entity=f"urn:oid:{study}" if study else None,
        query=query,
        detail=detail,
        dedupe_key=f"dicomweb:{digest}:{window}{int(now // WINDOW)}",
    )
