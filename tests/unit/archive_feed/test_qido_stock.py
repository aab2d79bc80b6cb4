"""What an archive that speaks DICOMweb alone says of a study."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import pytest

from interop.archive_feed.qido_stock import QidoStock


def image(patient: str, number: int) -> dict[str, Any]:
    values = {
        "00080008": ("CS", "ORIGINAL"),
        "00080016": ("UI", "1.2.840.10008.5.1.4.1.1.2"),
        "00080018": ("UI", f"1.2.3.{number}"),
        "00080060": ("CS", "CT"),
        "00100020": ("LO", patient),
        "0020000D": ("UI", "1.2"),
        "0020000E": ("UI", f"1.2.{number}"),
    }
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in values.items()}


class Archive:
    """A study under two patients."""

    async def search(self, level: str, parameters: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        return []

    async def metadata(self, study: str) -> list[dict[str, Any]]:
        return [image("P1", 1), image("P2", 2), image("P1", 3)]


@pytest.mark.parametrize(("held", "patient"), [("P1", "P1"), ("P2", "P2"), ("P3", "P1"), ("", "P1"), (None, "P1")])
async def test_a_study_under_several_patients_stays_with_whom_it_was(held: str | None, patient: str) -> None:
    async def known(_uid: str) -> str | None:
        return held

    facts = await QidoStock(Archive(), UTC, held=known).whole("1.2")
    assert facts is not None
    assert (facts.patient_id, len(facts.series)) == (patient, 3)
    assert {image.title for series in facts.series for image in series.instances} == {"ORIGINAL"}
