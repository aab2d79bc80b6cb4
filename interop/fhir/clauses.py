"""One parameter of a query string as a clause: its modifiers, chains and ``_has`` (R4 search.html)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from interop.errors import UnsupportedError
from interop.fhir.definitions import resource_types
from interop.fhir.folding import indexed
from interop.fhir.parameters import Parameter, parameters
from interop.fhir.profile import accepted_types, own_value_sets
from interop.fhir.query import Clause, Query, ReferenceValue, TokenValue, Value
from interop.fhir.search_values import (
    Around,
    date,
    folded,
    plain_token,
    reference,
    split,
    token,
    typed_identifier,
    unescaped,
    value_of,
    wrong,
)

MAX_VALUES = 200  # alternatives in one clause
MAX_LINKS = 4  # of a chain, _has counted too
KINDS = {"uri": "token", "quantity": "number", "number": "number", "special": "position"}
APART = "AuditEvent"  # kept in a table of its own, which chains do not reach
# What R4 defines and this server does not offer, with the reason that a client is told.
NOT_OFFERED = {
    "_text": "the narrative is not indexed",
    "_content": "there is no full text index",
    "_query": "there are no named queries",
    "_list": "List is not served here",
    "_type": "a search is of one type",
    "_contained": "contained resources are not searched by themselves",
    "_containedType": "contained resources are not searched by themselves",
}
_MODIFIERS = {
    "string": ("exact", "contains", "missing"),
    "token": ("not", "text", "in", "not-in", "of-type", "missing"),
    "reference": ("identifier", "missing"),
    "uri": ("above", "below", "missing"),
    "date": ("missing",),
    "quantity": ("missing",),
}


def known_parameters(type: str) -> tuple[str, ...]:
    """The names of all parameters that a search of the type takes."""
    return ("_id", "_lastUpdated", *parameters(type))


def clause_of(type: str, name: str, text: str, around: Around, links: int = 0) -> Clause:
    """The clause; UnsupportedError (400) for what is not understood or not offered, naming what is."""
    if "\0" in text:
        raise wrong("a parameter holds U+0000")
    if name.startswith("_has:"):
        return _reverse_chain(type, name, text, around, links)
    head, dot, rest = name.partition(".")
    if dot:
        return _chain(type, head, rest, text, around, links)
    code, _, modifier = name.partition(":")
    values = [value for value in split(text, ",") if value]
    if not values or len(values) > MAX_VALUES:
        raise wrong(f"{name[:60]}: between 1 and {MAX_VALUES} values are needed")
    if code in ("_id", "_lastUpdated"):
        if modifier:
            raise _no_modifier(code, modifier, ())
        if code == "_id":
            return Clause("_id", "id", tuple(map(unescaped, values)))
        return Clause("_lastUpdated", "last-updated", tuple(date(code, value, around) for value in values))
    parameter = parameter_named(type, code)
    if modifier:
        return modified_clause(type, parameter, modifier, values, around)
    kind = KINDS.get(parameter.type, parameter.type)
    if parameter.computed:
        return computed_clause(parameter, values)
    return Clause(code, kind, tuple(value_of(parameter, value, around) for value in values))


def parameter_named(type: str, code: str) -> Parameter:
    """The parameter of the type; UnsupportedError (400) that names those there are."""
    parameter = parameters(type).get(code)
    if parameter is not None:
        return parameter
    without = accepted_types()[type].without
    why = NOT_OFFERED.get(code) or without.get(code)
    if why:
        raise UnsupportedError(f"{code} is not offered: {why}")
    known = ", ".join((*known_parameters(type), "_has", *(("_filter",) if type != APART else ())))
    raise UnsupportedError(f"{type} has no search parameter {code[:60]!r}; known are: {known}")


def computed_clause(parameter: Parameter, values: list[str], modifier: str = "") -> Clause:
    """Only what is true has a row; whatever has none is false."""
    if not set(values) <= {"true", "false"}:
        raise wrong(f"{parameter.code} is true or false")
    true = Clause(parameter.code, "token", (TokenValue(None, "true"),))
    wanted = set(values) if modifier != "not" else {"true", "false"} - set(values)
    if wanted == {"true"}:
        return true
    false = Clause(parameter.code, "token", true.values, "not")
    return false if wanted == {"false"} else Clause("", "either", within=_each((true, false) if wanted else ()))


def _each(clauses: Iterable[Clause]) -> tuple[Query, ...]:
    return tuple(Query("", (clause,)) for clause in clauses)


def modified_clause(type: str, parameter: Parameter, modifier: str, values: list[str], around: Around) -> Clause:
    """R4 search.html#modifiers"""
    code = parameter.code
    offered = modifiers(type, parameter)
    if modifier not in offered:
        raise _no_modifier(code, modifier, offered)
    read = _READ.get(modifier)
    if read is not None:
        return Clause(code, read[0], tuple(read[1](code, value) for value in values), modifier)
    match modifier:
        case "missing":
            if values not in (["true"], ["false"]):
                raise wrong(f"{code}:missing is true or false")
            return Clause(code, "missing", (values[0],))
        case "text":
            return Clause(f"{code}:text", "string", tuple(folded(code, value) for value in values))
        case "identifier":
            named = code if type == APART else f"{code}:identifier"  # audit rows have no such index
            return Clause(named, "token", tuple(plain_token(code, value) for value in values))
        case "above":
            return Clause(code, "token", tuple(TokenValue(None, each) for value in values for each in _above(value)))
        case "of-type":
            return Clause(code, "token", tuple(typed_identifier(code, value) for value in values), "of-type")
    return _of_codes(parameter, modifier, values) or _of_target(parameter, modifier, values, around)


def _of_codes(parameter: Parameter, modifier: str, values: list[str]) -> Clause | None:
    if modifier == "not":
        if parameter.computed:
            return computed_clause(parameter, values, "not")
        return Clause(parameter.code, "token", tuple(token(parameter, value) for value in values), "not")
    if modifier in ("in", "not-in"):
        members = tuple(each for value in values for each in _members(parameter, unescaped(value)))
        return Clause(parameter.code, "token", members, "not" if modifier == "not-in" else "")
    return None


def _of_target(parameter: Parameter, kind: str, values: list[str], around: Around) -> Clause:
    """``subject:Patient``"""
    typed: list[Value] = []
    for value in values:
        target = reference(parameter.code, (kind,), value, around)
        if target.type not in (None, kind):
            raise wrong(f"{parameter.code}:{kind} cannot be a {target.type}")
        typed.append(ReferenceValue(kind, target.id))
    return Clause(parameter.code, "reference", tuple(typed))


def modifiers(type: str, parameter: Parameter) -> tuple[str, ...]:
    """The modifiers that the parameter takes; of a reference the types of its targets too."""
    if type == APART:
        return ("identifier", *_types_of(parameter)) if parameter.type == "reference" else ()
    offered = _MODIFIERS.get(parameter.type, ())
    if parameter.type == "reference":
        return (*offered, *_types_of(parameter))
    if parameter.type != "token":
        return offered
    without: set[str] = set()
    if parameter.computed:
        without |= {"missing", "text", "in", "not-in"}
    if not {"Coding", "CodeableConcept", "Identifier"} & set(parameter.datatypes):
        without.add("text")
    if "Identifier" not in parameter.datatypes:
        without.add("of-type")
    return tuple(modifier for modifier in offered if modifier not in without)


def _types_of(parameter: Parameter) -> tuple[str, ...]:
    return parameter.targets or tuple(sorted(resource_types()))


def _no_modifier(code: str, modifier: str, offered: tuple[str, ...]) -> UnsupportedError:
    listed = f"only :{', :'.join(offered[:14])}" if offered else "none"
    why = ""
    if modifier in ("above", "below"):
        why = " (hierarchies of codes or of resources are not known here)"
    return UnsupportedError(f"{code} has no modifier {modifier[:60]!r}{why}; it takes {listed}")


def _members(parameter: Parameter, value_set: str) -> list[TokenValue]:
    codes = own_value_sets().get(value_set)
    if codes is None:
        ours = ", ".join(own_value_sets())
        raise UnsupportedError(f"{parameter.code}:in knows only the value sets of this server: {ours}")
    plain = set(parameter.datatypes) <= {"code", "string", "boolean", "uri"}  # these have no system in the index
    return [TokenValue(None if plain else system, code) for system, each in codes.items() for code in sorted(each)]


_READ: dict[str, tuple[str, Callable[[str, str], Value]]] = {
    "exact": ("string", lambda _, text: indexed(unescaped(text))),
    "contains": ("string", folded),
    "below": ("token", lambda code, text: TokenValue(None, _url(code, unescaped(text)))),
}


def _url(code: str, text: str) -> str:
    if text.startswith("urn:"):
        raise wrong(f"{code}: a urn has nothing above or below it")
    return text.rstrip("/") or text


def _above(value: str) -> list[str]:
    """The URL and each that it lies below, with a slash at its end and without."""
    text = _url("uri", unescaped(value))
    scheme, mark, path = text.partition("://")
    parts = (path if mark else text).split("/")
    start = f"{scheme}://" if mark else ""
    each = [start + "/".join(parts[:n]) for n in range(1, len(parts) + 1)][-MAX_VALUES:]
    return [form for url in each for form in (url, url + "/")]


# chains


def _chain(type: str, head: str, rest: str, text: str, around: Around, links: int) -> Clause:
    """``subject:Patient.name``, ``patient.organization.name`` (R4 search.html#chaining)."""
    code, _, kind = head.partition(":")
    parameter = linking_parameter(type, code, links)
    possible = linked_types(type, parameter, kind)
    within, refusals = [], []
    for target in possible:
        try:
            within.append(Query(target, (clause_of(target, rest, text, around, links + 1),)))
        except UnsupportedError as error:
            refusals.append(error)
    if not within:
        raise refusals[0]
    return Clause(code, "chain", within=tuple(within))


def linking_parameter(type: str, code: str, links: int) -> Parameter:
    """The reference that a chain goes on along; UnsupportedError (400) where it is none, or the chain is too long."""
    if links >= MAX_LINKS:
        raise UnsupportedError(f"a chain has at most {MAX_LINKS} links", issue_code="too-costly")
    parameter = parameter_named(type, code)
    if parameter.type != "reference":
        raise UnsupportedError(f"{code} is no reference: nothing can be chained to it")
    if type == APART:
        raise UnsupportedError("chains do not lead out of an AuditEvent; search what it names, then its id")
    return parameter


def linked_types(type: str, parameter: Parameter, kind: str) -> list[str]:
    """The served types that the reference may lead to, only ``kind`` if that is named."""
    served = accepted_types()
    named = (kind,) if kind else _types_of(parameter)
    if kind and kind not in _types_of(parameter):
        raise UnsupportedError(
            f"{parameter.code} never refers to a {kind[:60]}; {', '.join(_types_of(parameter)[:12])}"
        )
    possible = [target for target in named if target in served and target != APART]
    if not possible:
        raise UnsupportedError(f"no {kind or parameter.code} is served here that {type} could refer to")
    if not kind and not parameter.targets:
        raise UnsupportedError(f"{parameter.code} may refer to any type: name it, as in {parameter.code}:Patient.name")
    return possible


def _reverse_chain(type: str, name: str, text: str, around: Around, links: int) -> Clause:
    """``_has:Observation:patient:code``, the last part maybe another ``_has`` (R4 search.html#has)."""
    parts = name.split(":", 3)
    if len(parts) < 4 or not all(parts[1:]):
        raise wrong("_has is written _has:Type:reference:parameter, as in _has:Observation:patient:code")
    _, source, code, rest = parts
    if source not in accepted_types():
        raise UnsupportedError(f"{source[:60]!r} is not served here: _has cannot ask for it")
    if source == APART:
        raise UnsupportedError("_has does not reach AuditEvents; they have a search of their own")
    parameter = linking_parameter(source, code, links)
    if type not in _types_of(parameter):
        raise UnsupportedError(f"{source}.{code} never refers to a {type}")
    return Clause(code, "has", within=(Query(source, (clause_of(source, rest, text, around, links + 1),)),))
