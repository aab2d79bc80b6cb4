"""docs/reference/search-parameters.md, written from the compiled parameters that searches and the index use."""

from __future__ import annotations

from interop.fhir.clauses import APART, modifiers
from interop.fhir.parameters import Parameter, parameters
from interop.fhir.profile import accepted_types
from interop.fhir.search import sortable

_INTRODUCTION = """\
# FHIR: the parameters of a search

Written by `interop.fhir.search_page.as_markdown()` from the parameters that searches and the index are made of
(`make pages` writes it anew). What the kinds and modifiers mean is in [search.md](search.md). Every type has `_id` and
`_lastUpdated` besides.
"""


def as_markdown() -> str:
    """The page."""
    return _INTRODUCTION + "".join(_section(type) for type in accepted_types())


def _section(type: str) -> str:
    rows = "".join(_row(type, parameter) for parameter in parameters(type).values())
    if type == APART:
        rows += _about_audit_events()
    refused = "".join(f"\nNot offered: `{code}`: {why}.\n" for code, why in accepted_types()[type].without.items())
    return f"\n## {type}\n\n| parameter | kind | modifiers | elements |\n|---|---|---|---|\n{rows}{refused}"


def _about_audit_events() -> str:
    return f"\nSorted by {', '.join(f'`{name}`' for name in sortable(APART))}; no chains, no includes.\n"


def _row(type: str, parameter: Parameter) -> str:
    targets = f" to {', '.join(parameter.targets)}" if parameter.targets and len(parameter.targets) < 9 else ""
    named = [modifier for modifier in modifiers(type, parameter) if modifier[0].islower()]
    if parameter.type == "reference" and not parameter.only:
        named.append("[type]")
    offered = " ".join(f"`:{modifier}`" for modifier in named)
    where = "components" if parameter.type == "composite" else ", ".join(f"`{path}`" for path in parameter.paths)
    return f"| `{parameter.code}` | {parameter.type}{targets} | {offered} | {where} |\n"
