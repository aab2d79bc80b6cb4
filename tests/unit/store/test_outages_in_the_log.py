"""PostgreSQL away in the middle of a feed: the log says why, once, and not once for everybody who ran into it."""

from __future__ import annotations

import logging

import pytest

from interop.store import postgresql
from interop.store.postgresql import _Outages


def test_an_outage_is_told_once_and_then_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages = _Outages()
    with caplog.at_level(logging.ERROR):
        for _ in range(50):
            outages.note("connection refused")
        assert [record.getMessage() for record in caplog.records] == [
            "the database refused a commit: connection refused"
        ]
        monkeypatch.setattr(postgresql, "_OUTAGE_PAUSE", 0.0)
        outages.note("57P03")
    assert caplog.records[-1].getMessage() == "the database refused a commit: 57P03 (49 more before)"
