"""What agrees and what differs between a study and an order: the names of the fields, and of numbers their values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interop.dicom.person_names import name_parts
from interop.dicom.study import StudyFacts
from interop.fhir.parameters import fold
from interop.store import OrderRow, StepRow, Tx
from interop.workflow.site import Site

Resource = dict[str, Any]
Plan = OrderRow | StepRow  # where and when an order, or one of its several steps, is to be carried out

# One examination is told by either word: PS3.3 C.7.3.1.1.1 knows CR beside DX, and rooms with both XA and RF.
_FAMILIES = (frozenset({"CR", "DX", "RG"}), frozenset({"XA", "RF"}), frozenset({"PT", "NM", "CT"}))
# What is derived or written down says nothing of which examination was made.
_NOT_ACQUIRED = frozenset({"SR", "PR", "KO", "DOC", "SEG", "REG", "OT", "RTSTRUCT", "AU", "PLAN"})


@dataclass(frozen=True, slots=True)
class Compared:
    """Fields of a study and an order that agree, and that differ; what one of them does not say is in neither."""

    agreed: frozenset[str]
    differed: frozenset[str]

    def with_patient(self, same: bool | None) -> Compared:
        """And whether the images' patient is the order's; None where they name nobody."""
        return Compared(
            self.agreed | ({"patient-id"} if same else set()),
            self.differed | ({"patient-id"} if same is False else set()),
        )

    def evidence(self, facts: StudyFacts, row: OrderRow) -> Resource:
        """As it is kept beside the decision: names of fields, and numbers; nobody's name or birth date."""
        return {
            "agreed": sorted(self.agreed),
            "differed": sorted(self.differed),
            "study": numbers_of(facts),
            "order": _known(accession=row.accession.value if row.accession else None, study_uid=row.study_uid),
        }


def numbers_of(facts: StudyFacts) -> Resource:
    """What the images say by numbers."""
    return _known(accession=facts.accession, patient_id=facts.patient_id, station=facts.station)


def summary(evidence: Resource) -> str:
    """For the audit trail: ``agreed accession, name; differed patient-id``."""
    return "; ".join(f"{name} {', '.join(evidence[name])}" for name in ("agreed", "differed") if evidence.get(name))


def plans_of(tx: Tx, row: OrderRow) -> tuple[Plan, ...]:
    """The steps of an order with several, else the order itself."""
    return tuple(tx.order_steps(row.id)) or (row,)


def compare(site: Site, row: OrderRow, plans: Sequence[Plan], patient: Resource, facts: StudyFacts) -> Compared:
    """The study beside the order, any of its steps, and its patient; whose numbers those are is the caller's to say."""
    found: dict[str, bool | None] = {
        "study-uid": _equal(facts.study_uid, row.study_uid) or None,
        "accession": _equal(facts.accession, row.accession.value if row.accession else None),
        "birth-date": _equal(facts.birth_date, patient.get("birthDate")),
        "name": _same_name(patient, facts),
        "modality": _any(same_modality(plan.modality, {one.modality for one in facts.series}) for plan in plans),
        "station": _any(same_station(site, plan, facts) for plan in plans),
        "time": _any(in_window(site, plan, facts) for plan in plans),
    }
    return Compared(
        frozenset(name for name, agrees in found.items() if agrees),
        frozenset(name for name, agrees in found.items() if agrees is False),
    )


def same_modality(ordered: str | None, made: set[str]) -> bool | None:
    """Whether the images are of the kind that was ordered; None where one of them does not say."""
    acquired = made - _NOT_ACQUIRED
    if ordered is None or not acquired:
        return None
    if ordered in acquired:
        return True
    return any(ordered in family and acquired & family for family in _FAMILIES)


def same_station(site: Site, plan: Plan, facts: StudyFacts) -> bool | None:
    """Whether a station of the order sent the images; None for a sender that is no modality of the site."""
    if facts.station is None or not plan.stations or site.station(facts.station) is None:
        return None
    return facts.station in plan.stations


def in_window(site: Site, plan: Plan, facts: StudyFacts) -> bool | None:
    """Whether the images begin about when the order was to be carried out; None without both times."""
    if plan.start is None or not isinstance(facts.started, datetime):
        return None
    return -site.early <= facts.started - plan.start <= site.late


def _any(found: Iterable[bool | None]) -> bool | None:
    known = [agrees for agrees in found if agrees is not None]
    return any(known) if known else None


def _same_name(patient: Resource, facts: StudyFacts) -> bool | None:
    """Whether they have the same words, in whatever order: devices swap family and given names."""
    if not facts.patient_name:
        return None
    groups = (name_parts(group) for group in facts.patient_name.split("=", 2))  # in several scripts (PS3.5 6.2.1.2)
    mine = {frozenset(fold(f"{one.family} {one.given} {one.middle}").split()) for one in groups} - {frozenset()}
    theirs = {
        frozenset(fold(" ".join([name.get("family", ""), *name.get("given", ())])).split())
        for name in patient.get("name", ())
    } - {frozenset()}
    return bool(mine & theirs) if mine and theirs else None


def _equal(mine: str | None, theirs: str | None) -> bool | None:
    return None if not mine or not theirs else mine == theirs


def _known(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
