"""search: GET [base]/[type]?… and POST [base]/[type]/_search — https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from dataclasses import replace

from interop.access import bound_to_patient, decide
from interop.errors import ForbiddenError, Issue
from interop.fhir.compartments import within_compartment
from interop.fhir.parameters import parameters
from interop.fhir.query import Clause, Query, ReferenceValue
from interop.fhir.search import parse_query
from interop.fhir_api import trail
from interop.fhir_api.binaries import decided
from interop.fhir_api.bundles import search_bundle
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.store import Page, Stored, Tx

_SILENT = ("_format", "_pretty")

Params = list[tuple[str, str]]


def search(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """A searchset Bundle; one audit event for each patient among what it holds."""
    query = parse_query(
        call.type, call.params, around.site.zone, base_url=around.base_url, now=tx.now, lenient=call.lenient
    )
    left_out = {(each.name, each.value) for each in query.ignored}
    params = [param for param in call.params if param[0] not in _SILENT and param not in left_out]
    if call.compartment:
        query = held(tx, query, call.compartment)
    query, added = permitted(tx, query)
    page = tx.search(query)
    page, issues = _readable(tx, page)
    progress = tx.index_progress()
    if progress is not None and not progress.complete:
        text = f"the search index is being made anew ({progress.done} of {progress.last}): something may be missing"
        issues.append(Issue("incomplete", text, severity="warning"))
    issues = [
        *(Issue("not-supported", f"{each.name}: {each.why}", severity="warning") for each in query.ignored),
        *issues,
    ]
    trail.done_about(tx, call, [*page.rows, *page.included])
    params = [(name, str(query.count) if name == "_count" else value) for name, value in [*params, *added]]
    path = f"{call.compartment}/{call.type}" if call.compartment else call.type
    return Answer(200, search_bundle(around.base_url, path, params, page, issues))


def held(tx: Tx, query: Query, compartment: str) -> Query:
    """The search within the compartment (``Patient/x``); ForbiddenError for a token that is another patient's."""
    kind, _, id = compartment.partition("/")
    decide(tx.agent, "s", query.type, patient=compartment)
    return within_compartment(query, kind, id)


def permitted(tx: Tx, query: Query) -> tuple[Query, Params]:
    """The search as far as the agent may: held to the one patient whom the token is for; 403 if it asks for another.

    What chains and _has look into is held in the same way, or they would tell of others. Beside it the parameters that
    say so in the answer's own link.
    """
    clauses = tuple(_permitted_clause(tx, query.type, clause) for clause in query.clauses)
    query = replace(query, clauses=clauses)
    if bound_to_patient(tx.agent, "s", query.type):
        return _held_to_patient(tx, query)
    decide(tx.agent, "s", query.type)
    return query, []


def _permitted_clause(tx: Tx, type: str, clause: Clause) -> Clause:
    if clause.kind in ("either", "neither"):  # of the same type, whose chains may lead away from it
        within = (
            replace(inner, clauses=tuple(_permitted_clause(tx, type, each) for each in inner.clauses))
            for inner in clause.within
        )
        return replace(clause, within=tuple(within))
    if not clause.within:
        return clause
    return replace(clause, within=tuple(permitted(tx, inner)[0] for inner in clause.within))


def _held_to_patient(tx: Tx, query: Query) -> tuple[Query, Params]:
    own = tx.agent.patient or ""
    name, kind = ("_id", "id") if query.type == "Patient" else ("patient", "reference")
    if name == "patient" and "patient" not in parameters(query.type):
        decide(tx.agent, "s", query.type)
        return query, []
    for clause in query.clauses:
        if clause.param == name and clause.kind == kind:
            for value in clause.values:
                asked = value.id if isinstance(value, ReferenceValue) else str(value)
                decide(tx.agent, "s", query.type, patient=f"Patient/{asked}")
    decide(tx.agent, "s", query.type, patient=f"Patient/{own}")
    if any(clause.param == name and clause.kind == kind for clause in query.clauses):
        return query, []
    held = Clause(name, kind, (own if kind == "id" else ReferenceValue("Patient", own),))
    return replace(query, clauses=(*query.clauses, held)), [(name, own)]


def _readable(tx: Tx, page: Page) -> tuple[Page, list[Issue]]:
    """The page with those of its includes that the agent may read, and what is to be said of the others."""
    kept = [stored for stored in page.included if _may_read(tx, stored)]
    issues = []
    if len(kept) < len(page.included):
        text = f"{len(page.included) - len(kept)} more would be included, which this token may not read"
        issues.append(Issue("suppressed", text, severity="warning"))
    if page.left_out:
        text = "more would be included than a page brings with it, so some are left out; ask for a smaller _count"
        issues.append(Issue("too-costly", text, severity="warning"))
    return replace(page, included=kept), issues


def _may_read(tx: Tx, stored: Stored) -> bool:
    try:
        decided(tx, "r", stored)
    except ForbiddenError:
        return False
    return True
