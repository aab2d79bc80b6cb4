"""The topics that can be subscribed to: what must have happened between two versions of a resource.

Each is a SubscriptionTopic in the sense of the Subscriptions R5 Backport guide; R4 has no such resource, so they are
named by their canonical URLs (its capabilitystatement-subscriptiontopic-canonical).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interop.fhir.names import EXT_STEP

Resource = dict[str, Any]
Trigger = Callable[[Resource | None, Resource], bool]  # the version before, None if there was none; this one

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/"
TOPIC_EXTENSION = f"{BACKPORT}StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
_BASE = "urn:interop:SubscriptionTopic:"
_ORDERS = ("order", "original-order", "reflex-order", "filler-order", "instance-order")
_NOT_PLACED = ("draft", "entered-in-error")
_REPORTED = ("partial", "preliminary", "final", "amended", "corrected", "appended")
_OF_ORDER = ("status", "priority", "code", "subject", "occurrenceDateTime", "occurrencePeriod", "occurrenceTiming")
_OF_STUDY = ("status", "numberOfSeries", "numberOfInstances", "basedOn", "subject")
_ASIDE = ("meta", "text")  # what may differ without anything having changed


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic."""

    url: str
    type: str  # of the resource that a notification is about
    title: str
    happened: Trigger


def _placed(order: Resource | None) -> bool:
    return order is not None and order.get("intent") in _ORDERS and order.get("status") not in _NOT_PLACED


def _step(order: Resource) -> list[Any]:
    return [one.get("valueCode") for one in order.get("extension", ()) if one.get("url") == EXT_STEP]


def _order_placed(before: Resource | None, now: Resource) -> bool:
    return _placed(now) and not _placed(before)


def _order_changed(before: Resource | None, now: Resource) -> bool:
    if before is None or not _placed(before):
        return False
    return _step(before) != _step(now) or any(before.get(name) != now.get(name) for name in _OF_ORDER)


def _has_images(study: Resource | None) -> bool:
    return study is not None and study.get("status") == "available" and bool(study.get("numberOfInstances"))


def _study_available(before: Resource | None, now: Resource) -> bool:
    return _has_images(now) and not _has_images(before)


def _study_changed(before: Resource | None, now: Resource) -> bool:
    return before is not None and _has_images(before) and any(before.get(name) != now.get(name) for name in _OF_STUDY)


def _reported(report: Resource | None) -> bool:
    return report is not None and report.get("status") in _REPORTED


def _report_available(before: Resource | None, now: Resource) -> bool:
    return _reported(now) and not _reported(before)


def _report_changed(before: Resource | None, now: Resource) -> bool:
    if before is None or not _reported(before):
        return False
    return any(before.get(name) != now.get(name) for name in before.keys() | now.keys() if name not in _ASIDE)


def survivors(patient: Resource | None) -> list[str]:
    """Whom the patient was merged into, as references."""
    links = () if patient is None else patient.get("link", ())
    return [link["other"].get("reference", "") for link in links if link.get("type") == "replaced-by"]


def _patient_merged(before: Resource | None, now: Resource) -> bool:
    return bool(set(survivors(now)) - set(survivors(before)))


TOPICS: dict[str, Topic] = {
    topic.url: topic
    for topic in (
        Topic(f"{_BASE}order-placed", "ServiceRequest", "An order is placed", _order_placed),
        Topic(f"{_BASE}order-changed", "ServiceRequest", "Status, step, time, code or priority", _order_changed),
        Topic(f"{_BASE}study-available", "ImagingStudy", "The first images of a study are here", _study_available),
        Topic(f"{_BASE}study-changed", "ImagingStudy", "More images, another status, order or patient", _study_changed),
        Topic(f"{_BASE}report-available", "DiagnosticReport", "A report can be read", _report_available),
        Topic(f"{_BASE}report-changed", "DiagnosticReport", "A report that could be read differs", _report_changed),
        Topic(f"{_BASE}patient-merged", "Patient", "A patient is replaced by another", _patient_merged),
    )
}
