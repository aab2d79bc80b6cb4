"""Studies: what the archive holds becomes ImagingStudy, linked to the order it was made for, growing as images come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from interop.audit.event import Event
from interop.dicom.study import SeriesFacts, StudyFacts
from interop.fhir import names
from interop.store import OrderRow, SeriesPart, Stored, Tx
from interop.workflow import matching, orders
from interop.workflow.endpoints import study_endpoints
from interop.workflow.lifecycle import ARCHIVE
from interop.workflow.matching import Match
from interop.workflow.series import series_parts
from interop.workflow.site import Site
from interop.workflow.study_patients import subject_of

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Registered:
    """A study as it stands; ``stored`` is without its series. ``row`` is its order, if it has one."""

    stored: Stored
    row: OrderRow | None
    by: str  # how the order was found, or why none was


def register(tx: Tx, site: Site, facts: StudyFacts) -> Registered:
    """The study of these facts: made if new, grown by what is new, its order told."""
    tx.lock(f"study:{facts.study_uid}")
    present = tx.study(facts.study_uid)
    before = present.resource() if present is not None else None
    found = _match(tx, site, facts, before)
    resource = _resource(tx, site, facts, before, found.row)
    resource |= _counts(tx, present, facts, resource)
    parts, removed = series_parts(tx, present.id if present else None, facts)
    stored = tx.put_study(resource, parts, removed)
    if before is None or before.get("basedOn") != resource.get("basedOn"):
        _record_match(tx, stored, resource, found)
    row = found.row
    if row is not None:
        if before is None or not before.get("basedOn"):
            _link_reports(tx, stored, row)
        row = _move_on(tx, site, row, facts)
    return Registered(stored, row, found.by)
