"""The worklist items of an order, as attributes by DICOM keyword, read from the database as it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from interop.dicom.worklist import completed
from interop.errors import InvalidContentError
from interop.fhir.orders import shown_start
from interop.fhir.scheduled_steps import as_order, has_steps, steps_of
from interop.mapping.patient_facts import Known
from interop.mapping.worklist import Place, attributes_of_places
from interop.store import OrderRow, StepRow, Tx
from interop.workflow.known_facts import known_of
from interop.workflow.site import Site

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """A scheduled order and what its items need."""

    row: OrderRow
    order: Resource
    patient: Resource
    known: Known
    version: int  # of the order
    steps: tuple[StepRow, ...] = ()  # where the order has several


class Item(NamedTuple):
    """One item: of a step (None where the order is its only one), for a station."""

    step_id: str | None
    station: str
    attributes: dict[str, Any]


def read_planned(tx: Tx, site: Site, id: str) -> Planned | None:
    """The order, if it is scheduled still."""
    row = tx.order(id)
    return read_scheduled(tx, site, row) if row is not None and row.scheduled else None


def read_scheduled(tx: Tx, site: Site, row: OrderRow) -> Planned:
    """What the items of this order need, which is scheduled."""
    stored = tx.get("ServiceRequest", row.id)
    order = stored.resource()
    steps = tx.order_steps(row.id) if has_steps(order) else ()
    patient = tx.get("Patient", row.patient_id).resource()
    return Planned(row, order, patient, known_of(tx, site, stored, order, row.patient_id), stored.version, steps)


def items_of(planned: Planned, site: Site) -> Iterator[Item]:
    """An item for each scheduled step and station; InvalidContentError where an order has no place in one."""
    if not planned.steps:
        yield from _items(planned, site, planned.order, planned.row, None)
        return
    told = {step.number: step for step in steps_of(planned.order)}
    for step in planned.steps:
        if step.scheduled and step.step_id in told:
            yield from _items(planned, site, as_order(planned.order, told[step.step_id]), step, step.step_id)


def planned_items(planned: Planned, site: Site) -> tuple[dict[str, Any], ...]:
    """The items with every attribute; () for an order that does not fit into one (its worklist job says why)."""
    try:
        return tuple(completed(item.attributes) for item in items_of(planned, site))
    except InvalidContentError:
        return ()


def _items(
    planned: Planned, site: Site, order: Resource, row: OrderRow | StepRow, step_id: str | None
) -> Iterator[Item]:
    stations = [station for aet in row.stations if (station := site.station(aet)) is not None]
    start = shown_start(order, row.start, planned.row.updated, site.zone)
    assert start is not None
    items = attributes_of_places(
        order,
        planned.patient,
        [Place(one.aet, row.modality or one.modality, one.location) for one in stations],
        start=start,
        zone=site.zone,
        facility=site.facility,
        tables=site.tables,
        known=planned.known,
    )
    for station, attributes in zip(stations, items, strict=True):
        yield Item(step_id, station.aet, attributes)
