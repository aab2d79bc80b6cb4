"""Which interaction a method and a path ask for (R4 http.html#summary); the same for HTTP and for Bundle entries.

The table of forms is crossed with ``profiles/accepted.toml``: what a type does not list is not offered, and the
CapabilityStatement is made of the same two.
"""

from __future__ import annotations

from dataclasses import dataclass

from interop.errors import ForbiddenError, InvalidContentError, MethodNotOfferedError, NotFoundError
from interop.fhir.definitions import resource_types
from interop.fhir.primitives import valid_id
from interop.fhir.profile import CONFORMANCE_TYPES, accepted_types
from interop.fhir_api.operations import OPERATIONS

# Form of the path below the base, then method -> interaction.
FORMS: dict[str, dict[str, str]] = {
    "": {"POST": "bundle"},
    "_history": {"GET": "history-system"},
    "metadata": {"GET": "capabilities"},
    "type": {"GET": "search-type", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"},
    "type/_search": {"POST": "search-type"},
    "type/_history": {"GET": "history-type"},
    "type/id": {"GET": "read", "PUT": "update", "PATCH": "patch", "DELETE": "delete"},
    "type/id/_history": {"GET": "history-instance"},
    "type/id/_history/version": {"GET": "vread"},
    "compartment": {"GET": "search-type"},
    "compartment/_search": {"POST": "search-type"},
    "compartment/*": {"GET": "search-system"},
    "compartment/*/_search": {"POST": "search-system"},
}
_DEFINED = frozenset(("read", "search-type"))  # of a conformance resource: it is part of the software
_WRITES = ("create", "update", "patch", "delete")
COMPARTMENTS = ("Patient",)


@dataclass(frozen=True, slots=True)
class Target:
    """An interaction and what it is about."""

    interaction: str
    type: str = ""
    id: str = ""
    version: str = ""
    operation: str = ""
    compartment: str = ""  # Patient/x


def segments_of(path: str) -> tuple[str, ...]:
    """The parts of a path; a slash at the end changes nothing."""
    return tuple(path.strip("/").split("/")) if path.strip("/") else ()


def resolve(method: str, segments: tuple[str, ...]) -> Target:
    """The interaction; NotFoundError, MethodNotOfferedError or ForbiddenError where there is none."""
    if segments and segments[-1].startswith("$"):
        return _operation(method, segments)
    form = _form(segments)
    if form.startswith("compartment"):
        return _in_compartment(method, form, segments)
    offered = FORMS[form]
    interaction = offered.get("GET" if method == "HEAD" else method)
    type = segments[0] if form.startswith("type") else ""
    does = {m: i for m, i in offered.items() if not type or i in interactions(type)}
    if interaction is None or interaction not in does.values():
        if interaction in _WRITES:
            raise ForbiddenError(f"{type} resources are made by this server; clients only read them")
        what = f"{type} resources" if type else "this address"
        raise MethodNotOfferedError(f"{method[:20]} is not offered for {what}", tuple(does))
    id = segments[1] if form.startswith("type/id") else ""
    if id:
        _require_id(id)
    return Target(interaction, type, id, segments[3] if len(segments) == 4 else "")


def _in_compartment(method: str, form: str, segments: tuple[str, ...]) -> Target:
    """A search within the compartment of a resource; NotFoundError (404) where there is no such compartment."""
    kind, id, type = segments[:3]
    if kind not in COMPARTMENTS:
        raise NotFoundError(f"compartments are those of a {' or '.join(COMPARTMENTS)}", issue_code="not-supported")
    if type != "*":
        _require_type(type)
    _require_id(id)
    interaction = FORMS[form].get("GET" if method == "HEAD" else method)
    if interaction is None:
        raise MethodNotOfferedError(f"{method[:20]} is not offered for a compartment", tuple(FORMS[form]))
    return Target(interaction, "" if type == "*" else type, compartment=f"{kind}/{id}")


def _require_id(id: str) -> None:
    if not valid_id(id):
        raise InvalidContentError("an id has 1 to 64 letters, digits, - and .", status=400, issue_code="value")


def interactions(type: str) -> frozenset[str]:
    """What is offered with a type."""
    return _DEFINED if type in CONFORMANCE_TYPES else accepted_types()[type].interactions


def _operation(method: str, segments: tuple[str, ...]) -> Target:
    """The operation at the end of a path; NotFoundError where it is not offered, 405 for a method it does not take."""
    *place, last = segments
    if place:
        _require_type(place[0])
    type = place[0] if place else ""
    operation = OPERATIONS.get(last[1:])
    level = ("system", "type", "instance")[len(place)] if len(place) < 3 else ""
    if operation is None or type in CONFORMANCE_TYPES or not operation.offered(level, type):
        offered = ", ".join(f"${name}" for name, one in OPERATIONS.items() if one.offered(level, type))
        raise NotFoundError(
            f"{last[:40]} is not offered here; offered {'are ' + offered if offered else 'is none'}",
            issue_code="not-supported",
        )
    if method not in operation.methods:
        raise MethodNotOfferedError(f"{method[:20]} is not offered for {last}", tuple(sorted(operation.methods)))
    id = place[1] if level == "instance" else ""
    if id:
        _require_id(id)
    return Target("operation", type, id, operation=operation.name)


def _form(segments: tuple[str, ...]) -> str:
    if not segments:
        return ""
    if segments in (("metadata",), ("_history",)):
        return segments[0]
    _require_type(segments[0])
    match segments[1:]:
        case ():
            return "type"
        case ("_search",):
            return "type/_search"
        case ("_history",):
            return "type/_history"
        case (_,):
            return "type/id"
        case (_, "_history"):
            return "type/id/_history"
        case (_, "_history", _):
            return "type/id/_history/version"
        case (_, other, *rest) if (other == "*" or other[:1].isupper()) and rest in ([], ["_search"]):
            return "/".join(["compartment", *(["*"] if other == "*" else []), *rest])
    raise NotFoundError("nothing has this address", issue_code="not-found")


def _require_type(type: str) -> None:
    if type in accepted_types() or type in CONFORMANCE_TYPES:
        return
    if type in resource_types():
        served = ", ".join(accepted_types())
        raise NotFoundError(f"{type} is not served here; served are {served}", issue_code="not-supported")
    raise NotFoundError(f"{type[:60]!r} is no resource type of FHIR R4", issue_code="not-supported")
