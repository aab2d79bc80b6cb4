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
