"""PDFs of final reports, kept in the archive beside the images that they are about.

Where the site wants it, every change of a report owes a job that makes the report's series in each of its studies what
the report says now: its PDFs while it is final or corrected, nothing once it was entered in error or deleted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from interop.audit.event import Event
from interop.dicom.encapsulated_pdf import PdfDocument, series_uid
from interop.dicom.study import SeriesFacts
from interop.errors import InvalidContentError
from interop.fhir import names
from interop.fhir.times import instant
from interop.store import Stored, Tx
from interop.workflow.site import Site

Resource = dict[str, Any]

KIND = "report-pdf"  # of the job; its key is the report's id
FINAL = frozenset({"final", "amended", "corrected", "appended"})  # R4 diagnostic-report-status
_WITHDRAWN = frozenset({"entered-in-error", "cancelled"})
_ROW = "report-series:"
_PDF = "application/pdf"


@dataclass(frozen=True, slots=True)
class Place:
    """A study that a report is about, and the archive that holds it."""

    study_uid: str
    archive: str


@dataclass(frozen=True, slots=True)
class Documents:
    """What the archive should have of a report."""

    report: str  # its name in the archive: the facility and the report's id
    patient: str | None
    documents: tuple[PdfDocument, ...]
    places: tuple[Place, ...]
    fault: str = ""  # why a document cannot be read


def owe(tx: Tx, site: Site, report: Resource) -> None:
    """Have the archive follow the report; nothing where the site does not want it, or nothing is to be kept."""
    if not site.archive_reports or report["status"] not in FINAL | _WITHDRAWN:
        return
    uids = [uid for uid in _studies(tx, report) if _archive(tx, site, uid) in site.rewritable]
    if report["status"] in FINAL and any(True for _ in _pdfs(report)):
        for uid in uids:
            tx.set_state(_ROW + series_uid(_name(site, report["id"]), uid), report["id"])
    kept = [uid for uid in uids if tx.get_state(_ROW + series_uid(_name(site, report["id"]), uid))]
    if kept:
        tx.drop_dead(KIND, report["id"])
        tx.enqueue(KIND, report["id"], {"report": report["id"], "studies": kept}, replace=True)


def withdraw(tx: Tx, site: Site, id: str) -> None:
    """The report is about to be deleted: nothing of it stays in the archive."""
    present = tx.read("DiagnosticReport", id)
    if present is not None and not present.deleted:
        owe(tx, site, present.resource() | {"status": "entered-in-error"})


def read(tx: Tx, site: Site, id: str, uids: Iterable[str]) -> Documents:
    """What the archive should have of the report now, in these studies."""
    places = tuple(Place(uid, _archive(tx, site, uid)) for uid in uids)
    stored = tx.read("DiagnosticReport", id)
    if stored is None or stored.deleted or stored.resource()["status"] not in FINAL:
        return Documents(_name(site, id), None, (), places)
    report = stored.resource()
    patient = report.get("subject", {}).get("reference")
    try:
        return Documents(_name(site, id), patient, tuple(_documents(tx, site, stored)), places)
    except InvalidContentError as error:
        return Documents(_name(site, id), patient, (), places, fault=error.text)


def note(tx: Tx, found: Documents, id: str, study_uid: str, stored: int, removed: int) -> None:
    """That the archive follows: an audit event for each study that changed."""
    detail = f"DiagnosticReport/{id}: {stored} stored, {removed} removed"
    action = "C" if stored else "D"
    tx.audit(
        Event(
            "dicom-transfer", "report-pdf", action, patient=found.patient, entity=f"urn:oid:{study_uid}", detail=detail
        )
    )


def is_ours(tx: Tx, series: SeriesFacts) -> bool:
    """Whether the series is one of a report's, which no modality has made."""
    return series.modality == "DOC" and tx.get_state(_ROW + series.uid) is not None


def _name(site: Site, id: str) -> str:
    return f"{site.facility}|DiagnosticReport/{id}"


def _archive(tx: Tx, site: Site, uid: str) -> str:
    return tx.archive_of_study(uid) or site.archive


def _studies(tx: Tx, report: Resource) -> list[str]:
    found = []
    for link in report.get("imagingStudy", ()):
        type_, _, id = str(link.get("reference", "")).partition("/")
        stored = tx.read("ImagingStudy", id) if type_ == "ImagingStudy" else None
        if stored is not None and not stored.deleted:
            found += [
                str(one["value"]).removeprefix("urn:oid:")
                for one in stored.resource()["identifier"]
                if one.get("system") == names.STUDY_UID
            ]
    return found


def _pdfs(report: Resource) -> Iterator[Resource]:
    for form in report.get("presentedForm", ()):
        if str(form.get("contentType", "")).partition(";")[0].strip().lower() == _PDF:
            yield form


def _documents(tx: Tx, site: Site, stored: Stored) -> Iterator[PdfDocument]:
    report = stored.resource()
    said = report.get("issued") or report.get("effectiveDateTime")
    moment = instant(said, site.zone) if said else stored.last_updated
    for number, form in enumerate(_pdfs(report), 1):
        content = _content(tx, form)
        if content is not None:
            title = form.get("title") or _text(report.get("code", {})) or "Report"
            if report["status"] != "final":
                title = f"{title} ({report['status']})"
            yield PdfDocument(_name(site, report["id"]), number, title, _loinc(report.get("code", {})), moment, content)


def _content(tx: Tx, form: Resource) -> bytes | None:
    """The bytes: in the report, or in a Binary of this server; None where they are elsewhere."""
    data = form.get("data")
    if data is None:
        type_, _, id = str(form.get("url", "")).partition("/")
        binary = tx.read("Binary", id) if type_ == "Binary" else None
        data = None if binary is None or binary.deleted else binary.resource().get("data")
    if data is None:
        return None
    try:
        return base64.b64decode(data)
    except (binascii.Error, ValueError) as error:
        raise InvalidContentError("the report's document is not base64") from error


def _text(concept: Resource) -> str:
    shown = (coding.get("display", "") for coding in concept.get("coding", ()))
    return str(concept.get("text") or next((text for text in shown if text), ""))


def _loinc(concept: Resource) -> tuple[str, str, str] | None:
    """The report's code, where it is one that DICOM may have as a document's title (PS3.16 CID 7020 is extensible)."""
    for coding in concept.get("coding", ()):
        code, meaning = str(coding.get("code", "")), str(coding.get("display") or concept.get("text") or "")
        if coding.get("system") == "http://loinc.org" and 0 < len(code) <= 16 and meaning:
            return code, "LN", meaning
    return None
