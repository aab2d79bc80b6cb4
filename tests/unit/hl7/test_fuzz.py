"""A short run of ``make fuzz``; and that the fuzzer would say so if something fell over."""

from __future__ import annotations

import pytest

from tests.fuzz import Fuzz


@pytest.mark.parametrize("seed", [1, 20261125])
def test_mutated_frames_are_read_refused_or_reported_and_never_fall_over(seed: int) -> None:
    fuzz = Fuzz(seed)
    fuzz.run(6000, seconds=120)
    assert fuzz.findings == []
    for outcome in ("mapped", "refused", "unreadable", "written", "batches", "fault torn", "fault unframed"):
        assert fuzz.counts[outcome] > 20, outcome


def test_a_seed_gives_the_same_frames() -> None:
    first, second = (list(Fuzz(7).frames(50)) for _ in range(2))
    assert first == second
    assert first != list(Fuzz(8).frames(50))


def test_what_falls_over_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tests.fuzz.map_message", bug)
    fuzz = Fuzz(1)
    fuzz.run(200, seconds=60)
    assert fuzz.findings
    assert "ZeroDivisionError" in fuzz.findings[0]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_mutated_frames() -> None:
    fuzz = Fuzz(3)
    fuzz.run(100_000, seconds=1500)
    assert fuzz.findings == []
    assert fuzz.counts["mapped"] > 1000
