"""The worklist items of an order, as attributes by DICOM keyword, read from the database as it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interop.dicom.worklist import completed
from interop.errors import InvalidContentError
from interop.fhir.orders import shown_start
from interop.fhir.scheduled_steps import as_order, has_steps, steps_of
from interop.mapping.worklist import worklist_attributes
from interop.store import OrderRow, StepRow, Tx
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
    steps: tuple[StepRow, ...] = ()  # where the order has several


def read_planned(tx: Tx, id: str) -> Planned | None:
    """The order, if it is scheduled still."""
    row = tx.order(id)
    if row is None or not row.scheduled:
        return None
    order = tx.get("ServiceRequest", id).resource()
    steps = tx.order_steps(id) if has_steps(order) else ()
    return Planned(row, order, tx.get("Patient", row.patient_id).resource(), named_in(tx, order), steps)


def planned_items(planned: Planned, site: Site) -> tuple[dict[str, Any], ...]:
    """An item for each step and station; () for an order that does not fit into one (its worklist job says why)."""
    try:
        return tuple(item for order, row in _steps(planned) for item in _items(planned, site, order, row))
    except InvalidContentError:
        return ()


def _steps(planned: Planned) -> Iterator[tuple[Resource, OrderRow | StepRow]]:
    """The order as each of its scheduled steps has it."""
    if not planned.steps:
        yield planned.order, planned.row
        return
    told = {step.number: step for step in steps_of(planned.order)}
    for step in planned.steps:
        if step.scheduled and step.step_id in told:
            yield as_order(planned.order, told[step.step_id]), step


def _items(planned: Planned, site: Site, order: Resource, row: OrderRow | StepRow) -> Iterator[dict[str, Any]]:
    for station in (station for aet in row.stations if (station := site.station(aet)) is not None):
        attributes = worklist_attributes(
            order,
            planned.patient,
            station_aet=station.aet,
            modality=row.modality or station.modality,
            start=shown_start(order, row.start, planned.row.updated, site.zone) or planned.row.updated,
            zone=site.zone,
            facility=site.facility,
            tables=site.tables,
            location=station.location,
            resolved=planned.resolved,
        )
        yield completed(attributes)
