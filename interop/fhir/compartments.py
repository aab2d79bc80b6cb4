"""Searches within a compartment (R4 compartmentdefinition.html): all that is about one patient."""

from __future__ import annotations

from dataclasses import replace

from interop.errors import NotFoundError
from interop.fhir.definitions import compartment_definitions
from interop.fhir.parameters import parameters
from interop.fhir.query import Clause, Query, ReferenceValue


def compartment_parameters(compartment: str, type: str) -> tuple[str, ...]:
    """The parameters that put a resource of the type into the compartment; none where it is never in it."""
    named = compartment_definitions().get(compartment, {}).get(type, ())
    return tuple(code for code in named if code in parameters(type))


def within_compartment(query: Query, compartment: str, id: str) -> Query:
    """The search, held to the compartment of this resource; NotFoundError (404) where its type is never in one."""
    codes = compartment_parameters(compartment, query.type)
    if not codes and query.type != compartment:
        raise NotFoundError(f"no {query.type} is in the compartment of a {compartment}", issue_code="not-supported")
    target = ReferenceValue(compartment, id)
    ways = [Clause(code, "reference", (target,)) for code in codes]
    if query.type == compartment:
        ways.append(Clause("_id", "id", (id,)))
    held = ways[0] if len(ways) == 1 else Clause("", "either", within=tuple(Query("", (way,)) for way in ways))
    return replace(query, clauses=(*query.clauses, held))
