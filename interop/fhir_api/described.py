"""What the FHIR door says of itself in the OpenAPI document: the forms of ``routing`` crossed with the served types.

The same tables make the CapabilityStatement; what both say, and the routes, is one thing.
"""

from __future__ import annotations

from collections.abc import Iterator

from interop.fhir.compartments import compartment_parameters
from interop.fhir.profile import CONFORMANCE_TYPES, accepted_types
from interop.fhir_api.described_parts import (
    HISTORY,
    ID,
    PRESENTED,
    READING,
    VERSION,
    WRITING,
    components,
    everywhere,
    operation_input,
    outcomes,
    searching,
    taking,
)
from interop.fhir_api.incoming import FORM_TYPE, RESOURCE_TYPES
from interop.fhir_api.operations import OPERATIONS
from interop.fhir_api.routing import COMPARTMENTS, FORMS, interactions
from interop.openapi import Description, Json, Operation, gives, in_query, ref

DOOR = "/fhir/{path:path}"
_PATHS = {
    "type": "/fhir/{type}",
    "type/_search": "/fhir/{type}/_search",
    "type/_history": "/fhir/{type}/_history",
    "type/id": "/fhir/{type}/{{id}}",
    "type/id/_history": "/fhir/{type}/{{id}}/_history",
    "type/id/_history/version": "/fhir/{type}/{{id}}/_history/{{vid}}",
}
_TEXT = (
    "FHIR R4 4.0.1. A search parameter may stand several times (all have to hold), takes alternatives with commas, and "
    "modifiers, chains and _has as /fhir/metadata and docs/reference/search.md say. _format chooses JSON or XML."
)


def described() -> Description:
    """Every operation of the door, and the components they share."""
    operations = [*_system(), *_bulk()]
    for type in (*accepted_types(), *CONFORMANCE_TYPES):
        operations += _of_type(type)
    for kind in COMPARTMENTS:
        operations += _in_compartment(kind)
    operations += _operations()
    return Description("fhir", _TEXT, operations, components())


def _of_type(type: str) -> Iterator[Operation]:
    offered = interactions(type)
    for form, path in _PATHS.items():
        for method, interaction in FORMS[form].items():
            if interaction in offered:
                by_criteria = form == "type" and interaction in ("update", "patch", "delete")
                where = path.format(type=type)
                yield _interaction(interaction, method, where, type, criteria=by_criteria)


def _interaction(interaction: str, method: str, path: str, type: str, *, criteria: bool) -> Operation:
    """One interaction with a type. ``criteria``: a conditional one, whose resource is found by a search."""
    posted = method == "POST" and interaction == "search-type"
    name = f"{interaction}-{type}" + ("-by-criteria" if criteria else "-post" if posted else "")
    where = searching(type, criteria=True) if criteria else [ID] if "{id}" in path else []
    body: Json | None = None
    match interaction:
        case "read" | "vread":
            given = [*where, *([VERSION] if interaction == "vread" else []), *READING]
            answers = {"200": ref("responses", type), "304": gives("The client has it")} | outcomes(404, 410)
        case "create" | "update":
            given = [*where, *WRITING[interaction]]
            body = ref("requestBodies", type)
            answers = {"200": ref("responses", f"{type}-written"), "201": ref("responses", f"{type}-written")}
            answers |= outcomes(404, 409, 412, 413, 415, 422)
        case "patch":
            given, body = [*where, *WRITING["patch"]], ref("requestBodies", "patch")
            answers = {"200": ref("responses", f"{type}-written")} | outcomes(404, 409, 410, 412, 413, 415, 422)
        case "delete":
            given = [*where, *WRITING["delete"]]
            answers = {"200": ref("responses", f"{type}-written"), "204": gives("It is gone")}
            answers |= outcomes(404, 409, 412, 422)
        case "search-type" if posted:
            given, body = [], taking(FORM_TYPE, schema=ref("schemas", "Form"))
            answers = {"200": ref("responses", "Bundle")} | outcomes(413, 415)
        case "search-type":
            given, answers = searching(type), {"200": ref("responses", "Bundle")} | outcomes()
        case _:  # history-instance, history-type
            given, answers = [*where, *HISTORY], {"200": ref("responses", "Bundle")} | outcomes(404)
    return Operation(name, method, path, _summary(interaction, type), answers, given, body, DOOR)


def _summary(interaction: str, type: str) -> str:
    return f"{interaction} of {type} (R4 http.html)"


def _system() -> Iterator[Operation]:
    bundle = {"200": ref("responses", "Bundle")}
    yield Operation(
        "batch-or-transaction",
        "POST",
        "/fhir",
        "A batch or a transaction",
        bundle | outcomes(404, 409, 410, 412, 413, 415, 422),
        everywhere(),
        ref("requestBodies", "Bundle"),
    )
    yield Operation(
        "history-system", "GET", "/fhir/_history", "history of everything", bundle | outcomes(), HISTORY, None, DOOR
    )
    yield Operation(
        "capabilities",
        "GET",
        "/fhir/metadata",
        "The CapabilityStatement",
        {"200": ref("responses", "CapabilityStatement")} | outcomes(),
        PRESENTED,
        None,
        DOOR,
        open=True,
    )


def _in_compartment(kind: str) -> Iterator[Operation]:
    within = [type for type in accepted_types() if type == kind or compartment_parameters(kind, type)]
    for type in (*within, "*"):
        form = "compartment" + ("/*" if type == "*" else "")
        name = f"compartment-{kind}-{'everything' if type == '*' else type}"
        given = searching("" if type == "*" else type)
        for end, methods in (("", FORMS[form]), ("/_search", FORMS[f"{form}/_search"])):
            for method in methods:
                yield Operation(
                    name + ("-post" if end else ""),
                    method,
                    f"/fhir/{kind}/{{id}}/{type}{end}",
                    f"search within the compartment of a {kind}",
                    {"200": ref("responses", "Bundle")} | outcomes(*((413, 415) if end else ())),
                    [ID, *([] if end else given)],
                    taking(FORM_TYPE, schema=ref("schemas", "Form")) if end else None,
                    DOOR,
                )


def _operations() -> Iterator[Operation]:
    """The operations of ``OPERATIONS`` wherever each is offered."""
    for operation in OPERATIONS.values():
        for type in filter(operation.of, accepted_types()):
            for level in sorted(operation.levels & {"type", "instance"}):
                middle = "/{id}" if level == "instance" else ""
                for method in sorted(operation.methods):
                    posts = method == "POST"
                    yield Operation(
                        f"{operation.name}-{type}-{level}-{method.lower()}",
                        method,
                        f"/fhir/{type}{middle}/${operation.name}",
                        f"The operation {operation.definition}",
                        {"200": ref("responses", operation.gives)}
                        | outcomes(404, 410, 422, *((413, 415) if posts else ())),
                        [*([ID] if middle else []), *([] if posts else operation_input(operation, type, level))],
                        ref("requestBodies", "Input") if posts else None,
                        DOOR,
                    )


def _bulk() -> Iterator[Operation]:
    """Bulk Data Access 2.0, which has routes of its own."""
    given = [in_query("_type"), in_query("_since"), in_query("_outputFormat")]
    respond = {"name": "Prefer", "in": "header", "required": True, "schema": {"const": "respond-async"}}
    accepted = gives("It has begun; Content-Location says where to ask")
    for place in ("", "Patient/"):
        for method in ("GET", "POST"):
            yield Operation(
                f"export-{place.strip('/').lower() or 'system'}-{method.lower()}",
                method,
                f"/fhir/{place}$export",
                "Begin a bulk export",
                {"202": accepted} | outcomes(*((413, 415) if method == "POST" else ()), only_json=True),
                [respond, *(given if method == "GET" else ())],
                taking(*RESOURCE_TYPES, schema=ref("schemas", "Resource"), optional=True) if method == "POST" else None,
            )
    status = {"202": gives("Not yet; Retry-After says when"), "200": ref("responses", "Manifest")}
    gone = {"202": gives("Forgotten")}
    refused = outcomes(404, only_json=True)
    yield Operation("export-status", "GET", "/fhir/bulk/{id}", "How far an export is", status | refused, [ID])
    yield Operation("export-forget", "DELETE", "/fhir/bulk/{id}", "Forget an export", gone | refused, [ID])
    lines = {"200": gives("Resources, one a line", "application/fhir+ndjson")}
    which = {"name": "type", "in": "path", "required": True, "schema": {"enum": list(accepted_types())}}
    path = "/fhir/bulk/{id}/{type}.ndjson"
    yield Operation("export-file", "GET", path, "A file of an export", lines | refused, [ID, which])
