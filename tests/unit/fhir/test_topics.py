"""What each topic takes for an event."""

from __future__ import annotations

from typing import Any

import pytest

from interop.fhir.names import EXT_STEP
from interop.fhir.topics import TOPICS

ORDER = {"status": "active", "intent": "order"}
DRAFT = {"status": "draft", "intent": "order"}
PLAN = {"status": "active", "intent": "plan"}
STUDY = {"status": "available", "numberOfInstances": 3}
REPORT = {"status": "preliminary"}
MERGED = {"link": [{"other": {"reference": "Patient/2"}, "type": "replaced-by"}]}
SEEALSO = {"link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}]}


def stepped(step: str) -> dict[str, Any]:
    return {**ORDER, "extension": [{"url": EXT_STEP, "valueCode": step}]}


CASES: list[tuple[str, dict[str, Any] | None, dict[str, Any], bool]] = [
    ("order-placed", None, ORDER, True),
    ("order-placed", DRAFT, ORDER, True),
    ("order-placed", ORDER, ORDER, False),
    ("order-placed", None, DRAFT, False),
    ("order-placed", None, PLAN, False),
    ("order-changed", None, ORDER, False),
    ("order-changed", ORDER, {**ORDER, "status": "revoked"}, True),
    ("order-changed", stepped("scheduled"), stepped("arrived"), True),
    ("order-changed", ORDER, {**ORDER, "note": [{"text": "x"}]}, False),
    ("order-changed", DRAFT, ORDER, False),
    ("study-available", None, STUDY, True),
    ("study-available", {"status": "registered"}, STUDY, True),
    ("study-available", None, {"status": "registered"}, False),
    ("study-available", STUDY, {**STUDY, "numberOfInstances": 4}, False),
    ("study-changed", STUDY, {**STUDY, "numberOfInstances": 4}, True),
    ("study-changed", STUDY, {**STUDY, "meta": {"versionId": "2"}}, False),
    ("study-changed", None, STUDY, False),
    ("report-available", None, REPORT, True),
    ("report-available", {"status": "registered"}, REPORT, True),
    ("report-available", REPORT, {"status": "final"}, False),
    ("report-changed", REPORT, {"status": "final"}, True),
    ("report-changed", REPORT, {**REPORT, "meta": {"versionId": "2"}}, False),
    ("report-changed", REPORT, {"status": "entered-in-error"}, True),
    ("patient-merged", {}, MERGED, True),
    ("patient-merged", None, MERGED, True),
    ("patient-merged", MERGED, {**MERGED, "active": False}, False),
    ("patient-merged", {}, SEEALSO, False),
]


@pytest.mark.parametrize(("name", "before", "now", "happened"), CASES)
def test_an_event_is_what_the_topic_says(
    name: str, before: dict[str, Any] | None, now: dict[str, Any], happened: bool
) -> None:
    assert TOPICS[f"urn:interop:SubscriptionTopic:{name}"].happened(before, now) is happened
