"""One audited fact. The store adds the agent and the instant of its unit of work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from interop.access.agent import Agent


@dataclass(frozen=True, slots=True)
class Event:
    """What a unit of work did, or was refused.

    ``kind`` chooses the AuditEvent.type: rest (FHIR interaction), hl7 (message in or out), dicom-query,
    dicom-transfer (instances read or stored), worklist, performed-step (MPPS), launch, share, login, match, steering
    (of messages), notify (a subscriber), alert.
    ``subtype`` is the interaction (create, search-type, …), the message type (ORM^O01) or the DICOMweb verb (wado-rs).
    """

    kind: str
    subtype: str
    action: str  # C R U D E (AuditEvent.action)
    outcome: str = "0"  # 0 success, 4 minor failure (refused), 8 serious failure (AuditEvent.outcome)
    patient: str | None = None  # "Patient/<id>"
    entity: str | None = None  # "<Type>/<id>" or with /_history/<v>; "urn:oid:<StudyInstanceUID>" for DICOM
    query: str | None = None  # the raw search, for kind rest search-type
    detail: str | None = None  # why it was refused; ids and codes only
    dedupe_key: str | None = None  # a second event of the same key is not stored again (DICOMweb, 5 minutes)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An event as it was stored: the unit's agent (scopes and studies left out), the instant, and a stable id."""

    id: str
    recorded: datetime  # aware, UTC
    agent: Agent
    event: Event
