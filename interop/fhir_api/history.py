"""history: GET [base]/[type]/[id]/_history, GET [base]/[type]/_history — https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

from interop.access import decide
from interop.errors import NotFoundError, UnsupportedError
from interop.fhir.search import MAX_COUNT
from interop.fhir_api import trail
from interop.fhir_api.bundles import history_bundle
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.store import Page, Tx


def history_instance(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """The versions of one resource, the newest first, its deletions among them."""
    page = _page(tx, call)
    patient = next(filter(None, map(trail.patient_in, page.rows)), None)
    decide(tx.agent, "r", call.type, patient=patient)
    if not page.rows and tx.read(call.type, call.id) is None:
        raise NotFoundError(f"there is no {call.type}/{call.id}")
    trail.done(tx, call, patient=patient, entity=f"{call.type}/{call.id}")
    return Answer(200, history_bundle(around.base_url, f"{call.type}/{call.id}/_history", call.params, page))


def history_type(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """The versions of all resources of a type, the newest first; for whoever may search all of them."""
    decide(tx.agent, "s", call.type)
    decide(tx.agent, "r", call.type)
    page = _page(tx, call)
    trail.done_about(tx, call, page.rows)
    return Answer(200, history_bundle(around.base_url, f"{call.type}/_history", call.params, page))


def _page(tx: Tx, call: Call) -> Page:
    count, after = 50, None
    for name, value in call.params:
        if name == "_count" and value.isascii() and value.isdigit() and int(value[:9]) > 0:
            count = min(int(value[:9]), MAX_COUNT)
        elif name == "_cursor" and value:
            after = value
        elif name not in ("_format", "_pretty"):
            raise UnsupportedError(f"a history takes _count and _cursor, not {name[:40]}={value[:40]!r}")
    return tx.history(call.type, call.id or None, count=count, after=after)
