"""The scheduled procedure steps of an imaging order that has several (PS3.4 K.6.1.2.2), on its ServiceRequest.

Each is a repetition of an extension of ours. An order with one step has none: its own elements say all of it. What a
step does not say holds as the order says it, so that each step can be read as an order of its own (``as_order``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interop.fhir import names
from interop.fhir.orders import detail_kind, modality_of, with_identifier, with_stations, with_step
from interop.fhir.query import Identity

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """One step; empty is what it does not say."""

    id: Identity | None = None  # ScheduledProcedureStepID
    status: str = ""
    step: str = ""
    modality: Resource | None = None  # Coding
    start: str = ""
    stations: tuple[str, ...] = ()
    protocols: tuple[Resource, ...] = ()  # CodeableConcept
    filler: Resource | None = None  # Identifier

    @property
    def number(self) -> str:
        """The id without its system; images carry no more."""
        return self.id.value if self.id is not None else ""


def has_steps(service_request: Resource) -> bool:
    """Whether the order has several steps."""
    for item in service_request.get("extension", ()):  # noqa: SIM110 (asked of every order: a generator costs more)
        if item.get("url") == names.EXT_SCHEDULED_STEP:
            return True
    return False


def steps_of(service_request: Resource) -> tuple[ScheduledStep, ...]:
    """The steps in their order; () for an order that has one."""
    return tuple(
        _step(item.get("extension", ()))
        for item in service_request.get("extension", ())
        if item.get("url") == names.EXT_SCHEDULED_STEP
    )


def with_steps(service_request: Resource, steps: Sequence[ScheduledStep]) -> Resource:
    """A copy with exactly these steps."""
    kept = [item for item in service_request.get("extension", ()) if item.get("url") != names.EXT_SCHEDULED_STEP]
    made = [{"url": names.EXT_SCHEDULED_STEP, "extension": _parts(step)} for step in steps]
    changed = {name: value for name, value in service_request.items() if name != "extension"}
    return {**changed, "extension": kept + made} if kept or made else changed


def own_step(service_request: Resource, status: str, step: str) -> ScheduledStep:
    """The one step that the order's own elements tell of."""
    details = service_request.get("orderDetail", ())
    return ScheduledStep(
        id=_own_id(service_request),
        status=status,
        step=step,
        modality=_modality(service_request),
        start=str(service_request.get("occurrenceDateTime", "")),
        stations=tuple(
            item["valueString"]
            for item in service_request.get("extension", ())
            if item.get("url") == names.EXT_STATION and "valueString" in item
        ),
        protocols=tuple(detail for detail in details if detail_kind(detail) == "step"),
    )


def as_order(service_request: Resource, step: ScheduledStep) -> Resource:
    """The order as if the step were its only one: to be planned, and shown to a modality."""
    view = with_steps(service_request, ())
    if step.id is not None:
        view = with_identifier(view, "SPSID", step.id)
    view = with_step({**view, "status": step.status}, step.step or None)
    own = _modality(service_request)
    told = {kind: [d for d in view.get("orderDetail", ()) if detail_kind(d) == kind] for kind in ("step", "transport")}
    modality = step.modality or own
    stated = [{"coding": [modality]}] if modality else []
    view["orderDetail"] = [*(step.protocols or told["step"]), *told["transport"], *stated]
    if not view["orderDetail"]:
        del view["orderDetail"]
    if step.start:
        view = {name: value for name, value in view.items() if not name.startswith("occurrence")}
        view["occurrenceDateTime"] = step.start
    if step.stations or not _shares_stations(service_request, step, own):
        view = with_stations(view, step.stations)
    return view


def _shares_stations(service_request: Resource, step: ScheduledStep, own: Resource | None) -> bool:
    """Whether the order's stations are the step's: not those of another modality, nor those that the first step names
    as its own.
    """
    if step.modality is not None and step.modality.get("code") != (own or {}).get("code"):
        return False
    return not any(first.stations for first in steps_of(service_request)[:1])


def _own_id(service_request: Resource) -> Identity | None:
    for identifier in service_request.get("identifier", ()):
        codings = identifier.get("type", {}).get("coding", ())
        if any(one.get("code") == "SPSID" and one.get("system") == names.IDENTIFIER_TYPES for one in codings):
            return Identity(identifier.get("system", ""), identifier.get("value", ""))
    return None


def _modality(service_request: Resource) -> Resource | None:
    for detail in service_request.get("orderDetail", ()):
        if modality_of({"orderDetail": [detail]}) is not None:
            found: Resource = next(one for one in detail["coding"] if one.get("system") == names.DCM)
            return found
    return None


def _step(parts: Sequence[Resource]) -> ScheduledStep:
    one: dict[str, Any] = {}
    many: dict[str, list[Any]] = {"station": [], "protocol": []}
    for part in parts:
        name = part.get("url", "")
        value = next((part[key] for key in part if key.startswith("value")), None)
        if value is not None and name in many:
            many[name].append(value)
        elif value is not None:
            one.setdefault(name, value)
    id = one.get("id")
    return ScheduledStep(
        id=Identity(id.get("system", ""), id["value"]) if id and id.get("value") else None,
        status=one.get("status", ""),
        step=one.get("step", ""),
        modality=one.get("modality"),
        start=one.get("start", ""),
        stations=tuple(many["station"]),
        protocols=tuple(many["protocol"]),
        filler=one.get("filler"),
    )


def _parts(step: ScheduledStep) -> list[Resource]:
    parts: list[Resource] = []
    if step.id is not None:
        system = {"system": step.id.system} if step.id.system else {}
        parts.append({"url": "id", "valueIdentifier": {**system, "value": step.id.value}})
    for name, value in (("step", step.step), ("status", step.status)):
        if value:
            parts.append({"url": name, "valueCode": value})
    if step.modality:
        parts.append({"url": "modality", "valueCoding": step.modality})
    if step.start:
        parts.append({"url": "start", "valueDateTime": step.start})
    parts += [{"url": "station", "valueString": aet} for aet in step.stations]
    parts += [{"url": "protocol", "valueCodeableConcept": concept} for concept in step.protocols]
    if step.filler:
        parts.append({"url": "filler", "valueIdentifier": step.filler})
    return parts
