"""Numbers of R4 as ranges: what a search value stands for by its precision (R4 search.html#number)."""

from __future__ import annotations

import re
from decimal import Decimal
from math import inf, nextafter
from typing import Any

from interop.fhir.query import HIGHEST, LOWEST

_TEXT = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]+)?)(?:[eE]([+-]?[0-9]{1,3}))?", re.ASCII)
MAX_DIGITS = 40


def number_range(text: str) -> tuple[float, float, float]:
    """The number and the half-open range of what rounds to it: 100 is [99.5, 100.5), 5.40e-3 is [5.395e-3, 5.405e-3).

    A single digit with an exponent counts as two (1e2 is [95, 105)), as the table of search.html#number has it.
    ValueError if it is no number.
    """
    match = _TEXT.fullmatch(text)
    if match is None or len(match[2]) > MAX_DIGITS:
        raise ValueError(f"not a number: {text[:40]!r}")
    exact = Decimal(text)
    digits, exponent = len(match[2].replace(".", "")), match[3]
    places = len(match[2].partition(".")[2])
    last = int(exponent or 0) - places
    if exponent is not None and digits == 1:
        last -= 1
    half = Decimal(5).scaleb(last - 1)
    number = _within(exact)  # as a double, which has fewer digits than some texts
    return number, min(_within(exact - half), number), max(_within(exact + half), _above(number))


def around(exact: float) -> tuple[float, float]:
    """What is approximately the number: within a tenth (R4 search.html#prefix, ap)."""
    return exact - abs(exact) / 10, exact + abs(exact) / 10


def quantity_range(quantity: dict[str, Any]) -> tuple[float, float] | None:
    """The closed range that a Quantity's value and comparator stand for; None without a value."""
    value = _number(quantity.get("value"))
    if value is None:
        return None
    match quantity.get("comparator"):
        case "<":
            return LOWEST, _below(value)
        case "<=":
            return LOWEST, value
        case ">":
            return _above(value), HIGHEST
        case ">=":
            return value, HIGHEST
    return value, value


def range_of(low: dict[str, Any], high: dict[str, Any]) -> tuple[float, float] | None:
    """The closed range of a Range; None where it has neither end."""
    first, last = _number(low.get("value")), _number(high.get("value"))
    if first is None and last is None:
        return None
    return LOWEST if first is None else first, HIGHEST if last is None else last


def samples_range(sampled: dict[str, Any]) -> tuple[float, float] | None:
    """From the least to the greatest of SampledData: origin + data x factor (R4 datatypes.html#SampledData)."""
    origin = _number((sampled.get("origin") or {}).get("value"))
    if origin is None:
        return None
    factor = _number(sampled.get("factor"))
    points = [float(point) for point in str(sampled.get("data") or "").split() if _TEXT.fullmatch(point)]
    values = [origin + point * (1.0 if factor is None else factor) for point in points] or [origin]
    return max(min(values), LOWEST), min(max(values), HIGHEST)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return _within(value)


def _within(value: int | float | Decimal) -> float:
    return min(max(float(value), LOWEST), HIGHEST)


def _below(value: float) -> float:
    return nextafter(value, -inf)


def _above(value: float) -> float:
    return nextafter(value, inf)
