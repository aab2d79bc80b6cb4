"""Visits: an Encounter for each visit number, moved on by what ADT tells of it (v2.5.1 3.3, IHE PAM ITI-31)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interop.audit.event import Event
from interop.errors import ConflictError, Issue
from interop.fhir import names
from interop.fhir.query import Identity
from interop.store import Stored, Tx
from interop.workflow import known_facts
from interop.workflow.site import Site
from interop.workflow.whereabouts import places

Resource = dict[str, Any]

# How far a visit has come. What comes late does not take it back: only A13 opens what has ended.
_COURSE = ("planned", "arrived", "in-progress", "finished")
_BEGINS = frozenset({"A01", "A02", "A04", "A05", "A06", "A07", "A12"})
_ENDS_OR_UNDOES = frozenset({"A03", "A11", "A12", "A13", "A38"})
_WITH_CONTAINED = "participant"  # the element whose references are to contained resources


def record(
    tx: Tx, site: Site, visit: Resource, patient: str, event: str, cleared: Iterable[str] = ()
) -> tuple[Issue, ...]:
    """The visit as the event leaves it; ``patient`` is ``Patient/<id>``, ``event`` the trigger (A01).

    A visit without a number cannot be found again: it is not kept, which is an Issue. ConflictError where the number is
    that of another patient's visit.
    """
    key = number_of(visit)
    if key is None:
        severity = "warning" if event in _ENDS_OR_UNDOES else "information"
        text = "a visit without a number cannot be told from another: it is not kept"
        return (Issue("required", text, ("Encounter.identifier",), "PV1-19", severity, "101"),)
    tx.lock(f"encounter:{key.system}|{key.value}")
    present = next(iter(tx.by_identifier("Encounter", key.system, key.value)), None)
    before = present.resource() if present is not None else {}
    _refuse_other_patient(before, patient)
    status, issues = _status(before, visit, event)
    after = _laid_over(before, visit, event, cleared) | {"subject": {"reference": patient}, "status": status}
    stored = tx.create(after) if present is None else tx.update(after)
    known_facts.follow(tx, site, present, stored)
    if present is None and event in _ENDS_OR_UNDOES:
        text = f"the visit was not known before: it is on record as {status}"
        issues = (*issues, Issue("not-found", text, ("Encounter",), "PV1-19", "warning", "204"))
    _audit(tx, stored, present, patient, event)
    return issues


def number_of(visit: Resource) -> Identity | None:
    """What a visit is known by: its visit number, else the number of its account."""
    found = {
        coding["code"]: Identity(identifier.get("system", ""), identifier["value"])
        for identifier in reversed(visit.get("identifier", ()))
        for coding in identifier.get("type", {}).get("coding", ())
        if coding.get("system") == names.V2_0203 and identifier.get("value")
    }
    return found.get("VN") or found.get("AN")


def _status(before: Resource, visit: Resource, event: str) -> tuple[str, tuple[Issue, ...]]:
    known, told = before.get("status"), visit.get("status")
    if told is None:
        return known or _by_period(visit.get("period", {})), ()
    if event in _BEGINS and known in _COURSE and _COURSE.index(known) > _COURSE.index(told):
        text = f"the visit is {known} already: {event} does not take it back to {told}"
        return known, (Issue("business-rule", text, ("Encounter.status",), "MSH-9", "warning", "0"),)
    return told, ()


def _by_period(period: Resource) -> str:
    if "end" in period:
        return "finished"
    return "in-progress" if "start" in period else "unknown"


def _laid_over(before: Resource, visit: Resource, event: str, cleared: Iterable[str]) -> Resource:
    """What the message says over what is known; identifiers and the period are joined."""
    after = {name: value for name, value in before.items() if name not in set(cleared)}
    after |= {name: value for name, value in visit.items() if name not in ("identifier", "period", "contained")}
    period = {**before.get("period", {}), **visit.get("period", {})}
    if event == "A13":
        period.pop("end", None)
    if period:
        after["period"] = period
    else:
        after.pop("period", None)
    known = {(item.get("system"), item.get("value")) for item in before.get("identifier", ())}
    fresh = [item for item in visit.get("identifier", ()) if (item.get("system"), item.get("value")) not in known]
    after["identifier"] = [*before.get("identifier", ()), *fresh]
    if "location" in visit:
        after["location"] = places(before.get("location", []), visit["location"], event)
    contained = visit.get("contained") if _WITH_CONTAINED in visit else before.get("contained")
    after.pop("contained", None)
    if contained and _WITH_CONTAINED in after:
        after["contained"] = contained
    return after


def _refuse_other_patient(before: Resource, patient: str) -> None:
    subject = before.get("subject", {}).get("reference")
    if before and subject != patient:
        raise ConflictError(
            f"the visit number is that of Encounter/{before['id']} of another patient",
            expression="Encounter.subject",
            location="PV1-19",
        )


def _audit(tx: Tx, stored: Stored, present: Stored | None, patient: str, event: str) -> None:
    if present is None or stored.version != present.version:
        action = "C" if present is None else "U"
        tx.audit(Event("hl7", f"ADT^{event}", action, patient=patient, entity=stored.reference))
