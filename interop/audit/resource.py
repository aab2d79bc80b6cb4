"""An audit row as the FHIR R4 AuditEvent it stands for, in the shape of IHE BALP."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from interop.access.agent import Agent
from interop.audit.codes import BALP_ENTITY_TYPE, Coding, event_subtype, event_type, participants, profile
from interop.audit.event import AuditRow, Event
from interop.fhir.names import DCM, STUDY_UID

_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_SYSTEM_OBJECT = Coding(_ENTITY_TYPE, "2", "System Object").json()
_PERSON = Coding(_ENTITY_TYPE, "1", "Person").json()
_PATIENT_ROLE = Coding(_OBJECT_ROLE, "1", "Patient").json()
_REPORT = Coding(_OBJECT_ROLE, "3", "Report").json()
_DOMAIN = Coding(_OBJECT_ROLE, "4", "Domain Resource").json()
_SECURITY = Coding(_OBJECT_ROLE, "13", "Security Resource").json()
_QUERY = Coding(_OBJECT_ROLE, "24", "Query").json()
_SERVER_TYPE = Coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server").json()
_REFERENCE = re.compile(r"([A-Z][A-Za-z]{1,63})/[A-Za-z0-9.-]{1,64}(/_history/[A-Za-z0-9.-]{1,64})?")
_REPORTS = ("DiagnosticReport", "ImagingStudy")
_PERSONS = ("user", "viewer")


@dataclass(frozen=True, slots=True)
class Observer:
    """This server, as its audit trail names it: the address of its FHIR door, or a name where none is known."""

    name: str = "interop"
    url: str | None = None

    def who(self) -> dict[str, Any]:
        """The Reference of AuditEvent.agent.who."""
        if self.url is None:
            return {"identifier": {"value": self.name}}
        return {"identifier": {"system": "urn:ietf:rfc:3986", "value": self.url}}

    def network(self) -> dict[str, str]:
        """AuditEvent.agent.network: a URI (5) or a machine name (1)."""
        return {"address": self.url, "type": "5"} if self.url else {"address": self.name, "type": "1"}


def to_resource(row: AuditRow, observer: Observer = Observer()) -> dict[str, Any]:
    """The AuditEvent of a stored row: the same row gives the same resource, always."""
    recorded = row.recorded.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = row.event
    meta: dict[str, Any] = {"versionId": "1", "lastUpdated": recorded}
    claimed = profile(event)
    if claimed is not None and row.agent.address is not None:  # BALP asks for the client's network address
        meta["profile"] = [claimed]
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": row.id,
        "meta": meta,
        "type": event_type(event).json(),
    }
    subtype = event_subtype(event)
    if subtype is not None:
        resource["subtype"] = [subtype.json()]
    resource |= {"action": event.action, "recorded": recorded, "outcome": event.outcome}
    if event.detail:
        resource["outcomeDesc"] = event.detail
    resource["agent"] = _agents(row.agent, event, observer)
    resource["source"] = {
        "site": observer.url or observer.name,
        "observer": {"identifier": {"value": observer.name}},
        "type": [_SERVER_TYPE],
    }
    entities = _entities(row.agent, event)
    if entities:
        resource["entity"] = entities
    return resource


def _agents(agent: Agent, event: Event, observer: Observer) -> list[dict[str, Any]]:
    client_type, server_type, user_type = participants(event)
    person = agent.kind in _PERSONS
    client: dict[str, Any] = {
        "type": {"coding": [client_type.json()]},
        "who": {"identifier": {"value": (agent.client if person else agent.who) or agent.who or "unknown"}},
        "requestor": not person,
    }
    if agent.address:
        client["network"] = {"address": agent.address, "type": "2"}
    elif agent.kind == "system":  # a part of this server
        client["network"] = observer.network()
    server = {
        "type": {"coding": [server_type.json()]},
        "who": observer.who(),
        "requestor": False,
        "network": observer.network(),
    }
    return [client, server, _user(agent, user_type)] if person else [client, server]


def _user(agent: Agent, user_type: Coding) -> dict[str, Any]:
    who: dict[str, Any] = {"identifier": {"value": agent.who}}
    user: dict[str, Any] = {"type": {"coding": [user_type.json()]}, "who": who, "requestor": True}
    if agent.name:
        who["display"] = agent.name
        user["name"] = agent.name
    if agent.token_id:
        user["policy"] = [f"urn:ietf:params:oauth:jti:{agent.token_id}"]
    return user


def _entities(agent: Agent, event: Event) -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = []
    if event.query is not None:
        query = base64.b64encode(event.query.encode()).decode("ascii")
        entities.append({"type": _SYSTEM_OBJECT, "role": _QUERY, "query": query})
    if event.entity is not None:
        entities.append(_data_entity(event.entity))
    if event.patient is not None:
        entities.append({"what": {"reference": event.patient}, "type": _PERSON, "role": _PATIENT_ROLE})
    if agent.request_id:
        request_type = {"system": BALP_ENTITY_TYPE, "code": "XrequestId"}
        entities.append({"what": {"identifier": {"value": agent.request_id}}, "type": request_type})
    return entities


def _data_entity(entity: str) -> dict[str, Any]:
    """What was touched: a resource, a DICOM study (``urn:oid:``), or anything else with an identifier."""
    reference = _REFERENCE.fullmatch(entity)
    if reference is not None:
        kind = reference.group(1)
        role = _SECURITY if kind == "AuditEvent" else _REPORT if kind in _REPORTS else _DOMAIN
        return {"what": {"reference": entity}, "type": _SYSTEM_OBJECT, "role": role}
    if entity.startswith("urn:oid:"):
        study = {"coding": [Coding(DCM, "110180", "Study Instance UID").json()]}
        identifier = {"type": study, "system": STUDY_UID, "value": entity}
        return {"what": {"identifier": identifier}, "type": _SYSTEM_OBJECT, "role": _REPORT}
    return {"what": {"identifier": {"value": entity}}, "type": _SYSTEM_OBJECT, "role": _DOMAIN}
