"""A preview in three columns: FHIR elements, worklist items and issues beside one another, each with its field.

Widths are those of a terminal: rich counts East Asian letters as two columns and combining ones as none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

LEAST = 120  # columns from which three fit beside one another

Shown = Callable[[Any], str]  # a value as people read it


def columns(result: dict[str, Any], shown: Shown, *, every: bool) -> Table:
    """The three columns; a line of each says what and from which field, the one below it the value."""
    table = Table(box=None, pad_edge=False, expand=True, padding=(0, 2, 0, 0))
    for title, ratio in (("FHIR <- field", 5), ("worklist item <- field", 5), ("issues", 3)):
        table.add_column(title, overflow="fold", ratio=ratio)
    table.add_row(*map(_joined, (_elements(result, shown, every=every), _items(result, shown), _issues(result, shown))))
    return table


def _joined(entries: Iterator[tuple[str, str, str]]) -> Group:
    lines: list[RenderableType] = []
    for style, line, below in entries:
        lines.append(Text(line, style=style, overflow="fold"))
        if below:
            lines.append(Padding(Text(below, overflow="fold"), (0, 0, 0, 2)))
    return Group(*lines)


def _elements(result: dict[str, Any], shown: Shown, *, every: bool) -> Iterator[tuple[str, str, str]]:
    for resource in result["elements"]:
        yield "bold", resource["resource"], ""
        for one in resource["elements"]:
            if every or not one.get("fixed"):
                yield "", f"{shown(one['path'])} <- {shown(one['from'])}", shown(one["value"])


def _items(result: dict[str, Any], shown: Shown) -> Iterator[tuple[str, str, str]]:
    if not result["worklist"]:
        yield "", "none", ""
    for order in result["worklist"]:
        if order["missing"]:
            yield "bold", shown(order["order"]), f"would wait: {shown(order['missing'])}"
            continue
        yield "bold", f"{shown(order['order'])}, on {', '.join(item['station'] for item in order['items'])}", ""
        for one in order["items"][0]["attributes"] if order["items"] else ():
            keyword = one["keyword"].replace("ScheduledProcedureStepSequence.", "> ")
            origin = one["from"] or one["element"]
            yield "", f"{keyword}{f' <- {shown(origin)}' if origin else ''}", shown(one["value"])


def _issues(result: dict[str, Any], shown: Shown) -> Iterator[tuple[str, str, str]]:
    if not result["issues"]:
        yield "", "none", ""
    for one in result["issues"]:
        place = f"{one.get('severity', 'error')} {one.get('location', '')}".strip()
        yield "", shown(place), shown(one.get("text", ""))
