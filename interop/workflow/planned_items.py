"""The worklist items of an order, as attributes by DICOM keyword, read from the database as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

from interop.dicom.worklist import completed
from interop.errors import InvalidContentError
from interop.fhir.orders import order_facts
from interop.mapping.worklist import worklist_attributes
from interop.store import OrderRow, Tx
from interop.workflow.outbox import named_in
from interop.workflow.site import Site

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """A scheduled order and what its items need."""

    row: OrderRow
    order: Resource
    patient: Resource
    resolved: Mapping[str, Resource]


def read_planned(tx: Tx, id: str) -> Planned | None:
    """The order, if it is scheduled still."""
    row = tx.order(id)
    if row is None or not row.scheduled:
        return None
    order = tx.get("ServiceRequest", id).resource()
    return Planned(row, order, tx.get("Patient", row.patient_id).resource(), named_in(tx, order))


def planned_items(planned: Planned, site: Site) -> tuple[dict[str, Any], ...]:
    """An item for each station; () for an order that does not fit into one (its worklist job says why)."""
    row = planned.row
    stations = [station for aet in row.stations if (station := site.station(aet)) is not None]
    try:
        return tuple(
            completed(
                worklist_attributes(
                    planned.order,
                    planned.patient,
                    station_aet=station.aet,
                    modality=row.modality or station.modality,
                    start=_start(planned.order, row, site.zone),
                    zone=site.zone,
                    facility=site.facility,
                    tables=site.tables,
                    location=station.location,
                    resolved=planned.resolved,
                )
            )
            for station in stations
        )
    except InvalidContentError:
        return ()


def _start(order: Resource, row: OrderRow, zone: tzinfo) -> datetime | date:
    """When the step is planned: a day alone stays one; without any time, when the order was written."""
    stated = str(order.get("occurrenceDateTime", ""))
    if len(stated) == len("YYYY-MM-DD"):
        return date.fromisoformat(stated)
    return row.start or order_facts(order, zone).authored or row.updated
