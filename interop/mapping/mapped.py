"""What a message became, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interop.errors import Issue
from interop.fhir.query import Identity


@dataclass(frozen=True, slots=True)
class MappedOrder:
    """One ORC with its OBR. ``service_request`` has no id, subject or status: those are the workflow's."""

    control: str  # ORC-1
    event: str  # of the lifecycle: new change hold release cancel discontinue complete arrived start entered-in-error
    service_request: dict[str, Any]
    index: int  # which ORC, from 1


@dataclass(frozen=True, slots=True)
class MappedReport:
    """One OBR of a result message. ``report`` has no id, subject, basedOn or result."""

    control: str | None
    report: dict[str, Any]
    observations: tuple[dict[str, Any], ...]
    placer: Identity | None
    filler: Identity | None
    accession: Identity | None
    study_uid: str | None
    index: int
    document: Identity | None = None  # its own number, where it has one (MDM)
    replaces: Identity | None = None  # that of the document whose place it takes


@dataclass(frozen=True, slots=True)
class MappedMerge:
    """One PID with its MRG: who stays, and who that was under other numbers."""

    survivor: dict[str, Any]
    prior: dict[str, Any]
    location: str  # of the MRG


@dataclass(frozen=True, slots=True)
class MappedLink:
    """Two patients who belong together, or no longer do."""

    one: dict[str, Any]
    other: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MappedAppointment:
    """One appointment, and the numbers of the order that it is for. ``appointment`` has no id, patient or basedOn."""

    appointment: dict[str, Any]
    placer: Identity | None
    filler: Identity | None


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a message became.

    ``cleared``: elements that the sender asks to empty (``""``), as ``Patient.maritalStatus``. The issues are those of
    the mapping; ``Message.issues`` has those of the reading.
    """

    type: str
    patient: dict[str, Any] | None
    orders: tuple[MappedOrder, ...]
    reports: tuple[MappedReport, ...]
    issues: tuple[Issue, ...]
    cleared: tuple[str, ...] = ()
    merges: tuple[MappedMerge, ...] = ()
    encounter: dict[str, Any] | None = None  # without id and subject
    appointment: MappedAppointment | None = None
    link: MappedLink | None = None

    def cleared_of(self, type: str) -> tuple[str, ...]:
        """The elements of that resource which the sender asks to empty (v2.5.1 2.5.3)."""
        return tuple(target.removeprefix(f"{type}.") for target in self.cleared if target.startswith(f"{type}."))
