"""Where an order that is not stored would be carried out: for who looks at a message before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

from interop.fhir.orders import OrderFacts, order_facts, shown_start
from interop.workflow.named_places import named_places
from interop.workflow.scheduling import is_order, plan
from interop.workflow.site import Site

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """What the server would decide; ``missing`` is "" where the order would be on the worklist."""

    modality: str | None
    stations: tuple[str, ...]
    missing: str
    facts: OrderFacts

    def start_of(self, order: Resource, zone: tzinfo) -> datetime | date | None:
        """When; a day alone stays one, and without any time it is when the order was written."""
        start = shown_start(order, self.facts.start, None, zone)
        return start.astimezone(zone) if isinstance(start, datetime) else start


def planned(site: Site, order: Resource, patient: Resource) -> Planned | None:
    """The plan for a ServiceRequest with its Patient; None for one that is only stored and searchable."""
    facts = order_facts(order, site.zone)
    if not is_order(site, order, facts):
        return None
    found = plan(site, order, facts, patient, named_places(None, order))
    return Planned(found.modality, found.stations, found.missing, facts)
