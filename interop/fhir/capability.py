"""The CapabilityStatement (R4 capabilitystatement.html), made of the tables that the routes and searches use."""

from __future__ import annotations

from typing import Any

from interop.fhir.parameters import parameters
from interop.fhir.profile import AcceptedType, accepted_types

FORMATS = ("application/fhir+json", "json")
SYSTEM_INTERACTIONS = ("transaction", "batch")
_ORDER = ("read", "vread", "create", "update", "delete", "history-instance", "history-type", "search-type")


def capability(*, base_url: str, version: str, date: str) -> dict[str, Any]:
    """What this server does, as it says itself at ``/fhir/metadata``."""
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
        "rest": [
            {
                "mode": "server",
                "security": {
                    "cors": False,
                    "description": "Every interaction but this one needs a bearer token with SMART scopes, such as "
                    "system/*.cruds, user/ServiceRequest.rs or patient/ImagingStudy.rs.",
                },
                "resource": [_resource(accepted) for accepted in accepted_types().values()],
                "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
            }
        ],
    }


def _resource(accepted: AcceptedType) -> dict[str, Any]:
    does = accepted.interactions
    writable = "create" in does
    return {
        "type": accepted.type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{accepted.type}",
        "interaction": [{"code": code} for code in _ORDER if code in does],
        "versioning": "versioned" if "vread" in does else "no-version",
        "readHistory": "vread" in does,
        "updateCreate": "update" in does,
        "conditionalCreate": writable,
        "conditionalRead": "not-supported",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical", "enforced", "local"],
        "searchParam": _search_parameters(accepted.type),
    }


def _search_parameters(type: str) -> list[dict[str, Any]]:
    common = [
        {"name": "_id", "definition": "http://hl7.org/fhir/SearchParameter/Resource-id", "type": "token"},
        {
            "name": "_lastUpdated",
            "definition": "http://hl7.org/fhir/SearchParameter/Resource-lastUpdated",
            "type": "date",
        },
    ]
    return common + [
        {"name": parameter.code, "definition": parameter.definition, "type": parameter.type}
        for parameter in parameters(type).values()
    ]
