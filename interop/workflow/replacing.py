"""Orders that replace others (v2.5.1 4.5.1.1, RP RQ RU and RO): the old ones end, the new ones say what they replace.

The ORCs of a message belong together: each RP (asked for), RQ (done as asked) or RU (done unasked) names an order that
ends, each RO one that takes its place, under its own placer number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interop.errors import InvalidContentError
from interop.mapping.mapped import MappedOrder

ENDING = frozenset({"RP", "RQ", "RU"})
PLACING = "RO"


def check(orders: Sequence[MappedOrder]) -> None:
    """InvalidContentError for a replacement that names no order to take the place of the old one."""
    ending = [order for order in orders if order.control in ENDING]
    if ending and not any(order.control == PLACING for order in orders):
        first = ending[0]
        place = "ORC-1" if first.index == 1 else f"ORC[{first.index}]-1"
        text = f"{first.control} replaces an order: the ORC of the new one (RO) is missing"
        raise InvalidContentError(text, location=place, hl7_code="103")


def links(order: MappedOrder, ended: Sequence[str]) -> dict[str, Any]:
    """``replaces`` of a new order: the orders (``ServiceRequest/<id>``) that ended before it in the message."""
    if order.control != PLACING or not ended:
        return {}
    return {"replaces": [{"reference": reference} for reference in dict.fromkeys(ended)]}
