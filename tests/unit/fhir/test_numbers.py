"""Numbers as ranges: the tables of https://hl7.org/fhir/R4/search.html#number and #quantity, and their edges."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.fhir.numbers import number_range, quantity_range, range_of, samples_range
from interop.fhir.query import HIGHEST, LOWEST, NumberValue
from interop.store.conditions import number_condition

RANGES = [
    ("100", 99.5, 100.5),
    ("100.00", 99.995, 100.005),
    ("1e2", 95.0, 105.0),
    ("1.0e2", 95.0, 105.0),
    ("5.4", 5.35, 5.45),
    ("5.40e-3", 0.005395, 0.005405),
    ("-5", -5.5, -4.5),
    ("+5", 4.5, 5.5),
    ("0", -0.5, 0.5),
    ("0.0", -0.05, 0.05),
]


@pytest.mark.parametrize(("text", "low", "high"), RANGES)
def test_what_rounds_to_a_number(text: str, low: float, high: float) -> None:
    assert number_range(text) == (float(text), low, high)


@pytest.mark.parametrize("text", ["", "x", "1.", ".5", "1e", "1e9999", "--1", "٣", "1" * 50, "NaN", "Infinity", "1 0"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError):
        number_range(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_a_number_is_always_among_what_rounds_to_it(value: Decimal) -> None:
    exact, low, high = number_range(f"{value:f}")
    assert low <= exact < high


# what a resource holds, by prefix: does value-quantity=<prefix>100 find it?
HOLDS = {
    "eq": {99.5: True, 100: True, 100.49: True, 100.5: False, 99.49: False},
    "ne": {99.5: False, 100: False, 100.5: True, 99.49: True},
    "lt": {99.99: True, 100: False, 100.1: False},
    "le": {99.99: True, 100: True, 100.1: False},
    "gt": {100: False, 100.1: True, 99.99: False},
    "ge": {100: True, 100.1: True, 99.99: False},
    "sa": {100.4: False, 100.5: True},
    "eb": {99.5: False, 99.49: True},
}


@pytest.mark.parametrize("prefix", HOLDS)
def test_every_prefix_at_its_boundaries(prefix: str) -> None:
    connection = sqlite3.connect(":memory:")
    value = NumberValue(prefix, *number_range("100"))
    for held, expected in HOLDS[prefix].items():
        condition = number_condition(value, str(held), str(held))
        asked = connection.execute(f"SELECT {condition.sql}", condition.values).fetchone()[0]
        assert bool(asked) is expected, (prefix, held)
    connection.close()


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ({"value": 5}, (5.0, 5.0)),
        ({"value": Decimal("5.4")}, (5.4, 5.4)),
        ({"value": 5, "comparator": "<="}, (LOWEST, 5.0)),
        ({"value": 5, "comparator": ">="}, (5.0, HIGHEST)),
        ({"unit": "kg"}, None),
        ({"value": True}, None),
    ],
)
def test_quantities(quantity: dict[str, Any], expected: tuple[float, float] | None) -> None:
    assert quantity_range(quantity) == expected


def test_a_comparator_leaves_its_own_end_out() -> None:
    below = quantity_range({"value": 5, "comparator": "<"})
    above = quantity_range({"value": 5, "comparator": ">"})
    assert below is not None
    assert above is not None
    assert (below[0], below[1] < 5, above[0] > 5, above[1]) == (LOWEST, True, True, HIGHEST)


def test_ranges_and_samples() -> None:
    assert range_of({"value": 1}, {"value": 2}) == (1.0, 2.0)
    assert range_of({}, {"value": 2}) == (LOWEST, 2.0)
    assert range_of({}, {}) is None
    sampled = {"origin": {"value": 10}, "factor": 2, "data": "-1 E 5 U"}
    assert samples_range(sampled) == (8.0, 20.0)
    assert samples_range({"origin": {"value": 10}}) == (10.0, 10.0)
    assert samples_range({}) is None
