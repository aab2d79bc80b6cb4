"""The CapabilityStatement (R4 capabilitystatement.html), made of the tables that the routes and searches use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interop.fhir.clauses import APART
from interop.fhir.constraints import constraining
from interop.fhir.parameters import parameters
from interop.fhir.profile import CONFORMANCE_TYPES, AcceptedType, accepted_types, definition_parameters
from interop.fhir.topics import TOPIC_EXTENSION, TOPICS

FORMATS = ("application/fhir+json", "json", "application/fhir+xml", "xml")
WEBSOCKET_EXTENSION = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket"
Operations = Sequence[tuple[str, str, frozenset[str]]]
FILTER_PARAMETER = "http://hl7.org/fhir/SearchParameter/filter"
PATCH_FORMATS = ("application/json-patch+json", "application/fhir+json", "application/fhir+xml")
SYSTEM_INTERACTIONS = ("transaction", "batch", "history-system")
_ORDER = ("read", "vread", "create", "update", "patch", "delete", "history-instance", "history-type", "search-type")


def capability(
    *,
    base_url: str,
    version: str,
    date: str,
    operations: Operations = (),
    delete_multiple: bool = False,
    websocket: str | None = None,
) -> dict[str, Any]:
    """What this server does, as it says itself at ``/fhir/metadata``.

    ``operations``: name and canonical URL of each, with the types it is offered for; "" stands for the whole system.
    ``websocket``: where subscribers connect, if they can.
    """
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "publisher": "interop",
        "kind": "instance",
        "software": {"name": "interop", "version": version},
        "implementation": {"description": "Imaging interoperability server", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": list(FORMATS),
        "patchFormat": list(PATCH_FORMATS),
        "rest": [
            {
                **_websocket(websocket),
                "mode": "server",
                "security": {
                    "cors": False,
                    "description": "Every interaction but this one needs a bearer token with SMART scopes, such as "
                    "system/*.cruds, user/ServiceRequest.rs or patient/ImagingStudy.rs.",
                },
                "resource": [
                    *(_resource(accepted, operations, delete_multiple) for accepted in accepted_types().values()),
                    *(_defined(type) for type in CONFORMANCE_TYPES),
                ],
                "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
                **_operations("", operations),
            }
        ],
    }


def _websocket(url: str | None) -> dict[str, Any]:
    """Where R4 has it (extension-capabilitystatement-websocket)."""
    return {"extension": [{"url": WEBSOCKET_EXTENSION, "valueUri": url}]} if url else {}


def _operations(type: str, operations: Operations) -> dict[str, Any]:
    rows = [{"name": name, "definition": definition} for name, definition, types in operations if type in types]
    return {"operation": rows} if rows else {}


def _defined(type: str) -> dict[str, Any]:
    """A type of our own definitions."""
    searched = [
        {"name": code, "definition": definition, "type": kind}
        for code, (kind, definition) in definition_parameters(type).items()
    ]
    return {
        "type": type,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "searchParam": searched,
    }


def _resource(accepted: AcceptedType, operations: Operations, delete_multiple: bool) -> dict[str, Any]:
    does = accepted.interactions
    writable = "create" in does
    return {
        **_topics(accepted.type),
        "type": accepted.type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{accepted.type}",
        **_profiles(accepted.type),
        "interaction": [{"code": code} for code in _ORDER if code in does],
        "versioning": "versioned" if "vread" in does else "no-version",
        "readHistory": "vread" in does,
        "updateCreate": "update" in does,
        "conditionalCreate": writable,
        "conditionalRead": "full-support" if "read" in does else "not-supported",
        "conditionalUpdate": "update" in does,
        "conditionalDelete": _conditional_delete(does, delete_multiple),
        "referencePolicy": ["literal", "logical", "enforced", "local"],
        **_includes(accepted.type),
        "searchParam": _search_parameters(accepted.type),
        **_operations(accepted.type, operations),
    }


def _topics(type: str) -> dict[str, Any]:
    """What can be subscribed to (Subscriptions R5 Backport guide 1.1, capability statement)."""
    rows = [{"url": TOPIC_EXTENSION, "valueCanonical": url} for url in TOPICS]
    return {"extension": rows} if type == "Subscription" else {}


def _profiles(type: str) -> dict[str, Any]:
    urls = [url for url, definition in constraining().items() if definition["type"] == type]
    return {"supportedProfile": urls} if urls else {}


def _conditional_delete(does: frozenset[str], delete_multiple: bool) -> str:
    if "delete" not in does:
        return "not-supported"
    return "multiple" if delete_multiple else "single"


def _includes(type: str) -> dict[str, Any]:
    """What ``_include`` and ``_revinclude`` take; AuditEvents are kept apart from both."""
    if type == APART:
        return {}
    forwards = [f"{type}:{code}" for code, parameter in parameters(type).items() if parameter.type == "reference"]
    backwards = [
        f"{source}:{code}"
        for source in accepted_types()
        if source != APART
        for code, parameter in parameters(source).items()
        if parameter.type == "reference" and type in (parameter.targets or (type,))
    ]
    included = {"searchInclude": ["*", *forwards]} if forwards else {}
    return {**included, "searchRevInclude": ["*", *backwards]}


def _search_parameters(type: str) -> list[dict[str, Any]]:
    common = [
        {"name": "_id", "definition": "http://hl7.org/fhir/SearchParameter/Resource-id", "type": "token"},
        {
            "name": "_lastUpdated",
            "definition": "http://hl7.org/fhir/SearchParameter/Resource-lastUpdated",
            "type": "date",
        },
    ]
    if type != APART:
        common.append({"name": "_filter", "definition": FILTER_PARAMETER, "type": "special"})
    return common + [
        {"name": parameter.code, "definition": parameter.definition, "type": parameter.type}
        for parameter in parameters(type).values()
    ]
