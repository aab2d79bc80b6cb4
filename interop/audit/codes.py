"""The codes of an AuditEvent: what an event is called (type, subtype) and who did and received what (agent types).

IHE BALP 1.1 for FHIR interactions, DICOM PS3.15 A.5.3 and PS3.16 CID 400 for everything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from interop.audit.event import Event
from interop.fhir.names import DCM

AUDIT_EVENT_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
RESTFUL_INTERACTION = "http://hl7.org/fhir/restful-interaction"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
PROVENANCE_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
HL7_EVENT = "http://terminology.hl7.org/CodeSystem/v2-0003"  # trigger events, e.g. O01
HL7_MESSAGE = "http://terminology.hl7.org/CodeSystem/v2-0076"  # message types, e.g. ORM
OWN_SUBTYPE = "urn:interop:CodeSystem:audit-subtype"
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
BALP_ENTITY_TYPE = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"


@dataclass(frozen=True, slots=True)
class Coding:
    """One code with its system."""

    system: str
    code: str
    display: str | None = None

    def json(self) -> dict[str, str]:
        """The FHIR Coding."""
        coding = {"system": self.system, "code": self.code}
        return coding | {"display": self.display} if self.display else coding


REST = Coding(AUDIT_EVENT_TYPE, "rest", "Restful Operation")
AUDIT_LOG_USED = Coding(DCM, "110101", "Audit Log Used")
SOURCE = Coding(DCM, "110153", "Source Role ID")
DESTINATION = Coding(DCM, "110152", "Destination Role ID")
APPLICATION = Coding(DCM, "110150", "Application")
CUSTODIAN = Coding(PROVENANCE_PARTICIPANT, "custodian", "Custodian")
AUTHOR = Coding(PARTICIPATION, "AUT", "author (originator)")
RECIPIENT = Coding(PARTICIPATION, "IRCP", "information recipient")

_ACCESSED = Coding(DCM, "110103", "DICOM Instances Accessed")
_ORDER = Coding(DCM, "110109", "Order Record")
_PATIENT = Coding(DCM, "110110", "Patient Record")
_PROCEDURE = Coding(DCM, "110111", "Procedure Record")
_TYPES = {
    "rest": REST,
    "dicom-query": Coding(DCM, "110112", "Query"),
    "dicom-transfer": Coding(DCM, "110104", "DICOM Instances Transferred"),
    "worklist": _ORDER,
    "performed-step": _PROCEDURE,
    "launch": _ACCESSED,  # a launch opens the way to the images
    "share": _ACCESSED,  # so does a shared link
    "match": _ACCESSED,  # dcm4chee audits the link of a study with its worklist item so
    "steering": _ORDER,  # a message that somebody looked at, replayed, sent again or gave up
    "login": Coding(DCM, "110114", "User Authentication"),
    "notify": Coding(DCM, "110106", "Export"),  # what leaves for a subscriber
    "alert": Coding(DCM, "110113", "Security Alert"),
}
_HL7_TYPES = {"ADT": _PATIENT, "ORU": _PROCEDURE}  # every other message is about an order
_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def event_type(event: Event) -> Coding:
    """AuditEvent.type. Reading the audit trail is an event type of its own (PS3.15 A.5.3.2)."""
    if event.kind == "rest" and about_audit(event):
        return AUDIT_LOG_USED
    if event.kind == "hl7":
        return _HL7_TYPES.get(event.subtype.partition("^")[0], _ORDER)
    return _TYPES.get(event.kind, REST)


def event_subtype(event: Event) -> Coding | None:
    """AuditEvent.subtype; None where the message named none."""
    if event.kind == "rest":
        return Coding(RESTFUL_INTERACTION, event.subtype, event.subtype)
    if event.kind == "login":
        logout = event.subtype == "logout"
        return Coding(DCM, "110123", "Logout") if logout else Coding(DCM, "110122", "Login")
    if event.kind == "hl7":
        return _message_subtype(event.subtype)
    return Coding(OWN_SUBTYPE, event.subtype) if _CODE.fullmatch(event.subtype) else None


@lru_cache(maxsize=256)
def _message_subtype(message_type: str) -> Coding | None:
    message, _, rest = message_type.partition("^")
    trigger = rest.partition("^")[0]
    if _CODE.fullmatch(message) and _CODE.fullmatch(trigger):
        return Coding(HL7_EVENT, trigger, f"{message}^{trigger}")
    return Coding(HL7_MESSAGE, message) if _CODE.fullmatch(message) else None


def about_audit(event: Event) -> bool:
    """Whether what was asked for is the audit trail itself."""
    if event.entity is not None:
        return event.entity == "AuditEvent" or event.entity.startswith("AuditEvent/")
    return event.query is not None and re.search(r"(^|/|\s)AuditEvent(/|\?|$|\s)", event.query) is not None


def participants(event: Event) -> tuple[Coding, Coding, Coding]:
    """The agent types of client, server and user: who was source and who destination of the data (BALP 3:5.7)."""
    if event.action == "D" and event.kind == "rest":
        return APPLICATION, CUSTODIAN, AUTHOR
    if event.action == "R":
        return DESTINATION, SOURCE, RECIPIENT
    if event.action == "E":
        return SOURCE, DESTINATION, RECIPIENT
    return SOURCE, DESTINATION, AUTHOR


_PROFILES = {
    "create": "Create",
    "read": "Read",
    "vread": "Read",
    "update": "Update",
    "patch": "Update",
    "delete": "Delete",
    "search-type": "Query",
    "search-system": "Query",
}


def profile(event: Event) -> str | None:
    """The BALP profile that the event keeps; BALP profiles successes only."""
    pattern = _PROFILES.get(event.subtype)
    if event.kind != "rest" or event.outcome != "0" or pattern is None or about_audit(event):
        return None
    if pattern == "Query" and event.query is None:
        return None
    if pattern != "Query" and event.entity is None:
        return None
    return f"{BALP}{'Patient' if event.patient else ''}{pattern}"
