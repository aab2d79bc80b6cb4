"""Which acknowledgements MSH-15 and MSH-16 ask for, every pair of them in every mode."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from interop.hl7.acknowledgement import acknowledge
from interop.hl7.acknowledgement_mode import ORIGINAL, Mode, asked_of, due
from interop.hl7.message import Message, parse

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)


def asking(accept: str, application: str, version: str = "2.5.1") -> Message:
    return parse(f"MSH|^~\\&|A|B|||1||ORM^O01|1|P|{version}|||{accept}|{application}\rPID|1\r".encode())


@pytest.mark.parametrize(
    ("accept", "application", "asked"),
    [
        ("", "", ("NE", "AL")),
        ("NE", "AL", ("NE", "AL")),
        ("", "AL", ("NE", "AL")),
        ("AL", "NE", ("AL", "NE")),
        ("AL", "", ("AL", "NE")),
        ("AL", "AL", ("AL", "AL")),
        ("ER", "SU", ("ER", "SU")),
        ("SU", "ER", ("SU", "ER")),
        ("NE", "NE", ("NE", "NE")),
        ("NE", "ER", ("NE", "ER")),
        ("", "SU", ("NE", "SU")),
        ("", "NE", ("AL", "NE")),  # never the application's alone: somebody has to say that it came
        ("al", " ne ", ("AL", "NE")),
        ("XX", "AL", ("AL", "AL")),  # not of table 0155
        ('""', "AL", ("NE", "AL")),
    ],
)
def test_by_message(accept: str, application: str, asked: tuple[str, str]) -> None:
    found = asked_of(asking(accept, application), "by-message")
    assert found == asked
    assert (found is ORIGINAL) == (asked == ("NE", "AL"))


@pytest.mark.parametrize(
    ("mode", "accept", "application", "asked"),
    [
        ("original", "AL", "AL", ("NE", "AL")),
        ("original", "NE", "NE", ("NE", "AL")),
        ("enhanced", "", "", ("AL", "AL")),
        ("enhanced", "", "NE", ("AL", "NE")),
        ("enhanced", "ER", "", ("ER", "AL")),
        ("enhanced", "NE", "AL", ("NE", "AL")),
    ],
)
def test_as_the_site_says(mode: Mode, accept: str, application: str, asked: tuple[str, str]) -> None:
    assert asked_of(asking(accept, application), mode) == asked


def test_an_msh_that_ends_early_asks_for_nothing() -> None:
    assert asked_of(parse(b"MSH|^~\\&|A|B\r"), "by-message") is ORIGINAL


def test_conditions() -> None:
    assert [due(condition, True) for condition in ("AL", "NE", "ER", "SU")] == [True, False, False, True]
    assert [due(condition, False) for condition in ("AL", "NE", "ER", "SU")] == [True, False, True, False]


@pytest.mark.parametrize(
    ("version", "type"), [("2.2", "ORR^O02"), ("2.3", "ORR^O02"), ("2.3.1", "ORR^O02^ORR_O02"), ("", "ORR^O02^ORR_O02")]
)
def test_an_answer_of_another_type_that_asks_for_an_accept_acknowledgement(version: str, type: str) -> None:
    raw = acknowledge(
        asking("AL", "AL", version),
        "AA",
        control_id="A1",
        now=NOW,
        facility="IMG",
        type_=("ORR", "O02"),
        asks=("AL", "NE"),
        segments=("ORC|OK|P1",),
    )
    answer = parse(raw)
    assert (answer.get("MSH-9"), answer.get("MSH-15"), answer.get("MSH-16")) == (type, "AL", "NE")
    assert [one.name for one in answer.segments] == ["MSH", "MSA", "ORC"]
