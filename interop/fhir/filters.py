"""A ``_filter`` as clauses of a search (R4 search_filter.html): what the parameters of a type can be asked, and how.

A test is about the set of a parameter's values, and holds if one of them is as the operator says: ``ne`` finds what has
another value, too, and nothing that has none. ``not (… eq …)`` is what has no such value.
"""

from __future__ import annotations

from dataclasses import replace

from interop.errors import UnsupportedError
from interop.fhir.clauses import (
    APART,
    KINDS,
    clause_of,
    computed_clause,
    linked_types,
    linking_parameter,
    modified_clause,
    parameter_named,
)
from interop.fhir.filter_grammar import Comparison, Node, located, parse_filter
from interop.fhir.parameters import Parameter
from interop.fhir.query import Clause, DateValue, Query
from interop.fhir.search_values import Around, date, folded, number, value_of, wrong

_ORDERED = ("eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb")
OFFERED = {  # operators by the type of a parameter; pr where it may be asked :missing
    "token": ("eq", "ne", "pr", "in"),
    "string": ("eq", "ne", "co", "sw", "ew", "pr"),
    "reference": ("eq", "ne", "re", "pr"),
    "uri": ("eq", "ne", "pr"),
    "date": (*_ORDERED, "po", "pr"),
    "quantity": (*_ORDERED, "pr"),
    "number": (*_ORDERED, "pr"),
    "composite": ("eq",),
    "special": ("eq",),
}
_OF_TEXT = {"eq": "equal", "ne": "unequal", "co": "contains", "sw": "", "ew": "ends"}
_WHY = {
    "ss": "hierarchies of codes are not known here",
    "sb": "hierarchies of codes are not known here",
}


def filter_clauses(type: str, text: str, around: Around) -> tuple[Clause, ...]:
    """The clauses, all of which must hold; UnsupportedError (400) that names the character for what is not offered."""
    if type == APART:
        raise UnsupportedError("_filter is not offered for AuditEvents; they have a search of their own")
    return _every(type, parse_filter(text), around)


def _every(type: str, node: Node, around: Around) -> tuple[Clause, ...]:
    if isinstance(node, Comparison):
        return (_tested(type, node, around),)
    if node.kind == "and":
        return tuple(clause for part in node.parts for clause in _every(type, part, around))
    within = tuple(Query("", _every(type, part, around)) for part in node.parts)
    return (Clause("", "either" if node.kind == "or" else "neither", within=within),)


def _tested(type: str, test: Comparison, around: Around) -> Clause:
    try:
        return _along(type, test.path, test, around, 0)
    except UnsupportedError as error:
        raise located(test.at, error) from error


def _along(type: str, path: tuple[str, ...], test: Comparison, around: Around, links: int) -> Clause:
    """The test at the end of the path, in each type that the path may lead to."""
    head, *rest = path
    if not rest:
        return _asked(type, head, test, around)
    parameter = linking_parameter(type, head, links)
    within: list[Query] = []
    refusals: list[UnsupportedError] = []
    for target in linked_types(type, parameter, ""):
        try:
            within.append(Query(target, (_along(target, tuple(rest), test, around, links + 1),)))
        except UnsupportedError as error:
            refusals.append(error)
    if not within:
        raise refusals[0]
    return Clause(head, "chain", within=tuple(within))


def _asked(type: str, code: str, test: Comparison, around: Around) -> Clause:
    if code == "_id":
        _require(code, test.operator, ("eq", "ne"))
        clause = Clause("_id", "id", (test.value,))
        return clause if test.operator == "eq" else Clause("", "neither", within=(Query("", (clause,)),))
    if code == "_lastUpdated":
        _require(code, test.operator, (*_ORDERED, "po"))
        return Clause("_lastUpdated", "last-updated", (_date(code, test, around),))
    parameter = parameter_named(type, code)
    _require(code, test.operator, OFFERED[parameter.type])
    if test.operator == "pr":
        if test.value not in ("true", "false"):
            raise wrong(f"{code} pr is followed by true or false")
        return modified_clause(type, parameter, "missing", ["false" if test.value == "true" else "true"], around)
    return _compared(type, parameter, test, around)


def _compared(type: str, parameter: Parameter, test: Comparison, around: Around) -> Clause:
    code, value = parameter.code, test.value
    if test.operator == "in":
        return modified_clause(type, parameter, "in", [value], around)
    if parameter.computed:
        return computed_clause(parameter, [value], "not" if test.operator == "ne" else "")
    match parameter.type:
        case "string":
            return Clause(code, "string", (folded(code, value),), _OF_TEXT[test.operator])
        case "date":
            return Clause(code, "date", (_date(code, test, around),))
        case "quantity" | "number":
            _plain(code, value)
            return Clause(code, "number", (number(code, test.operator + value),))
        case "composite" | "special":
            return clause_of(type, code, value.replace(",", "\\,"), around)
    kind = KINDS.get(parameter.type, parameter.type)
    return Clause(code, kind, (value_of(parameter, value, around),), "unequal" if test.operator == "ne" else "")


def _date(code: str, test: Comparison, around: Around) -> DateValue:
    _plain(code, test.value)
    if test.operator == "po":  # R4: the periods overlap, which is ap without its tenth
        return replace(date(code, test.value, around), prefix="ap")
    return date(code, test.operator + test.value, around)


def _plain(code: str, value: str) -> None:
    if value[:1].isalpha():
        raise wrong(f"{code}: in a filter the operator says how a value is compared, and it has no prefix")


def _require(code: str, operator: str, offered: tuple[str, ...]) -> None:
    if operator not in offered:
        why = f" ({_WHY[operator]})" if operator in _WHY else ""
        raise UnsupportedError(f"{code} is not asked by {operator}{why}; it is by {', '.join(offered)}")
