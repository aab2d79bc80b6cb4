"""What an ADT message does: patients, their numbers and visits (v2.5.1 chapter 3)."""

from __future__ import annotations

from dataclasses import dataclass

from interop.errors import InvalidContentError, Issue
from interop.mapping.mapped import Mapped, MappedLink
from interop.store import Tx
from interop.workflow import encounters, linked_patients, merging, patients
from interop.workflow.site import Site

_RENUMBERS = frozenset({"ADT^A47"})
_UNLINKS = frozenset({"ADT^A37"})


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whom the message was about, and what the sender should know."""

    patient: str
    issues: tuple[Issue, ...] = ()


def admit(tx: Tx, site: Site, mapped: Mapped) -> Admitted:
    """Carry out one ADT message."""
    if mapped.link is not None:
        return _link(tx, site, mapped, mapped.link)
    if mapped.merges:
        return _merge(tx, site, mapped)
    if mapped.patient is None:
        raise InvalidContentError("the message names no patient", location="PID", hl7_code="101")
    tx.lock(*patients.lock_keys(mapped.patient))
    stored = patients.register(tx, mapped.patient, mapped.cleared_of("Patient"))
    if mapped.encounter is None:
        return Admitted(stored.reference)
    event = mapped.type.partition("^")[2]
    visit = encounters.record(tx, site, mapped.encounter, stored.reference, event, mapped.cleared_of("Encounter"))
    return Admitted(stored.reference, visit)


def _link(tx: Tx, site: Site, mapped: Mapped, told: MappedLink) -> Admitted:
    if mapped.type in _UNLINKS:
        done = linked_patients.unlink(tx, site, told.one, told.other, mapped.type)
    else:
        done = linked_patients.link(tx, told.one, told.other, mapped.type)
    return Admitted(done.stored.reference, done.issues)


def _merge(tx: Tx, site: Site, mapped: Mapped) -> Admitted:
    issues: list[Issue] = []
    reference = ""
    for one in mapped.merges:
        pair = merging.Pair(one.survivor, one.prior, one.location)
        if mapped.type in _RENUMBERS:
            done = merging.renumber(tx, pair, mapped.type)
        else:
            done = merging.merge(tx, site, pair, mapped.type)
        reference = reference or done.stored.reference
        issues += done.issues
    return Admitted(reference, tuple(issues))
