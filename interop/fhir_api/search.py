"""search: GET [base]/[type]?… and POST [base]/[type]/_search — https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from dataclasses import replace

from interop.access import bound_to_patient, decide
from interop.fhir.parameters import parameters
from interop.fhir.query import Clause, Query, ReferenceValue
from interop.fhir.search import parse_query
from interop.fhir_api import trail
from interop.fhir_api.bundles import search_bundle
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.store import Tx

_SILENT = ("_format", "_pretty")


def search(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """A searchset Bundle; one audit event for each patient among the matches."""
    query = parse_query(call.type, call.params, around.site.zone, base_url=around.base_url, now=tx.now)
    params = [param for param in call.params if param[0] not in _SILENT]
    if bound_to_patient(tx.agent, "s", call.type):
        query, params = _held_to_patient(tx, query, params)
    else:
        decide(tx.agent, "s", call.type)
    page = tx.search(query)
    trail.done_about(tx, call, page.rows)
    params = [(name, str(query.count) if name == "_count" else value) for name, value in params]
    return Answer(200, search_bundle(around.base_url, call.type, params, page))


def _held_to_patient(tx: Tx, query: Query, params: list[tuple[str, str]]) -> tuple[Query, list[tuple[str, str]]]:
    """The search within the one patient that the token is for; 403 if it asks for another."""
    own = tx.agent.patient or ""
    name, kind = ("_id", "id") if query.type == "Patient" else ("patient", "reference")
    if name == "patient" and "patient" not in parameters(query.type):
        decide(tx.agent, "s", query.type)
        return query, params
    for clause in query.clauses:
        if clause.param == name:
            for value in clause.values:
                asked = value.id if isinstance(value, ReferenceValue) else str(value)
                decide(tx.agent, "s", query.type, patient=f"Patient/{asked}")
    decide(tx.agent, "s", query.type, patient=f"Patient/{own}")
    if any(clause.param == name for clause in query.clauses):
        return query, params
    held = Clause(name, kind, (own if kind == "id" else ReferenceValue("Patient", own),))
    return replace(query, clauses=(*query.clauses, held)), [*params, (name, own)]
