"""What is known of a patient that a modality is shown: the measurements that count for an examination.

Of each kind the latest counts, and only while it can still be true on the day of the examination: a weight of years ago
makes a wrong dose, and "not pregnant" of last month says nothing. What is too old is left out, which DICOM reads as
"not known" (type 2), and whoever stands at the modality asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from interop.fhir.times import instant
from interop.mapping.codes import CodeTable

Resource = Mapping[str, Any]

FACTS, PREGNANCY_CODES = "patient_fact", "pregnancy_dicom"  # code tables
_ROOTS = {"weight": "Weight", "size": "Size", "pregnancy": "Pregnancy"}
_VISIT_NUMBERS = ("VN", "AN")  # types of table 0203
_MEASURED = timedelta(days=365)
_PREGNANT, _NOT_PREGNANT = timedelta(days=300), timedelta(days=14)
_SAID = frozenset({"preliminary", "final", "amended", "corrected"})  # statuses of an Observation that has a value
_OWN = _SAID | {"unknown"}  # of what comes with an order: its senders leave OBX-11 empty
_NO_ALLERGY = frozenset({"inactive", "resolved", "refuted", "entered-in-error"})


class Known(NamedTuple):
    """What is stored besides an order and its patient, and stands in the worklist too."""

    resolved: Mapping[str, dict[str, Any]] = {}  # resources by reference (``Practitioner/7``)
    encounter: Mapping[str, Any] | None = None  # the visit that the order names
    clinical: Sequence[Mapping[str, Any]] = ()  # Observations, AllergyIntolerances and Flags of the patient


NOTHING = Known()


def fact_of(observation: Resource, codes: Mapping[str, CodeTable]) -> str:
    """``weight``, ``size`` or ``pregnancy``; "" where an Observation is of nothing that a worklist has a place for."""
    table, concept = codes[FACTS], observation.get("code", {})
    for coding in concept.get("coding", ()):
        found = table.find(str(coding.get("code", "")), coding.get("system", ""))
        found = found or table.find(str(coding.get("display", "")))
        if found is not None and found.target:
            return found.target
    found = table.find(str(concept.get("text", "")))
    return found.target if found is not None else ""


def fact_codes(codes: Mapping[str, CodeTable]) -> tuple[str, ...]:
    """The codes, without their systems, that such Observations have."""
    return tuple(sorted({code.rpartition("|")[2] for code in codes[FACTS].rows}))


def facts_of(
    order: Resource,
    clinical: Iterable[Resource],
    codes: Mapping[str, CodeTable],
    start: datetime | date,
    zone: tzinfo,
) -> dict[str, Any]:
    """What rows read of the patient: ``Weight``, ``Size``, ``Pregnancy`` (an Observation each) and, as lists,
    ``AllergyIntolerance`` and ``Flag``; what is not known is not there.

    ``clinical`` are Observations, AllergyIntolerances and Flags of the patient; those that the order contains count
    with them. ``start`` is when the examination is planned.
    """
    own, clinical = list(order.get("contained", ())), list(clinical)
    known = [*own, *clinical]
    found: dict[str, Any] = {}
    for kind, root in _ROOTS.items():
        said = [one for one in own if _is_said(one, _OWN)] + [one for one in clinical if _is_said(one, _SAID)]
        observations = [one for one in said if fact_of(one, codes) == kind]
        latest = max(observations, key=lambda one: _moment(one, order, zone), default=None)
        if latest is not None and _still_true(kind, latest, order, codes, start, zone):
            found[root] = latest
    allergies = [one for one in known if one.get("resourceType") == "AllergyIntolerance" and not _is_over(one)]
    flags = [one for one in known if one.get("resourceType") == "Flag" and one.get("status") == "active"]
    return found | {name: some for name, some in (("AllergyIntolerance", allergies), ("Flag", flags)) if some}


def visit_of(order: Resource, encounter: Resource | None) -> Mapping[str, Any] | None:
    """The number of the visit: what the order says itself, else of its Encounter the visit number, else any."""
    told: Mapping[str, Any] = order.get("encounter", {}).get("identifier", {})
    if told.get("value"):
        return told
    found = [one for one in (encounter or {}).get("identifier", ()) if one.get("value")]
    return min(found, key=_rank, default=None)


def _rank(identifier: Resource) -> int:
    codes = [coding.get("code") for coding in identifier.get("type", {}).get("coding", ())]
    return next((at for at, code in enumerate(_VISIT_NUMBERS) if code in codes), len(_VISIT_NUMBERS))


def pregnancy_of(value: Resource, codes: Mapping[str, CodeTable]) -> int | None:
    """A pregnancy status as PregnancyStatus (0010,21C0); None for an answer that is not known here."""
    table = codes[PREGNANCY_CODES]
    told = [(str(one.get("code", "")), one.get("system", "")) for one in value.get("coding", ())]
    for code, system in (*told, (str(value.get("text", "")), "")):
        found = table.find(code, system)
        if found is not None:
            return int(found.target)
    return None


def answer_of(observation: Resource) -> dict[str, Any]:
    """What an Observation answers, as a CodeableConcept, a text or a truth value too."""
    if "valueBoolean" in observation:
        return {"text": "Y" if observation["valueBoolean"] else "N"}
    return dict(observation.get("valueCodeableConcept") or {"text": str(observation.get("valueString", "")).strip()})


def _is_said(resource: Resource, statuses: frozenset[str]) -> bool:
    return resource.get("resourceType") == "Observation" and resource.get("status") in statuses


def _is_over(allergy: Resource) -> bool:
    """An allergy that the patient does not have, or has no more."""
    stated = (allergy.get("clinicalStatus", {}), allergy.get("verificationStatus", {}))
    return any(coding.get("code") in _NO_ALLERGY for status in stated for coding in status.get("coding", ()))


def _still_true(
    kind: str, observation: Resource, order: Resource, codes: Mapping[str, CodeTable], start: datetime | date,
    zone: tzinfo,
) -> bool:  # fmt: skip
    limit = _MEASURED
    if kind == "pregnancy":
        limit = _PREGNANT if pregnancy_of(answer_of(observation), codes) in (2, 3) else _NOT_PREGNANT
    planned = start if isinstance(start, datetime) else datetime(start.year, start.month, start.day, tzinfo=zone)
    return planned - _moment(observation, order, zone) <= limit


def _moment(observation: Resource, order: Resource, zone: tzinfo) -> datetime:
    """When it was so, else when it was told; what an order brings without a date is of the order's day."""
    period: Sequence[Any] = [observation.get("effectivePeriod", {}).get(end) for end in ("end", "start")]
    texts = (
        observation.get("effectiveDateTime"),
        observation.get("effectiveInstant"),
        *period,
        observation.get("issued"),
        observation.get("meta", {}).get("lastUpdated"),
        order.get("authoredOn"),
    )
    text = next((one for one in texts if one), None)
    try:
        return instant(str(text), zone)
    except ValueError:  # without a date that can be read it is as old as can be
        return datetime.min.replace(tzinfo=UTC)
