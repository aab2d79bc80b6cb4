"""``interop hl7 preview``: what a message would become, and where each part of it comes from. Nothing is stored."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interop.cli import side_by_side
from interop.cli.hl7 import FileArgument, commands
from interop.cli.message_files import messages
from interop.errors import InteropError, NotFoundError
from interop.settings import Settings

WIDE = 120  # columns, into a file or a pipe


@commands.command("preview")
def preview(
    file: FileArgument,
    site: Annotated[
        str | None, typer.Option(help="Read it as this site file's sender (mappings/sites), whoever MSH-3/4 names.")
    ] = None,
    number: Annotated[int | None, typer.Option(min=1, help="Which message, where there are several.")] = None,
    every: Annotated[bool, typer.Option("--all", help="What the tables themselves say, too (types, systems).")] = False,
    columns: Annotated[
        int | None, typer.Option(min=40, max=1000, help="How wide; from 120 on FHIR, worklist and issues side by side.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as one JSON object, with the Bundle.")] = False,
) -> None:
    """Show the FHIR resources, the worklist items and the issues of a message, each element with its field.

    On a terminal of 120 columns or more the three stand side by side. A new order's item is shown for each station that
    it would be on; what it would wait for, if it would. Status 1 if the answer would be AE or AR, as that of send.
    """
    result = _explained(file, number, site)
    refused = result["answer"] != "AA"
    if as_json:
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False, default=str))
        sys.exit(1 if refused else 0)
    terminal = sys.stdout.isatty()
    console = Console(width=columns or (None if terminal else WIDE), highlight=False)
    beside = (columns is not None or terminal) and console.width >= side_by_side.LEAST
    _show(console, result, every=every, beside=beside)
    sys.exit(1 if refused else 0)


def _explained(file: str, number: int | None, site: str | None) -> dict[str, Any]:
    from interop.mapping.explained import Explaining, Where
    from interop.parts import site as site_of
    from interop.shipped import shipped
    from interop.workflow.planning import planned

    raw = _chosen(file, number)
    settings = Settings()
    rules = site_of(settings)
    explaining = Explaining(shipped("mappings"), zone=settings.zone, facility=settings.facility)
    name = PurePath(site).name.removesuffix(".toml") if site else None
    chosen = next((one for one in explaining.tables.sites if one.name == name), None)
    if site is not None and chosen is None:
        known = ", ".join(sorted(one.name for one in explaining.tables.sites)) or "none"
        raise NotFoundError(f"there is no site file named {site}; there are: {known}")

    def plan(order: dict[str, Any], patient: dict[str, Any]) -> Where | None:
        found = planned(rules, order, patient)
        if found is None:
            return None
        start = found.start_of(order, rules.zone) or datetime.now(UTC)
        stations = [(aet, station.location) for aet in found.stations if (station := rules.station(aet)) is not None]
        return Where(found.modality, start, stations, found.missing)

    return explaining.explain(raw, chosen, plan)


def _chosen(file: str, number: int | None) -> bytes:
    found = messages(file)
    if number is None and len(found) > 1:
        raise InteropError(f"there are {len(found)} messages in {file}: choose one by --number")
    if number is not None and number > len(found):
        raise NotFoundError(f"there is no message {number} in {file}: it has {len(found)}")
    return found[(number or 1) - 1]


def _show(console: Console, result: dict[str, Any], *, every: bool, beside: bool) -> None:
    by = f"by sites/{result['site']}" if result.get("site") else "by the shipped tables alone"
    answer = f"answer {result['answer']}"
    console.print(Text(f"{result['type']} {result['control_id']}, read as {result['charset']}, {by}: {answer}"))
    events = ", ".join(f"{one['control']} -> {one['event']}" for one in result["events"])
    if events:
        console.print(Text(f"events: {events}"))
    if result.get("cleared"):
        console.print(Text(f"emptied by the sender: {', '.join(result['cleared'])}"))
    if beside:
        console.print()
        console.print(side_by_side.columns(result, lambda value: _printable(_value(value)), every=every))
        return
    for resource in result["elements"]:
        console.print()
        console.print(_elements(resource, every=every))
    for order in result["worklist"]:
        _show_worklist(console, order)
    console.print()
    if not result["issues"]:
        console.print("issues: none")
        return
    table = _table(("severity", 11), ("field", 16), ("issue", None))
    for issue in result["issues"]:
        table.add_row(*_cells(issue.get("severity", "error"), issue.get("location", ""), issue.get("text", "")))
    console.print(table)


def _elements(resource: dict[str, Any], *, every: bool) -> Table:
    table = _table((resource["resource"], None), ("value", 40), ("<- field", 16))
    for one in resource["elements"]:
        if every or not one.get("fixed"):
            table.add_row(*_cells(one["path"], one["value"], f"<- {one['from']}"))
    return table


def _show_worklist(console: Console, order: dict[str, Any]) -> None:
    console.print()
    if order["missing"]:
        console.print(Text(f"worklist: {order['order']} would wait: {order['missing']}"))
        return
    stations = ", ".join(item["station"] for item in order["items"])
    console.print(Text(f"worklist: {order['order']}, on {stations}; the first of them:"))
    table = _table(("DICOM", 38), ("value", 24), ("<- FHIR", None), ("<- field", 14))
    for one in order["items"][0]["attributes"] if order["items"] else ():
        keyword = one["keyword"].replace("ScheduledProcedureStepSequence.", "> ")
        table.add_row(*_cells(keyword, _value(one["value"]), one["element"], one["from"]))
    console.print(table)


def _value(value: Any) -> str:
    """An item of a sequence by its values: nobody reads nested JSON in a column."""
    if isinstance(value, list):
        return "; ".join(_value(one) for one in value)
    if isinstance(value, dict):
        return " ".join(_value(one) for one in value.values())
    return str(value)


def _table(*columns: tuple[str, int | None]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title, width in columns:
        table.add_column(title, overflow="fold", width=width, ratio=None if width else 1)
    return table


def _cells(*values: Any) -> list[Text]:
    return [Text(_printable(value)) for value in values]


def _printable(value: Any) -> str:
    return "".join(char if char.isprintable() else " " for char in _short(value))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:180]}… ({len(text)} characters)"
