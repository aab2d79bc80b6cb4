"""The invariants of R4 that matter for the types served here (the ``constraint`` rows of their definitions).

Each is a named function of the element's JSON, listed in INVARIANTS under the type or element path it belongs to. They
run only on an element whose structure was found correct. dom-2 … dom-5 and ref-1 need the whole resource and live in
``validation``; ele-1 and ext-1 are part of its structure checks.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from decimal import Decimal
from typing import Any

from interop.fhir.findings import Finding
from interop.fhir.names import UCUM
from interop.fhir.times import DAY, bounds, has_zone

Json = dict[str, Any]
Invariant = Callable[[Json], Finding | None]


def _broken(key: str, text: str, path: str = "") -> Finding:
    return Finding("invariant", f"{text} ({key})", path)


def _has(element: Json, name: str) -> bool:
    return name in element or f"_{name}" in element


def _needs(key: str, present: str, needed: str) -> Invariant:
    """``present`` may only stand where ``needed`` stands too."""

    def check(element: Json) -> Finding | None:
        if _has(element, present) and not _has(element, needed):
            return _broken(key, f"{present} needs {needed}")
        return None

    return check


def _one_of(key: str, *names: str) -> Invariant:
    def check(element: Json) -> Finding | None:
        return None if any(_has(element, name) for name in names) else _broken(key, f"needs {', '.join(names)}")

    return check


def _never_home(key: str, name: str) -> Invariant:
    def check(element: Json) -> Finding | None:
        for index, item in enumerate(element.get(name, ())):
            if item.get("use") == "home":
                return _broken(key, "an organization has no home", f"{name}[{index}].use")
        return None

    return check


def _period(period: Json) -> Finding | None:
    return _broken("per-1", "start is after end") if _after(period.get("start"), period.get("end")) else None


def _after(start: Any, end: Any) -> bool:
    """Whether both are there and all of the first is after all of the second."""
    if start is None or end is None:
        return False
    slack = DAY if has_zone(start) != has_zone(end) else 0  # a day without a zone could be a day in any
    return bounds(start, UTC)[0] >= bounds(end, UTC)[1] + slack


def _range(value: Json) -> Finding | None:
    low, high = value.get("low", {}), value.get("high", {})
    if "value" in low and "value" in high and low.get("code") == high.get("code") and low["value"] > high["value"]:
        return _broken("rng-2", "low is above high")
    return None


def _ratio(value: Json) -> Finding | None:
    if ("numerator" in value) != ("denominator" in value):
        return _broken("rat-1", "numerator and denominator stand together")
    if "numerator" not in value and "extension" not in value:
        return _broken("rat-1", "a ratio without numerator and denominator needs an extension")
    return None


def _not_negative(key: str, name: str) -> Invariant:
    def check(element: Json) -> Finding | None:
        value = element.get(name)
        if isinstance(value, int | Decimal) and value < 0:
            return _broken(key, f"{name} is never negative", name)
        return None

    return check


def _timing_offset(repeat: Json) -> Finding | None:
    if "offset" not in repeat:
        return None
    when = repeat.get("when")
    if not when or any(code in ("C", "CM", "CD", "CV") for code in when):
        return _broken("tim-9", "offset needs a when that is not a meal itself")
    return None


def _timing_time_or_when(repeat: Json) -> Finding | None:
    both = _has(repeat, "timeOfDay") and _has(repeat, "when")
    return _broken("tim-10", "timeOfDay or when, not both") if both else None


def _measured_in(key: str) -> Invariant:
    def check(quantity: Json) -> Finding | None:
        if _has(quantity, "value") and not _has(quantity, "code"):
            return _broken(key, "a value needs a UCUM code")
        if quantity.get("system", UCUM) != UCUM:
            return _broken(key, f"the system is {UCUM}", "system")
        return None

    return check


def _duration(quantity: Json) -> Finding | None:
    if _has(quantity, "code") and (quantity.get("system") != UCUM or not _has(quantity, "value")):
        return _broken("drt-1", f"a code needs the system {UCUM} and a value")
    return None


def _value_of(element: Json) -> bool:
    return any(name.startswith(("value", "_value")) for name in element)


def _no_value_and_reason(observation: Json) -> Finding | None:
    if "dataAbsentReason" in observation and _value_of(observation):
        return _broken("obs-6", "dataAbsentReason stands only where the value does not", "dataAbsentReason")
    return None


def _component_repeats_code(observation: Json) -> Finding | None:
    if "component" not in observation or not _value_of(observation):
        return None
    own = {(c.get("system"), c.get("code")) for c in observation["code"].get("coding", ())}
    for index, component in enumerate(observation["component"]):
        if own & {(c.get("system"), c.get("code")) for c in component["code"].get("coding", ())}:
            return _broken("obs-7", "a component repeats the observation's code and value", f"component[{index}].code")
    return None


def _name_or_query(entity: Json) -> Finding | None:
    return _broken("sev-1", "name or query, not both") if _has(entity, "name") and _has(entity, "query") else None


def _bundle(bundle: Json) -> Finding | None:
    kind = bundle.get("type")
    if "total" in bundle and kind not in ("searchset", "history"):
        return _broken("bdl-1", "total only in a searchset or history", "total")
    wants_request = kind in ("batch", "transaction", "history")
    wants_response = kind in ("batch-response", "transaction-response", "history")
    for index, entry in enumerate(bundle.get("entry", ())):
        if "search" in entry and kind != "searchset":
            return _broken("bdl-2", "search only in a searchset", f"entry[{index}].search")
        if ("request" in entry) != wants_request:
            return _broken("bdl-3", f"a {kind} entry has {'a' if wants_request else 'no'} request", f"entry[{index}]")
        if ("response" in entry) != wants_response:
            return _broken("bdl-4", f"a {kind} entry has {'a' if wants_response else 'no'} response", f"entry[{index}]")
    return None


def _bundle_entry(entry: Json) -> Finding | None:
    if not ("resource" in entry or "request" in entry or "response" in entry):
        return _broken("bdl-5", "an entry has a resource, a request or a response")
    if "/_history/" in entry.get("fullUrl", ""):
        return _broken("bdl-8", "a fullUrl names no version", "fullUrl")
    return None


def _changed_after_made(task: Json) -> Finding | None:
    late = _after(task.get("authoredOn"), task.get("lastModified"))
    return _broken("inv-1", "lastModified is before authoredOn", "lastModified") if late else None


def _simple(*names: str) -> Invariant:
    """The quantities that are SimpleQuantity in R4."""

    def check(element: Json) -> Finding | None:
        for name in names:
            quantity = element.get(name)
            if isinstance(quantity, dict) and "comparator" in quantity:
                return _broken("sqty-1", "no comparator here", f"{name}.comparator")
        return None

    return check


_QUANTITY = _needs("qty-3", "code", "system")


def _is_in_error(resource: Json) -> bool:
    codings = resource.get("verificationStatus", {}).get("coding", ())
    return any(coding.get("code") == "entered-in-error" for coding in codings)


def _no_state_of_an_error(key: str) -> Invariant:
    """What was entered in error has no clinical status."""

    def check(resource: Json) -> Finding | None:
        if _is_in_error(resource) and _has(resource, "clinicalStatus"):
            return _broken(key, "clinicalStatus has no place where verificationStatus is entered-in-error")
        return None

    return check


def _allergy_has_a_state(allergy: Json) -> Finding | None:
    if _is_in_error(allergy) or _has(allergy, "clinicalStatus"):
        return None
    return _broken("ait-1", "clinicalStatus is needed unless verificationStatus is entered-in-error")


def _over_once_abated(condition: Json) -> Finding | None:
    codings = condition.get("clinicalStatus", {}).get("coding", ())
    over = any(coding.get("code") in ("inactive", "resolved", "remission") for coding in codings)
    if over or not any(name.startswith("abatement") for name in condition):
        return None
    return _broken("con-4", "what has abated is inactive, resolved or in remission", "clinicalStatus")


INVARIANTS: dict[str, tuple[Invariant, ...]] = {
    "Attachment": (_needs("att-1", "data", "contentType"),),
    "ContactPoint": (_needs("cpt-2", "value", "system"),),
    "Quantity": (_QUANTITY,),
    "Age": (_QUANTITY, _measured_in("age-1")),
    "Count": (_QUANTITY, _measured_in("cnt-3")),
    "Distance": (_QUANTITY, _measured_in("dis-1")),
    "Duration": (_QUANTITY, _duration),
    "Period": (_period,),
    "Range": (_simple("low", "high"), _range),
    "SampledData": (_simple("origin"),),
    "Ratio": (_ratio,),
    "Timing.repeat": (
        _needs("tim-1", "duration", "durationUnit"),
        _needs("tim-2", "period", "periodUnit"),
        _not_negative("tim-4", "duration"),
        _not_negative("tim-5", "period"),
        _needs("tim-6", "periodMax", "period"),
        _needs("tim-7", "durationMax", "duration"),
        _needs("tim-8", "countMax", "count"),
        _timing_offset,
        _timing_time_or_when,
    ),
    "Patient.contact": (_one_of("pat-1", "name", "telecom", "address", "organization"),),
    "ServiceRequest": (_needs("prr-1", "orderDetail", "code"),),
    "Observation": (_no_value_and_reason, _component_repeats_code),
    "Observation.referenceRange": (_one_of("obs-3", "low", "high", "text"), _simple("low", "high")),
    "AllergyIntolerance": (_allergy_has_a_state, _no_state_of_an_error("ait-2")),
    "Condition": (_over_once_abated, _no_state_of_an_error("con-5")),
    "Condition.stage": (_one_of("con-1", "summary", "assessment"),),
    "Condition.evidence": (_one_of("con-2", "code", "detail"),),
    "Specimen.collection": (_simple("quantity"),),
    "Specimen.container": (_simple("capacity", "specimenQuantity"),),
    "Appointment.participant": (_one_of("app-1", "type", "actor"),),
    "Task": (_changed_after_made,),
    "Organization": (
        _one_of("org-1", "identifier", "name"),
        _never_home("org-2", "address"),
        _never_home("org-3", "telecom"),
    ),
    "AuditEvent.entity": (_name_or_query,),
    "Bundle": (_bundle,),
    "Bundle.entry": (_bundle_entry,),
}
