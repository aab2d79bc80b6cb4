"""Where the patient of a visit is, was and will be: Encounter.location as one event after the other tells it.

After the v2-to-FHIR guide PV1-3 is the active place, PV1-6 a completed and PV1-42 a planned one. A transfer (A02) ends
the stay at the place before; its cancelling (A12) takes the patient back there. What is completed stays.
"""

from __future__ import annotations

from typing import Any

Place = dict[str, Any]

TRANSFER, CANCEL_TRANSFER = "A02", "A12"
_ACTIVE, _COMPLETED = "active", "completed"


def places(before: list[Place], told: list[Place], event: str) -> list[Place]:
    """The places after the event: the present one, those left, and what is planned."""
    present = next((place for place in told if place["status"] == _ACTIVE), None)
    left = [place for place in before if place["status"] == _COMPLETED]
    known = next((place for place in before if place["status"] == _ACTIVE), None)
    if known is not None and (present is None or _same(known, present)):
        present = known if present is None else {**present, **known}
    elif known is not None and present is not None and event == TRANSFER:
        left.append(_ended(known, present))
    elif present is not None and event == CANCEL_TRANSFER:
        present, left = _back(present, left)
    former = [place for place in told if place["status"] == _COMPLETED and not _among(place, left, event)]
    planned = [place for place in told if place["status"] == "planned"]
    return [*([present] if present else []), *left, *former, *planned]


def _same(one: Place, other: Place) -> bool:
    return bool(one["location"] == other["location"])


def _among(place: Place, left: list[Place], event: str) -> bool:
    """A12 repeats in PV1-6 where the patient never went (v2.5.1 3.3.12)."""
    return event == CANCEL_TRANSFER or any(_same(place, one) for one in left)


def _ended(place: Place, following: Place) -> Place:
    period = {**place.get("period", {})}
    moment = following.get("period", {}).get("start")
    if moment:
        period["end"] = moment
    return {**place, "status": _COMPLETED} | ({"period": period} if period else {})


def _back(present: Place, left: list[Place]) -> tuple[Place, list[Place]]:
    """The place that the patient has not left after all, and the others."""
    for index in range(len(left) - 1, -1, -1):
        if _same(left[index], present):
            period = {name: value for name, value in left[index].get("period", {}).items() if name != "end"}
            again = {**present} | ({"period": period} if period else {})
            return again, [*left[:index], *left[index + 1 :]]
    return present, left
