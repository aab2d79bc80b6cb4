"""Studies and their orders: the list of those without one, and what a person decides of them.

Every act is one unit of work in the name of whoever asked, refused ones leave their trace too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interop.access import Agent
from interop.audit import Event
from interop.errors import InteropError, NotFoundError
from interop.store import Decision, Store, Tx
from interop.workflow import deciding, tag_corrections
from interop.workflow.site import Site
from interop.workflow.unmatched import Candidate, Unmatched, accession_of, candidates, waiting

Shown = dict[str, Any]


class Matching:
    """What the routes and the command line do; all answers are ready for JSON."""

    def __init__(self, store: Store, site: Site) -> None:
        self._store = store
        self._site = site

    async def list(self, agent: Agent, *, before: int | None = None, limit: int = 50) -> Shown:
        """One page of the studies without an order, newest first, each with its candidates."""

        def work(tx: Tx) -> Shown:
            tx.audit(Event("match", "list", "E", query=f"before={before or ''}&limit={limit}"))
            found, following = waiting(tx, self._site, before=before, limit=limit)
            return {"studies": [_shown(one) for one in found], "next": following}

        return await self._store.unit(agent, work)

    async def show(self, agent: Agent, uid: str) -> Shown:
        """One study: the decisions on it, newest first, and the orders that it could be of."""

        def work(tx: Tx) -> Shown:
            stored = tx.study(uid)
            if stored is None or stored.deleted:
                raise NotFoundError("there is no study of this StudyInstanceUID")
            resource, made = stored.resource(), tx.decisions(uid)
            patient = resource["subject"]["reference"]
            tx.audit(Event("match", "show", "R", patient=patient, entity=f"urn:oid:{uid}"))
            order = next((one["reference"] for one in resource.get("basedOn", ())), None)
            likely = () if order else candidates(tx, self._site, stored, made[0] if made else None)
            return {
                "study_uid": uid,
                "study": stored.reference,
                "patient": patient,
                "order": order,
                "decisions": [shown_decision(one) for one in made],
                "candidates": [_candidate(one) for one in likely],
            } | _tags(tx, uid)

        return await self._store.unit(agent, work)

    async def resolve(self, agent: Agent, uid: str, order: str, *, correct: bool = False) -> Shown:
        """The study is of this order; see workflow.deciding.resolve."""
        id = order.removeprefix("ServiceRequest/")
        return await self._act(
            agent, "resolve", uid, lambda tx: deciding.resolve(tx, self._site, uid, id, correct=correct)
        )

    async def undo(self, agent: Agent, uid: str) -> Shown:
        """The study is of no order again; see workflow.deciding.undo."""
        return await self._act(agent, "undo", uid, lambda tx: deciding.undo(tx, self._site, uid))

    async def merge(self, agent: Agent, uid: str) -> Shown:
        """The patient of the images is the order's; see workflow.deciding.merge."""
        return await self._act(agent, "merge", uid, lambda tx: deciding.merge(tx, self._site, uid))

    async def _act(self, agent: Agent, verb: str, uid: str, act: Callable[[Tx], Decision]) -> Shown:
        def work(tx: Tx) -> Shown | InteropError:
            return shown_decision(act(tx)) | _tags(tx, uid)

        def refused(tx: Tx, error: InteropError) -> Shown | InteropError:
            tx.audit(Event("match", verb, "U", "4", entity=f"urn:oid:{uid}", detail=error.text))
            return error

        done = await self._store.unit(agent, work, refused=refused)
        if isinstance(done, InteropError):
            raise done
        return done


def _tags(tx: Tx, uid: str) -> Shown:
    """How the correction of the study's tags stands, where one was asked for."""
    found = tag_corrections.read(tx, uid)
    return {} if found is None else {"tags": found.shown()}


def shown_decision(decision: Decision) -> Shown:
    """A decision as JSON."""
    return {
        "study_uid": decision.study_uid,
        "order": f"ServiceRequest/{decision.order_id}" if decision.order_id else None,
        "rule": decision.rule,
        "by": decision.who,
        "person": decision.person,
        "at": decision.at.isoformat(timespec="milliseconds"),
        "evidence": decision.evidence,
    }


def _shown(one: Unmatched) -> Shown:
    study = one.stored.resource()
    return {
        "study_uid": one.decision.study_uid,
        "study": one.stored.reference,
        "patient": study["subject"]["reference"],
        "accession": accession_of(study),
        "modality": [coding["code"] for coding in study.get("modality", ())],
        "started": study.get("started"),
        "why": one.decision.rule,
        "since": one.decision.at.isoformat(timespec="milliseconds"),
        "evidence": one.decision.evidence,
        "candidates": [_candidate(each) for each in one.candidates],
    }


def _candidate(one: Candidate) -> Shown:
    row = one.row
    return {
        "order": f"ServiceRequest/{row.id}",
        "patient": f"Patient/{row.patient_id}",
        "accession": row.accession.value if row.accession else None,
        "modality": row.modality,
        "start": row.start.isoformat() if row.start else None,
        "step": row.step,
        "score": one.score,
        "parts": one.parts,
    }
