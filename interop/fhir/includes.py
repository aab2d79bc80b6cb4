"""``_include`` and ``_revinclude`` from their text (R4 search.html#include)."""

from __future__ import annotations

from interop.errors import UnsupportedError
from interop.fhir.clauses import APART
from interop.fhir.parameters import parameters
from interop.fhir.profile import accepted_types
from interop.fhir.query import Include
from interop.fhir.search_values import wrong

_ITERATE = ("iterate", "recurse")  # R4's name, and that of STU3


def include_of(type: str, name: str, text: str) -> Include:
    """``Type:parameter``, ``Type:parameter:Target``, ``Type:*`` or ``*``; UnsupportedError (400) for anything else."""
    plain, _, modifier = name.partition(":")
    reverse, iterate = plain == "_revinclude", modifier in _ITERATE
    if modifier and not iterate:
        raise UnsupportedError(f"{plain} has no modifier {modifier[:60]!r}; it takes only :iterate")
    if APART in (type, text.partition(":")[0]):
        raise UnsupportedError(f"{plain} does not lead to AuditEvents or out of them; they have a search of their own")
    if text == "*":
        return Include("*", None, type if reverse else None, reverse, iterate)
    source, _, rest = text.partition(":")
    code, _, target = rest.partition(":")
    if not source or not code:
        raise wrong(f"{plain} is Type:parameter or Type:parameter:TargetType")
    _require_served(plain, source)
    if not (reverse or iterate) and source != type:
        raise UnsupportedError(
            f"_include starts at what was found, a {type}; use _include:iterate to go on from {source}"
        )
    if target:
        _require_served(plain, target)
    if code == "*":
        return Include(source, None, target or (type if reverse and not iterate else None), reverse, iterate)
    _require_reference(source, code, target)
    if reverse and not iterate:
        _require_reference(source, code, type)
    return Include(source, code, target or None, reverse, iterate)


def _require_reference(source: str, code: str, target: str) -> None:
    parameter = parameters(source).get(code)
    if parameter is None or parameter.type != "reference":
        known = ", ".join(each.code for each in parameters(source).values() if each.type == "reference")
        raise UnsupportedError(f"{source} has no reference {code[:60]!r} to include; it has {known}")
    if target and parameter.targets and target not in parameter.targets:
        raise UnsupportedError(f"{source}:{code} never refers to a {target}")


def _require_served(plain: str, type: str) -> None:
    if type not in accepted_types():
        raise UnsupportedError(f"{plain}: {type[:60]!r} is not served here")
