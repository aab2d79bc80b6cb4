"""What a match brought about, taken back: reports show the study no more, and the order stands where it stood."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interop.store import OrderRow, Stored, Tx
from interop.workflow import orders, performed
from interop.workflow.lifecycle import CANCELLED, IMAGES_AVAILABLE, IN_PROGRESS, State
from interop.workflow.site import Site

Resource = dict[str, Any]


def detach(tx: Tx, site: Site, uid: str, study: Stored, row: OrderRow | None, undoing: Resource) -> None:
    """Undo what linking the study to the order did beside it; ``undoing`` is what the decision kept for that.

    An order that was reported or completed stays where it is.
    """
    _unlink_reports(tx, f"ImagingStudy/{study.id}", undoing.get("reports", ()))
    if row is not None:
        _set_back(tx, site, row, undoing, study.id)
        tx.set_state(performed.state_of(uid), None)


def _unlink_reports(tx: Tx, study: str, ids: Iterable[str]) -> None:
    for id in ids:
        stored = tx.read("DiagnosticReport", id)
        if stored is None or stored.deleted:
            continue
        report = stored.resource()
        others = [one for one in report.get("imagingStudy", ()) if one.get("reference") != study]
        report.pop("imagingStudy", None)
        tx.update(report | ({"imagingStudy": others} if others else {}))


def _set_back(tx: Tx, site: Site, row: OrderRow, undoing: Resource, study_id: str) -> None:
    """The step before these images, unless others are the order's too."""
    step = undoing.get("step")
    others = [id for type_, id in tx.referrers("ServiceRequest", row.id, limit=100) if type_ == "ImagingStudy"]
    if step is None or step == CANCELLED or row.step not in (IN_PROGRESS, IMAGES_AVAILABLE):
        return
    if not [id for id in others if id != study_id]:
        orders.set_back(tx, site, row, State(row.status, step), int(undoing["version"]))
