"""JSON Patch (RFC 6902) on resources: strict, whole or not at all, decimals as they were sent.

A value that a patch brings is the very value that ``fhir.json.loads`` read, so ``1.10`` stays ``1.10``; ``test``
compares numbers by value (RFC 6902 4.6).
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from interop.errors import InvalidContentError, MalformedError
from interop.fhir.json import dumps

MAX_OPERATIONS = 1000
MAX_STEPS = 64  # of a pointer
MAX_COPIED = 10_000_000  # bytes that one patch may carry about, or a few lines would double a resource endlessly
_NEEDS = {
    "add": ("path", "value"),
    "replace": ("path", "value"),
    "test": ("path", "value"),
    "remove": ("path",),
    "move": ("from", "path"),
    "copy": ("from", "path"),
}
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_ESCAPE = re.compile(r"~[^01]|~$")

Pointer = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, its pointers taken apart."""

    number: int
    op: str
    path: Pointer
    start: Pointer | None = None  # RFC 6902's "from"
    value: Any = None


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """A patch document."""

    operations: tuple[Operation, ...]

    def applied(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource as it is changed, itself left alone; InvalidContentError (422) naming the operation."""
        changed: Any = deepcopy(resource)
        carried = 0
        for operation in self.operations:
            try:
                if operation.start is not None:
                    carried += _weight(_found(changed, operation.start))
                if carried > MAX_COPIED:
                    raise _NoPlaceError("the patch copies more than this server allows")
                changed = _apply(changed, operation)
            except _NoPlaceError as error:
                where = "/" + "/".join(operation.path)
                raise InvalidContentError(
                    f"operation {operation.number} ({operation.op} {where[:100]}): {error}", issue_code="processing"
                ) from error
        if not isinstance(changed, dict):
            raise InvalidContentError("what the patch leaves is no resource", issue_code="processing")
        return changed


class _NoPlaceError(Exception):
    """A pointer leads nowhere, or a test fails."""


def read_json_patch(document: Any) -> JsonPatch:
    """The patch that the JSON says; MalformedError (400) where it is none (RFC 6902 3 and 4)."""
    if not isinstance(document, list):
        raise MalformedError("a JSON Patch is an array of operations (RFC 6902)")
    if len(document) > MAX_OPERATIONS:
        raise MalformedError(f"a JSON Patch has at most {MAX_OPERATIONS} operations", issue_code="too-costly")
    return JsonPatch(tuple(_operation(number, each) for number, each in enumerate(document)))


def _operation(number: int, member: Any) -> Operation:
    op = member.get("op") if isinstance(member, dict) else None
    needs = _NEEDS.get(op) if isinstance(op, str) else None
    if needs is None:
        raise MalformedError(f"operation {number}: op is one of {', '.join(_NEEDS)}")
    missing = [name for name in needs if name not in member]
    if missing:
        raise MalformedError(f"operation {number}: {op} needs {' and '.join(missing)}", issue_code="required")
    path = _pointer(number, member["path"])
    start = _pointer(number, member["from"]) if "from" in needs else None
    if op == "move" and start is not None and path[: len(start)] == start and path != start:
        raise MalformedError(f"operation {number}: nothing moves into itself")
    return Operation(number, str(op), path, start, member.get("value"))


def _pointer(number: int, text: Any) -> Pointer:
    if not isinstance(text, str) or (text and text[0] != "/") or _ESCAPE.search(text):
        raise MalformedError(f"operation {number}: a path is a JSON Pointer, as /name/0/family (RFC 6901)")
    steps = text.split("/")[1:]
    if len(steps) > MAX_STEPS:
        raise MalformedError(f"operation {number}: a path has at most {MAX_STEPS} steps", issue_code="too-costly")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def _weight(value: Any) -> int:
    try:
        return len(dumps(value))
    except TypeError as error:  # deeper than anything that can be written
        raise _NoPlaceError("the patch nests deeper than any resource") from error


def _apply(root: Any, operation: Operation) -> Any:
    match operation.op:
        case "test":
            if not same_value(_found(root, operation.path), operation.value):
                raise _NoPlaceError("the value is another one")
            return root
        case "remove":
            return _removed(root, operation.path)
        case "replace":
            _found(root, operation.path)
            return _put(root, operation.path, deepcopy(operation.value), over=True)
        case "add":
            return _put(root, operation.path, deepcopy(operation.value))
    assert operation.start is not None
    value = _found(root, operation.start)
    if operation.op == "copy":
        return _put(root, operation.path, deepcopy(value))
    return root if operation.start == operation.path else _put(_removed(root, operation.start), operation.path, value)


def _found(root: Any, path: Pointer) -> Any:
    node = root
    for step in path:
        if isinstance(node, list):
            node = node[_index(step, len(node) - 1)]
        elif isinstance(node, dict) and step in node:
            node = node[step]
        else:
            raise _NoPlaceError(f"there is no {step[:60]!r}")
    return node


def _removed(root: Any, path: Pointer) -> Any:
    if not path:
        raise _NoPlaceError("the whole resource is not removed by a patch")
    parent = _found(root, path[:-1])
    if isinstance(parent, list):
        del parent[_index(path[-1], len(parent) - 1)]
    elif isinstance(parent, dict) and path[-1] in parent:
        del parent[path[-1]]
    else:
        raise _NoPlaceError(f"there is no {path[-1][:60]!r}")
    return root


def _put(root: Any, path: Pointer, value: Any, *, over: bool = False) -> Any:
    if not path:
        return value
    parent, last = _found(root, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif not isinstance(parent, list):
        raise _NoPlaceError("what is above holds nothing")
    elif over:
        parent[_index(last, len(parent) - 1)] = value
    else:
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    return root


def _index(step: str, highest: int) -> int:
    if not _INDEX.fullmatch(step) or int(step) > highest:
        raise _NoPlaceError(f"the array has no place {step[:20]!r}")
    return int(step)


def same_value(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal (RFC 6902 4.6): numbers by value, objects whatever their order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if _is_number(one) and _is_number(other):
        return bool(one == other)
    return type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
