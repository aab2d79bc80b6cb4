"""Resources and datatypes as JSON Schema (2020-12), made of the definitions that validation is made of.

It says what the shape of a resource is: elements, types, formats, required codes. Invariants, targets of references and
profiles are not in it, so a resource that fits may still be refused, and the OperationOutcome says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from interop.fhir.definitions import code_sets, type_definitions
from interop.fhir.elements import choices
from interop.fhir.primitives import MAX_STRING, OPEN_CODES, PATTERNS, PRIMITIVES

Schema = dict[str, Any]

PLACE = "#/components/schemas/"
_EXTENSIBLE = frozenset(PRIMITIVES) - {"xhtml", "element-id"}
_PLAIN: Mapping[str, Schema] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "minimum": -2147483648, "maximum": 2147483647},
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": 2147483647},
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": 2147483647},
    "decimal": {"type": "number"},
    "string": {"type": "string", "minLength": 1, "maxLength": MAX_STRING},
    "markdown": {"type": "string", "minLength": 1, "maxLength": MAX_STRING},
    "base64Binary": {"type": "string", "minLength": 1, "contentEncoding": "base64"},
    "xhtml": {"type": "string", "minLength": 1, "contentMediaType": "application/xhtml+xml"},
}


def schemas(types: Iterable[str]) -> dict[str, Schema]:
    """The schemas of these resource types by name, and of all that they are made of."""
    found: dict[str, Schema] = {"Resource": any_resource()}
    waiting = list(types)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _schema(name)
            waiting += [name for name in _named_in(found[name]) if name not in found]
    return dict(sorted(found.items()))


def any_resource() -> Schema:
    """A resource of a type that its own ``resourceType`` says."""
    named = {"type": "string", "pattern": "^[A-Z][A-Za-z]{1,63}$"}
    return {"type": "object", "required": ["resourceType"], "properties": {"resourceType": named}}


def _schema(name: str) -> Schema:
    if name in PRIMITIVES:
        if name in PATTERNS:
            return {"type": "string", "pattern": f"^(?:{PATTERNS[name]})$"}
        return dict(_PLAIN[name])
    if name == "Element":  # what stands beside a primitive value
        return _object({"id": {"types": ["element-id"]}, "extension": {"many": True, "types": ["Extension"]}}, name)
    type, *steps = name.split(".")
    definition = type_definitions().get(type)
    if definition is None:  # a definition of ours: its elements are carried, not checked
        return {**any_resource(), "properties": {"resourceType": {"const": type}}}
    elements = definition["elements"]
    for step in steps:
        elements = elements[step]["parts"]
    schema = _object(elements, name)
    if definition["kind"] == "resource" and not steps:
        schema["properties"] = {"resourceType": {"const": type}, **schema["properties"]}
        schema["required"] = ["resourceType", *schema.get("required", ())]
    return schema


def _object(elements: Mapping[str, Any], path: str) -> Schema:
    properties: dict[str, Schema] = {}
    required: list[str] = []
    one_of: list[Schema] = []
    for name, spec in elements.items():
        keys = []
        for element in choices(name, spec):
            many = element.many
            properties[element.key] = (
                _several(_one(element.kind, spec, f"{path}.{name}"), element.kind)
                if many
                else (_one(element.kind, spec, f"{path}.{name}"))
            )
            keys.append(element.key)
            if element.kind in _EXTENSIBLE:
                beside = {"$ref": f"{PLACE}Element"}
                properties[f"_{element.key}"] = _several(beside, "boolean") if many else beside
                keys.append(f"_{element.key}")
        if spec.get("min") and len(keys) == 1:
            required += keys
        elif spec.get("min"):
            one_of.append({"anyOf": [{"required": [key]} for key in keys]})
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": required} if required else {}),
        **({"allOf": one_of} if one_of else {}),
    }


def _one(kind: str, spec: Mapping[str, Any], path: str) -> Schema:
    if "like" in spec:
        return {"$ref": PLACE + spec["like"]}
    if "parts" in spec:
        return {"$ref": PLACE + path}
    codes = spec.get("codes")
    if kind == "code" and codes and codes not in OPEN_CODES:
        listed = sorted({code for each in code_sets()[codes].values() for code in each})
        if listed:
            return {"enum": listed}
    return {"$ref": PLACE + kind}


def _several(one: Schema, kind: str) -> Schema:
    """An array, never empty (json.html#primitive); of primitives with null where only the other half has something."""
    items = {"anyOf": [one, {"type": "null"}]} if kind in PRIMITIVES else one
    return {"type": "array", "minItems": 1, "items": items}


def _named_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.removeprefix(PLACE)
            else:
                yield from _named_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _named_in(value)
