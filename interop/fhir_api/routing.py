"""Which interaction a method and a path ask for (R4 http.html#summary); the same for HTTP and for Bundle entries.

The table of forms is crossed with ``profiles/accepted.toml``: what a type does not list is not offered, and the
CapabilityStatement is made of the same two.
"""

from __future__ import annotations

from dataclasses import dataclass

from interop.errors import ForbiddenError, InvalidContentError, NotFoundError, UnsupportedError
from interop.fhir.definitions import resource_types
from interop.fhir.primitives import valid_id
from interop.fhir.profile import accepted_types

# Form of the path below the base, then method -> interaction.
FORMS: dict[str, dict[str, str]] = {
    "": {"POST": "bundle"},
    "metadata": {"GET": "capabilities"},
    "type": {"GET": "search-type", "POST": "create"},
    "type/_search": {"POST": "search-type"},
    "type/_history": {"GET": "history-type"},
    "type/id": {"GET": "read", "PUT": "update", "DELETE": "delete"},
    "type/id/_history": {"GET": "history-instance"},
    "type/id/_history/version": {"GET": "vread"},
}
_WRITES = ("create", "update", "delete")


class MethodNotOfferedError(UnsupportedError):
    """The path exists, but not with this method."""

    status = 405

    def __init__(self, text: str, allow: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.allow = allow


@dataclass(frozen=True, slots=True)
class Target:
    """An interaction and what it is about."""

    interaction: str
    type: str = ""
    id: str = ""
    version: str = ""


def segments_of(path: str) -> tuple[str, ...]:
    """The parts of a path; a slash at the end changes nothing."""
    return tuple(path.strip("/").split("/")) if path.strip("/") else ()


def resolve(method: str, segments: tuple[str, ...]) -> Target:
    """The interaction; NotFoundError, MethodNotOfferedError or ForbiddenError where there is none."""
    form = _form(segments)
    offered = FORMS[form]
    interaction = offered.get("GET" if method == "HEAD" else method)
    type = segments[0] if form not in ("", "metadata") else ""
    accepted = accepted_types().get(type)
    does = {m: i for m, i in offered.items() if accepted is None or i in accepted.interactions}
    if interaction is None or interaction not in does.values():
        if interaction in _WRITES:
            raise ForbiddenError(f"{type} resources are made by this server; clients only read them")
        what = f"{type} resources" if type else "this address"
        raise MethodNotOfferedError(f"{method[:20]} is not offered for {what}", tuple(does))
    id = segments[1] if form.startswith("type/id") else ""
    if id and not valid_id(id):
        raise InvalidContentError("an id has 1 to 64 letters, digits, - and .", status=400, issue_code="value")
    return Target(interaction, type, id, segments[3] if len(segments) == 4 else "")


def _form(segments: tuple[str, ...]) -> str:
    if not segments:
        return ""
    if segments == ("metadata",):
        return "metadata"
    _require_type(segments[0])
    operation = next((segment for segment in segments if segment.startswith("$")), None)
    if operation is not None:
        raise NotFoundError(f"the operation {operation[:40]} is not offered", issue_code="not-supported")
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
    raise NotFoundError("nothing has this address", issue_code="not-found")


def _require_type(type: str) -> None:
    if type in accepted_types():
        return
    if type in resource_types():
        served = ", ".join(accepted_types())
        raise NotFoundError(f"{type} is not served here; served are {served}", issue_code="not-supported")
    raise NotFoundError(f"{type[:60]!r} is no resource type of FHIR R4", issue_code="not-supported")
