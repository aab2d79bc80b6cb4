"""history of a resource, of a type and of everything — https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from interop.access import decide
from interop.errors import NotFoundError, UnsupportedError
from interop.fhir.profile import accepted_types
from interop.fhir.search import MAX_COUNT
from interop.fhir.times import bounds
from interop.fhir_api import trail
from interop.fhir_api.binaries import require_all
from interop.fhir_api.bundles import history_bundle
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.negotiation import PRESENTATION, without_presentation
from interop.store import Page, Tx

_SILENT = ("_format", "_pretty")


def history_instance(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """The versions of one resource, the newest first, its deletions among them."""
    require_all(tx, call.type)
    decide_any(tx, call)
    asked = _asked(call, around.site.zone)
    page = tx.history(call.type, call.id, **asked.bounds())
    patients = set(map(trail.patient_in, page.rows)) - {None} or _patients_before(tx, call)
    for patient in patients or {None}:  # whose it once was counts too
        decide(tx.agent, "r", call.type, patient=patient)
    if not page.rows and tx.read(call.type, call.id) is None:
        raise NotFoundError(f"there is no {call.type}/{call.id}")
    for patient in patients or {None}:
        trail.done(tx, call, patient=patient, entity=f"{call.type}/{call.id}")
    return _answer(around, call, f"{call.type}/{call.id}/_history", page)


def history_type(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """The versions of all resources of a type, the newest first; for whoever may search all of them."""
    decide(tx.agent, "s", call.type)
    decide(tx.agent, "r", call.type)
    require_all(tx, call.type)
    page = tx.history(call.type, None, **_asked(call, around.site.zone).bounds())
    trail.done_about(tx, call, page.rows)
    return _answer(around, call, f"{call.type}/_history", page)


def history_system(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """The versions of everything but the audit trail; for whoever may search and read all types that are served."""
    for type in accepted_types():
        decide(tx.agent, "s", type)
        decide(tx.agent, "r", type)
    page = tx.history(None, None, **_asked(call, around.site.zone).bounds())
    trail.done_about(tx, call, page.rows)
    return _answer(around, call, "_history", page)


def decide_any(tx: Tx, call: Call) -> None:
    """Whoever may read nothing of the type learns nothing about its parameters either."""
    decide(tx.agent, "r", call.type, patient=f"Patient/{tx.agent.patient}" if tx.agent.patient else None)


def _patients_before(tx: Tx, call: Call) -> set[str | None]:
    """Whose the resource was, where the page holds nothing but its deletion."""
    return {trail.patient_in(row) for row in tx.history(call.type, call.id, count=MAX_COUNT).rows} - {None}


def _answer(around: Surroundings, call: Call, path: str, page: Page) -> Answer:
    params = tuple(param for param in call.params if param[0] not in _SILENT)
    return Answer(200, history_bundle(around.base_url, path, params, page))


@dataclass(frozen=True, slots=True)
class _Asked:
    count: int = 50
    after: str | None = None
    since: int | None = None
    at: tuple[int, int] | None = None

    def bounds(self) -> dict[str, Any]:
        return {"count": self.count, "after": self.after, "since": self.since, "at": self.at}


def _asked(call: Call, zone: tzinfo) -> _Asked:
    """_count, _since, _at and the page; UnsupportedError (400) for anything else."""
    given = dict(without_presentation(call.params))
    unknown = given.keys() - {"_count", "_since", "_at", "_cursor"}
    if unknown:
        name = min(unknown)
        listed = ", ".join(("_count", "_since", "_at", *PRESENTATION))
        raise UnsupportedError(f"a history takes {listed}, not {name[:40]}={given[name][:40]!r}")
    count = 0 if dict(call.params).get("_summary") == "count" else _count(given.get("_count", "50"))
    since = _range("_since", given["_since"], zone)[0] if "_since" in given else None
    at = _range("_at", given["_at"], zone) if "_at" in given else None
    return _Asked(count, given.get("_cursor") or None, since, at)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UnsupportedError("_count is a whole number")
    return min(int(text), MAX_COUNT)


def _range(name: str, text: str, zone: tzinfo) -> tuple[int, int]:
    try:
        return bounds(text.replace(" ", "+"), zone)  # an unescaped + of a zone arrives as a space
    except ValueError as error:
        raise UnsupportedError(f"{name}: {error}", issue_code="value") from error
