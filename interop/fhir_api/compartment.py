"""search within a compartment: GET [base]/Patient/[id]/[type]?… and /* — https://hl7.org/fhir/R4/http.html#vsearch"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from interop.access import decide
from interop.errors import ForbiddenError, Issue, UnsupportedError
from interop.fhir.clauses import APART
from interop.fhir.compartments import compartment_parameters
from interop.fhir.profile import accepted_types
from interop.fhir.query import Query
from interop.fhir.search import parse_query
from interop.fhir_api import trail
from interop.fhir_api.bundles import search_bundle
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.search import held, permitted
from interop.store import Page, Stored, Tx

_CURSOR = re.compile(r"([A-Z][A-Za-z]{1,63})!(\S*)")
_SILENT = ("_format", "_pretty")


def search_compartment(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """Everything in the compartment, type by type, as far as the agent may search it; what it may not is named."""
    asked, closed = _asked(tx, around, call)
    page = asked.page(tx)
    trail.done_about(tx, call, page.rows)
    params = [param for param in call.params if param[0] not in _SILENT]
    issues = [Issue("suppressed", f"this token may not search {', '.join(closed)}", severity="warning")]
    path = f"{call.compartment}/*"
    return Answer(200, search_bundle(around.base_url, path, params, page, issues if closed else ()))


def _asked(tx: Tx, around: Surroundings, call: Call) -> tuple[_Asked, list[str]]:
    """What the parameters ask for, which have to be parameters of every type; and the types that stay closed."""
    given = [param for param in call.params if param[0] != "_cursor"]
    queries: list[Query] = []
    closed: list[str] = []
    refusal: ForbiddenError | None = None
    for type in _types(call):
        try:
            decide(tx.agent, "s", type, patient=call.compartment)
            query = parse_query(
                type, given, around.site.zone, base_url=around.base_url, now=tx.now, lenient=call.lenient
            )
            queries.append(permitted(tx, held(tx, query, call.compartment))[0])
        except ForbiddenError as error:
            closed.append(type)
            refusal = error
    if not queries:
        raise refusal or ForbiddenError(f"nothing is in the compartment {call.compartment}")
    if any(query.includes for query in queries):
        raise UnsupportedError("_include and _revinclude go with a search of one type")
    start, after = _start(call, queries)
    return _Asked(queries, queries[0].count, start, after), closed


def _types(call: Call) -> list[str]:
    """The types that are in such compartments."""
    kind = call.compartment.partition("/")[0]
    return [type for type in accepted_types() if type != APART and (type == kind or compartment_parameters(kind, type))]


def _start(call: Call, queries: Sequence[Query]) -> tuple[str, str | None]:
    cursor = dict(call.params).get("_cursor", "")
    if not cursor:
        return queries[0].type, None
    match = _CURSOR.fullmatch(cursor)
    if match is None or match[1] not in [query.type for query in queries]:
        raise UnsupportedError("the page link is not one that this server wrote; start the search again")
    return match[1], match[2] or None


@dataclass(frozen=True, slots=True)
class _Asked:
    """The search of each type, and where the page begins."""

    queries: Sequence[Query]
    count: int
    start: str
    after: str | None

    def page(self, tx: Tx) -> Page:
        """One page; its total where it was asked for."""
        rows: list[Stored] = []
        total = None
        if any(query.total for query in self.queries):
            total = sum(tx.search(replace(query, count=0, total=True)).total or 0 for query in self.queries)
        following: str | None = None
        types = [query.type for query in self.queries]
        after = self.after
        for query in self.queries[types.index(self.start) :] if self.count else ():
            if len(rows) == self.count:
                following = f"{query.type}!"
                break
            found = tx.search(replace(query, count=self.count - len(rows), after=after, total=False))
            rows += found.rows
            if found.next is not None:
                following = f"{query.type}!{found.next}"
                break
            after = None
        return Page(rows, next=following, total=total)
