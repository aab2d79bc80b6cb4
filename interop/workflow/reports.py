"""Reports: filed with their observations, linked to order and study; a final one completes the order.

A report's identity is its filler order number, else its placer order number, together with what was reported (OBR-4):
one order may have several reports. The same identity again is a new version of the same report, its observations too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interop.errors import InvalidContentError, Issue
from interop.fhir import names
from interop.fhir.query import Identity
from interop.store import OrderRow, Stored, Tx
from interop.workflow import known_facts, numbers, orders, outbox, report_documents
from interop.workflow.lifecycle import FHIR
from interop.workflow.numbers import Numbers
from interop.workflow.report_documents import FINAL
from interop.workflow.site import Site

Resource = dict[str, Any]

_EARLY = frozenset({"registered", "partial", "preliminary"})


@dataclass(frozen=True, slots=True)
class ReportNumbers:
    """How an ORU^R01 names the order that it reports on."""

    placer: Identity | None = None
    filler: Identity | None = None
    accession: Identity | None = None
    study_uid: str | None = None
    index: int = 1
    document: Identity | None = None  # the report's own number
    replaces: Identity | None = None  # that of the report whose place it takes


@dataclass(frozen=True, slots=True)
class Filed:
    """A report as it stands, and its order if it has one."""

    stored: Stored
    row: OrderRow | None = None
    issues: tuple[Issue, ...] = ()


def file(
    tx: Tx,
    site: Site,
    report: Resource,
    observations: tuple[Resource, ...],
    given: ReportNumbers,
    patient: str,
    door: str,
) -> Filed:
    """A report of an ORU^R01; ``patient`` is ``Patient/<id>``."""
    row, issues = _order_of(tx, site, given, patient)
    tx.lock(f"report:{row.id if row else patient}")
    present = _present(tx, report, given, patient)
    before = present.resource() if present is not None else {}
    if present is not None and _goes_back(before, report):
        text = f"{present.reference} is {before['status']}: a {report['status']} one changes nothing"
        issue = Issue("business-rule", text, ("DiagnosticReport.status",), _place(given, "25"), "warning")
        return Filed(present, row, (*issues, issue))
    resource = {**report, "resourceType": "DiagnosticReport", "subject": {"reference": patient}}
    if given.document is not None:
        resource["identifier"] = _joined(resource["identifier"], before.get("identifier", []))
    results = _file_observations(tx, site, before, observations, patient, row)
    if results:
        resource["result"] = results
    _link(tx, resource, row, before)
    stored = tx.create(resource) if present is None else tx.update(resource | {"id": present.id})
    row = _complete(tx, site, row, str(report["status"]), door)
    if present is None or stored.version != present.version:
        outbox.tell_report(tx, site, stored.resource(), row)
        report_documents.owe(tx, site, stored.resource())
    return Filed(stored, row, issues)


def create(tx: Tx, site: Site, resource: Resource, *, id: str | None = None) -> Stored:
    """A report posted by FHIR."""
    row = _based_on(tx, resource)
    resource = dict(resource)
    _link(tx, resource, row, {})
    stored = tx.create(resource, id=id)
    _complete(tx, site, row, str(resource["status"]), FHIR)
    outbox.tell_report(tx, site, stored.resource(), row)
    report_documents.owe(tx, site, stored.resource())
    return stored


def update(tx: Tx, site: Site, present: Stored, resource: Resource) -> Stored:
    """A report put by FHIR: a final one does not become preliminary again."""
    before = present.resource()
    if _goes_back(before, resource):
        raise InvalidContentError(
            f"a {before['status']} report does not become {resource['status']}; correct it as corrected or amended",
            expression="DiagnosticReport.status",
        )
    row = _based_on(tx, resource)
    resource = dict(resource)
    _link(tx, resource, row, before)
    stored = tx.update(resource)
    if stored.version != present.version:
        _complete(tx, site, row, str(resource["status"]), FHIR)
        outbox.tell_report(tx, site, stored.resource(), row)
        report_documents.owe(tx, site, stored.resource())
    return stored


def delete(tx: Tx, site: Site, id: str) -> Stored:
    """A report deleted by FHIR."""
    report_documents.withdraw(tx, site, id)
    return tx.delete("DiagnosticReport", id)


def _order_of(tx: Tx, site: Site, given: ReportNumbers, patient: str) -> tuple[OrderRow | None, tuple[Issue, ...]]:
    accession = given.accession
    if accession is not None and not accession.system:
        accession = Identity(names.accession_system(site.facility), accession.value)
    row = numbers.find_named(tx, Numbers(given.placer, given.filler, accession, study_uid=given.study_uid))
    place = _place(given, "2")
    if row is None:
        text = "no order has these numbers: the report is filed, linked to none"
        return None, (Issue("not-found", text, ("DiagnosticReport.basedOn",), place, "warning", "204"),)
    if f"Patient/{row.patient_id}" != patient:
        text = f"ServiceRequest/{row.id} is an order of another patient: the report is filed, linked to none"
        return None, (Issue("conflict", text, ("DiagnosticReport.subject",), "PID-3", "warning", "204"),)
    return row, ()


def _place(given: ReportNumbers, field: str) -> str:
    return f"OBR-{field}" if given.index == 1 else f"OBR[{given.index}]-{field}"


def _present(tx: Tx, report: Resource, given: ReportNumbers, patient: str) -> Stored | None:
    """The report with this identity: its own number, else its order's."""
    if given.document is not None:
        return _document(tx, given, patient)
    key = given.filler or given.placer
    for stored in tx.by_identifier("DiagnosticReport", key.system, key.value) if key else []:
        resource = stored.resource()
        if resource["subject"].get("reference") == patient and _same_procedure(resource, report):
            return stored
    return None


def _joined(fresh: list[Resource], before: list[Resource]) -> list[Resource]:
    """The report's numbers, and those of the documents whose place it has taken."""
    known = {(item.get("system"), item.get("value")) for item in fresh}
    return [*fresh, *(item for item in before if (item.get("system"), item.get("value")) not in known)]


def _document(tx: Tx, given: ReportNumbers, patient: str) -> Stored | None:
    for key in (given.document, given.replaces):
        for stored in tx.by_identifier("DiagnosticReport", key.system, key.value) if key else []:
            if stored.resource()["subject"].get("reference") == patient:
                return stored
    return None


def _same_procedure(one: Resource, other: Resource) -> bool:
    codes = _codes(one.get("code", {}))
    return codes == _codes(other.get("code", {})) if codes else True


def _codes(concept: Resource) -> set[tuple[str | None, str | None]]:
    return {(coding.get("system"), coding.get("code")) for coding in concept.get("coding", ())}


def _goes_back(before: Resource, report: Resource) -> bool:
    return before["status"] in FINAL and report["status"] in _EARLY


def _file_observations(
    tx: Tx, site: Site, known: Resource, observations: tuple[Resource, ...], patient: str, row: OrderRow | None
) -> list[Resource]:
    """New versions of the observations that the report had, in their order; those it no longer has are in error."""
    ids = [item["reference"].removeprefix("Observation/") for item in known.get("result", ())]
    references: list[Resource] = []
    for observation in observations:
        resource = {**observation, "resourceType": "Observation", "subject": {"reference": patient}}
        if row is not None:
            resource["basedOn"] = [{"reference": f"ServiceRequest/{row.id}"}]
        id = _same_observation(tx, ids, resource)
        before = None if id is None else tx.read("Observation", id)
        stored = tx.create(resource) if id is None else tx.update(resource | {"id": id})
        known_facts.follow(tx, site, before, stored)
        references.append({"reference": stored.reference})
    for id in ids:
        left = tx.get("Observation", id)
        known_facts.follow(tx, site, left, tx.update(left.resource() | {"status": "entered-in-error"}))
    return references


def _same_observation(tx: Tx, ids: list[str], resource: Resource) -> str | None:
    """Take the first of the ids whose observation is of the same code."""
    for id in ids:
        stored = tx.read("Observation", id)
        if stored is not None and not stored.deleted:
            before = stored.resource()
            if _codes(before.get("code", {})) == _codes(resource.get("code", {})):
                ids.remove(id)
                return id
    return None


def _link(tx: Tx, resource: Resource, row: OrderRow | None, before: Resource) -> None:
    """basedOn and imagingStudy: what is known of both stays."""
    if row is None:
        if before.get("basedOn") and "basedOn" not in resource:
            resource["basedOn"] = before["basedOn"]
        if before.get("imagingStudy") and "imagingStudy" not in resource:
            resource["imagingStudy"] = before["imagingStudy"]
        return
    order = {"reference": f"ServiceRequest/{row.id}"}
    resource["basedOn"] = _with(resource.get("basedOn", []), order)
    study = tx.study(row.study_uid) if row.study_uid else None
    links: list[Resource] = resource.get("imagingStudy") or before.get("imagingStudy") or []
    if study is not None:
        links = _with(links, {"reference": study.reference})
    if links:
        resource["imagingStudy"] = links


def _with(references: list[Resource], one: Resource) -> list[Resource]:
    known = {item.get("reference") for item in references}
    return references if one["reference"] in known else [*references, one]


def _based_on(tx: Tx, resource: Resource) -> OrderRow | None:
    """The imaging order that a report names; its patient has to be the report's."""
    for position, reference in enumerate(resource.get("basedOn", ())):
        target = str(reference.get("reference", ""))
        row = tx.order(target.removeprefix("ServiceRequest/")) if target.startswith("ServiceRequest/") else None
        if row is None:
            continue
        if resource.get("subject", {}).get("reference") != f"Patient/{row.patient_id}":
            raise InvalidContentError(
                f"ServiceRequest/{row.id} is an order of another patient",
                expression=("DiagnosticReport.subject", f"DiagnosticReport.basedOn[{position}]"),
            )
        return row
    return None


def _complete(tx: Tx, site: Site, row: OrderRow | None, status: str, door: str) -> OrderRow | None:
    """The order after the report: the report itself tells its receivers, no status message does."""
    if row is None or (status not in FINAL and status not in _EARLY):
        return row
    event = "final-report" if status in FINAL else "preliminary-report"
    return orders.advance_order(tx, site, row, event, door, tell=False).row or row
