"""The parts that descriptions of FHIR interactions share: parameters, bodies, answers and refusals, as components."""

from __future__ import annotations

from collections.abc import Sequence

from interop.fhir.clauses import APART
from interop.fhir.filter_grammar import MAX_TEXT
from interop.fhir.json_schema import schemas
from interop.fhir.parameters import parameters
from interop.fhir.profile import CONFORMANCE_TYPES, accepted_types, definition_parameters
from interop.fhir_api.binaries import BINARY
from interop.fhir_api.incoming import JSON_PATCH, JSON_TYPES, RESOURCE_TYPES
from interop.fhir_api.negotiation import MEDIA_TYPES
from interop.fhir_api.operations import Operation
from interop.openapi import Json, gives, in_header, in_path, in_query, ref
from interop.openapi.answers import refusal

_FHIR = tuple(MEDIA_TYPES.values())
_OUTCOMES = (400, 401, 403, 404, 406, 409, 410, 412, 413, 415, 422, 503)
_GIVEN = ("Bundle", "Parameters", "OperationOutcome", "CapabilityStatement")
_PREFIX = "(?:eq|ne|lt|le|gt|ge|sa|eb|ap)?"
_DATE = f"{_PREFIX}[0-9]{{4}}(?:-[0-9]{{2}}(?:-[0-9]{{2}}(?:T[0-9:.]+(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})?)?)?)?"
_NUMBER = f"{_PREFIX}[+-]?[0-9]+(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_TEXT: Json = {"type": "string", "minLength": 1}

# How a value of each kind of search parameter looks (R4 search.html#ptypes).
SEARCHES: dict[str, Json] = {
    "token": {**_TEXT, "description": "code, system|code, |code or system|"},
    "string": {**_TEXT, "description": "how a text begins, whatever its case and accents"},
    "reference": {**_TEXT, "description": "id, Type/id or an absolute URL"},
    "uri": _TEXT,
    "date": {"type": "string", "pattern": f"^{_DATE}(?:,{_DATE})*$"},
    "number": {"type": "string", "pattern": f"^{_NUMBER}(?:,{_NUMBER})*$"},
    "quantity": {"type": "string", "pattern": f"^{_NUMBER}(?:\\|[^|]*\\|[^|]+)?$", "description": "number|system|code"},
    "composite": {"type": "string", "pattern": r"^[^$]+\$[^$]+$"},
    "filter": {**_TEXT, "maxLength": MAX_TEXT, "description": "tests joined by and, or, not (…): `birthdate ge 1970`"},
    "special": {"type": "string", "pattern": r"^[-0-9.]+\|[-0-9.]+(?:\|[0-9.]*(?:\|[a-z_\[\]]*)?)?$"},
}

ID = ref("parameters", "id")
VERSION = ref("parameters", "vid")
_WHOLE: Json = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
_CONTROLS: dict[str, Json] = {
    "_format": {"enum": [*MEDIA_TYPES, *_FHIR]},
    "_pretty": {"type": "boolean"},
    "_summary": {"enum": ["true", "text", "data", "count", "false"]},
    "_elements": {"type": "string", "pattern": "^[a-zA-Z]+(?:,[a-zA-Z]+)*$"},
    "_count": _WHOLE,
    "_sort": {"type": "string", "pattern": "^-?[a-zA-Z_-]+(?:,-?[a-zA-Z_-]+){0,4}$"},
    "_total": {"enum": ["none", "estimate", "accurate"]},
    "_include": {"type": "string", "description": "Type:parameter or Type:parameter:Target; * for all"},
    "_revinclude": {"type": "string", "description": "Type:parameter or Type:parameter:Target; * for all"},
    "_cursor": {"type": "string", "description": "of a link that this server wrote; nothing to be made up"},
    "_since": SEARCHES["date"] | {"pattern": f"^{_DATE.removeprefix(_PREFIX)}$"},
    "_at": SEARCHES["date"] | {"pattern": f"^{_DATE.removeprefix(_PREFIX)}$"},
}
_HEADERS = {
    "If-None-Match": 'versions that the client has, as W/"3"; of an update: * if it must not exist yet',
    "If-Modified-Since": "an HTTP date",
    "If-Match": 'the version that is to be changed, as W/"3", or several; * if it must exist',
    "If-None-Exist": "a search: what it finds is not created again",
    "Prefer": "return=minimal, representation or OperationOutcome; handling=strict or lenient",
}


def _named(*names: str) -> list[Json]:
    return [ref("parameters", name) for name in names]


PRESENTED = _named("_format", "_pretty", "_summary", "_elements")
READING = [*PRESENTED, *_named("If-None-Match", "If-Modified-Since")]
HISTORY = [*PRESENTED, *_named("_count", "_since", "_at", "_cursor")]
_CHANGING = _named("_format", "_pretty", "If-Match", "If-None-Match", "Prefer")
WRITING: dict[str, list[Json]] = {
    "create": _named("_format", "_pretty", "If-None-Exist", "Prefer"),
    "update": _CHANGING,
    "patch": _CHANGING,
    "delete": _named("_format", "_pretty", "If-Match", "Prefer"),
}


def everywhere() -> list[Json]:
    """What every answer's look is chosen by."""
    return _named("_format", "_pretty", "Prefer")


def searching(type: str, *, criteria: bool = False) -> list[Json]:
    """The parameters of a search of the type (of every type: ""), or of the criteria of a conditional interaction."""
    controls = _named("_format", "_pretty", "_count", "_total")
    if type in CONFORMANCE_TYPES:
        return [*_named(*(f"{type}.{code}" for code in definition_parameters(type))), *controls]
    own = _own(type)
    if criteria:
        return own
    shown = _named("_summary", "_elements", "_sort", "_cursor")
    included = _named("_include", "_revinclude") if type else []
    return [*own, *controls, *shown, *included, *_named("Prefer")]


def operation_input(operation: Operation, type: str, level: str) -> list[Json]:
    """What an operation takes in the address."""
    own = [in_query(name) for name in operation.input(level)]
    return [*own, *_named("_format", "_pretty"), *(_own(type) if operation.searches else [])]


def _own(type: str) -> list[Json]:
    """The search parameters that are the type's own."""
    common = ("_id", "_lastUpdated", *(("_filter",) if type != APART else ()))
    return _named(*common, *(f"{type}.{code}" for code in parameters(type)))


def outcomes(*statuses: int, only_json: bool = False) -> dict[str, Json]:
    """The refusals with these statuses; 400, 401, 403, 404, 406 and 503 may be said of anything."""
    end = "-json" if only_json else ""
    found = (400, 401, 403, 404, 503, *(() if only_json else (406,)), *statuses)
    return {str(status): ref("responses", f"outcome-{status}{end}") for status in found}


def taking(*types: str, schema: Json, optional: bool = False) -> Json:
    """A Request Body Object. XML is described by its JSON: elements are the same, in the order of the definition."""
    content = {kind: ({"schema": schema} if _is_json(kind) else {"schema": _XML}) for kind in types}
    return {"required": not optional, "content": content}


_XML: Json = {"type": "string"}


def _is_json(kind: str) -> bool:
    return kind in JSON_TYPES or not kind.endswith("xml")


def components() -> dict[str, dict[str, Json]]:
    """All of them, by section and name."""
    types = [*accepted_types(), *CONFORMANCE_TYPES]
    return {
        "schemas": {
            **schemas([*types, *_GIVEN]),
            **{f"search-{kind}": schema for kind, schema in SEARCHES.items()},
            "Form": {"type": "object", "additionalProperties": {"type": "string"}},
            "JsonPatch": _JSON_PATCH,
        },
        "parameters": _parameters(types),
        "requestBodies": _bodies(types),
        "responses": _responses(types),
    }


def _parameters(types: Sequence[str]) -> dict[str, Json]:
    found = {
        "id": in_path("id", {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"}),
        "vid": in_path("vid", {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"}),
        "_id": in_query("_id", ref("schemas", "search-token")),
        "_lastUpdated": in_query("_lastUpdated", ref("schemas", "search-date")),
        "_filter": in_query("_filter", ref("schemas", "search-filter")),
        **{name: in_query(name, schema) for name, schema in _CONTROLS.items()},
        **{name: in_header(name, text) for name, text in _HEADERS.items()},
    }
    for type in types:
        kinds = {code: parameter.type for code, parameter in parameters(type).items()}
        if type in CONFORMANCE_TYPES:
            kinds = {code: kind for code, (kind, _) in definition_parameters(type).items()}
        found |= {f"{type}.{code}": in_query(code, _search(kind, code)) for code, kind in kinds.items()}
    return found


def _search(kind: str, code: str) -> Json:
    return {"enum": ["true", "false"]} if code == "deceased" else ref("schemas", f"search-{kind}")


def _bodies(types: Sequence[str]) -> dict[str, Json]:
    found = {type: taking(*RESOURCE_TYPES, schema=ref("schemas", type)) for type in (*types, "Bundle")}
    found[BINARY]["content"]["*/*"] = {}
    found["Input"] = taking(*RESOURCE_TYPES, schema=ref("schemas", "Resource"), optional=True)
    found["patch"] = taking(*RESOURCE_TYPES, schema=ref("schemas", "Parameters"))
    found["patch"]["content"][JSON_PATCH] = {"schema": ref("schemas", "JsonPatch")}
    return found


def _responses(types: Sequence[str]) -> dict[str, Json]:
    found = {}
    for type in (*types, *_GIVEN):
        found[type] = _resource(type, ref("schemas", type))
        either = {"anyOf": [ref("schemas", type), ref("schemas", "OperationOutcome")]}
        found[f"{type}-written"] = _resource(f"{type}, or as Prefer: return says", either)
    found[BINARY]["content"]["*/*"] = {}
    for status in _OUTCOMES:
        outcome = ref("schemas", "OperationOutcome")
        both: Json = {kind: {} for kind in _FHIR} | {_FHIR[0]: {"schema": outcome}}
        found[f"outcome-{status}"] = refusal(status, both)
        found[f"outcome-{status}-json"] = refusal(status, {_FHIR[0]: {"schema": outcome}})
    found["Manifest"] = gives("The files of the export", schema=_MANIFEST)
    return found


def _resource(text: str, schema: Json) -> Json:
    headers = {name: {"schema": {"type": "string"}} for name in ("ETag", "Last-Modified", "Location")}
    answer = gives(text, headers=headers)
    answer["content"] = {_FHIR[0]: {"schema": schema}, **{kind: {} for kind in _FHIR[1:]}}
    return answer


_MANIFEST: Json = {
    "type": "object",
    "required": ["transactionTime", "request", "requiresAccessToken", "output", "error"],
    "properties": {
        "transactionTime": {"type": "string"},
        "request": {"type": "string"},
        "requiresAccessToken": {"const": True},
        "output": {
            "type": "array",
            "items": {"type": "object", "required": ["type", "url"]},
        },
        "error": {"type": "array"},
    },
}
_JSON_PATCH: Json = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["op", "path"],
        "properties": {
            "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
            "path": {"type": "string"},
            "from": {"type": "string"},
            "value": {},
        },
    },
}
