"""What an operation is: where it may be called, and the function that carries it out in a unit of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interop.errors import InvalidContentError, MalformedError
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.store import Tx

Perform = Callable[[Tx, Surroundings, Call], Answer]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. ``types`` None: of every served type; ``levels`` among ``system``, ``type`` and ``instance``."""

    name: str
    definition: str  # canonical URL of its OperationDefinition
    levels: frozenset[str]
    perform: Perform
    types: frozenset[str] | None = None
    methods: frozenset[str] = frozenset(("POST",))  # GET too where it changes nothing and takes simple values only
    gives: str = "Bundle"  # the type of resource that it answers with
    takes: tuple[str, ...] = ()  # the simple values that GET takes in the address
    searches: bool = False  # whether it takes the type's search parameters, too

    def offered(self, level: str, type: str) -> bool:
        """Whether it may be called there."""
        return level in self.levels and (level == "system" or self.of(type))

    def input(self, level: str) -> tuple[str, ...]:
        """The names of the values in the address; what is said of one resource already needs none of a type's."""
        return () if level == "instance" and "type" in self.levels else self.takes

    def of(self, type: str) -> bool:
        """Whether it is for this type."""
        return self.types is None or type in self.types


def arguments(call: Call) -> dict[str, list[Any]]:
    """The input by parameter name: of the query, or of a Parameters body (R4 parameters.html)."""
    if call.problem is not None:
        raise call.problem
    found: dict[str, list[Any]] = {}
    for name, value in call.params:
        found.setdefault(name, []).append(value)
    body = call.resource
    if body is None or body.get("resourceType") != "Parameters":
        return found
    rows = body.get("parameter", [])
    if not isinstance(rows, list):
        raise MalformedError("parameter is an array", expression="Parameters.parameter", issue_code="structure")
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise InvalidContentError(
                "a parameter has a name", expression=f"Parameters.parameter[{index}]", issue_code="required", status=400
            )
        found.setdefault(row["name"], []).append(_value_of(row))
    return found


def _value_of(row: dict[str, Any]) -> Any:
    if "resource" in row:
        return row["resource"]
    return next((value for key, value in row.items() if key.startswith("value")), row.get("part"))


def one(given: dict[str, list[Any]], name: str) -> Any:
    """The one value of a parameter, None if it is not given; 400 if it is given more than once."""
    values = given.get(name, [])
    if len(values) > 1:
        raise InvalidContentError(f"{name} is given once", status=400, issue_code="invalid")
    return values[0] if values else None


def only(given: dict[str, list[Any]], *names: str) -> None:
    """400 for a parameter that the operation does not have, naming those it has."""
    for name in given:
        if name not in (*names, "_format", "_pretty"):
            raise InvalidContentError(
                f"{name[:40]} is no parameter of this operation; it has {', '.join(names) or 'none'}",
                status=400,
                issue_code="not-supported",
            )
