"""Which orders modalities are shown, on which stations, and what keeps an order off them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from interop.errors import Issue
from interop.fhir import names
from interop.fhir.orders import OrderFacts, planned_until
from interop.mapping.worklist import modality_of
from interop.workflow.lifecycle import ACTIVE, ARRIVED, ON_HOLD, SCHEDULED, SERVER, UNSCHEDULED, State, advance
from interop.workflow.named_places import chosen
from interop.workflow.site import Site

Resource = dict[str, Any]

_INTENTS = frozenset({"order", "filler-order", "instance-order"})
_NO_TIME = Issue(
    "informational",
    "no time is stated: the order is scheduled for the time it was written",
    ("ServiceRequest.occurrenceDateTime",),
    "TQ1-7",
    "information",
)


class Plan(NamedTuple):
    """Where and when an order can be carried out; ``missing`` says what is not known, "" if nothing."""

    modality: str | None
    start: datetime | None
    stations: tuple[str, ...]
    missing: str

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What the sender should know."""
        found: list[Issue] = []
        if self.missing:
            text = f"accepted, not scheduled: {self.missing}"
            found.append(Issue("incomplete", text, ("ServiceRequest",), "OBR-24", "warning"))
        if self.start is None:
            found.append(_NO_TIME)
        return tuple(found)


def is_order(site: Site, resource: Resource, facts: OrderFacts) -> bool:
    """Whether a ServiceRequest asks for imaging to be done; every other one is stored and searchable, and no more.

    It is for imaging if it says so, if a modality is known for it, or if it says nothing of what kind it is.
    """
    asks = facts.intent in _INTENTS and facts.status in (ACTIVE, ON_HOLD) and not facts.do_not_perform
    return asks and (facts.imaging or not resource.get("category") or modality_of(resource, site.tables) is not None)


def plan(
    site: Site, resource: Resource, facts: OrderFacts, patient: Resource, named: frozenset[str] = frozenset()
) -> Plan:
    """Where and when; the stations are all of that modality unless the order names some of them.

    ``named``: what it calls its performers and places (``named_places``); the extension of AE titles goes before them.

    A patient whom no modality could tell from another keeps the order off the worklist (PS3.4 K.6.1.2.2: name and id).
    """
    modality = modality_of(resource, site.tables)
    if modality is None:
        return Plan(None, facts.start, (), f"no modality is known for {_procedure(resource)}")
    stations = chosen(site, site.stations_of(modality), named)
    if facts.stations:
        stations = tuple(aet for aet in facts.stations if site.station(aet) is not None)
        if not stations:
            listed = " or ".join(facts.stations)
            return Plan(modality, facts.start, (), f"no station {listed} in the list of modalities")
    if not stations:
        return Plan(modality, facts.start, (), f"no station for {modality} in the list of modalities")
    unknown = _unknown_of(patient)
    return Plan(modality, facts.start, () if unknown else stations, unknown)


def _unknown_of(patient: Resource) -> str:
    if not any(name.get("family") or name.get("given") or name.get("text") for name in patient.get("name", ())):
        return "the patient has no name"
    if not any(identifier.get("value") for identifier in patient.get("identifier", ())):
        return "the patient has no identifier"
    return ""


def schedule(state: State, found: Plan) -> State:
    """The state of an order once it is clear whether it can be scheduled."""
    if state.status not in (ACTIVE, ON_HOLD) or state.step not in (UNSCHEDULED, SCHEDULED, ARRIVED):
        return state
    return advance(state, "unschedule" if found.missing else "schedule", SERVER)


def planned(
    site: Site,
    resource: Resource,
    state: State,
    facts: OrderFacts,
    patient: Resource,
    named: frozenset[str],
    now: datetime,
) -> tuple[Plan, State]:
    """Where and when, and the order's state once that is clear."""
    found = plan(site, resource, facts, patient, named)
    if not found.missing and state.step in (UNSCHEDULED, SCHEDULED) and _is_past(site, resource, facts, now):
        missing = f"it was planned for more than {site.worklist_days} days ago"
        found = found._replace(stations=(), missing=missing)
    return found, schedule(state, found)


def _is_past(site: Site, resource: Resource, facts: OrderFacts, now: datetime) -> bool:
    """Whether nobody is expected any more; who has arrived is not asked."""
    if not site.worklist_days:
        return False
    last = planned_until(resource, site.zone) or facts.start or facts.authored
    return last is not None and last + timedelta(days=site.worklist_days) < now


def write_step(resource: Resource, step: str) -> None:
    """Lay the step on the ServiceRequest as our extension; take it away where there is none."""
    extensions = [item for item in resource.get("extension", ()) if item.get("url") != names.EXT_STEP]
    if step:
        extensions.append({"url": names.EXT_STEP, "valueCode": step})
    if extensions:
        resource["extension"] = extensions
    else:
        resource.pop("extension", None)


def step_of(resource: Resource) -> str | None:
    """The step that a ServiceRequest states."""
    for extension in resource.get("extension", ()):
        if extension.get("url") == names.EXT_STEP:
            return str(extension.get("valueCode", ""))
    return None


def _procedure(resource: Resource) -> str:
    code = resource.get("code", {})
    for coding in code.get("coding", ()):
        if coding.get("code"):
            return f"the procedure code {coding['code']}"
    return "an order without a procedure code"
