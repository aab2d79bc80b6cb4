"""``interop hl7 validate``: what a feed's messages have that the standard has not, and the other way round."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from interop.cli.hl7 import commands
from interop.cli.message_files import messages
from interop.errors import MalformedError
from interop.hl7.conformance import Found, Report, examine
from interop.hl7.message import parse

_ORDER = {"error": 0, "warning": 1, "information": 2}


@dataclass(frozen=True, slots=True)
class Examined:
    """One message of a file: its report, or why there is none; without a number a file that holds none to examine."""

    file: str
    number: int | None
    report: Report | None
    unreadable: str = ""


@commands.command("validate")
def validate(
    files: Annotated[list[str], typer.Argument(help="HL7 v2 messages, one or many in a file; - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object for each message, one a line.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Status 1 for warnings too.")] = False,
) -> None:
    """Hold messages against the standard of their version: structure, cardinality, type, length, table.

    Every segment is in the report; what recurs is gathered by place. Status 1 if there is an error, 2 if a file cannot
    be read or holds no message; the others are examined all the same. Nothing is stored, and no server is needed.
    """
    read = [_read(file) for file in files]
    pieces = [(one.file, number, raw) for one in read for number, raw in enumerate(one.messages, 1)]
    shown = track(pieces, "validate", console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    examined = [_examined(*piece) for piece in shown]
    without = [Examined(one.file, None, None, one.fault) for one in read if one.fault]
    if as_json:
        for one in (*examined, *without):
            typer.echo(json.dumps(_as_json(one), ensure_ascii=False))
    elif examined:
        _print(examined)
    for one in without:
        typer.echo(f"interop: {one.unreadable}", err=True)
    severities = {found.severity for one in examined if one.report for found in one.report.found}
    bad = {"error", "warning"} if strict else {"error"}
    if without:
        sys.exit(2)
    sys.exit(1 if severities & bad or any(one.report is None for one in examined) else 0)


class _Read(NamedTuple):
    """A file: its messages, or why it has none."""

    file: str
    messages: list[bytes]
    fault: str = ""


def _read(file: str) -> _Read:
    try:
        return _Read(file, messages(file))
    except MalformedError as error:
        return _Read(file, [], error.text)
    except OSError as error:
        return _Read(file, [], f"{file}: {error.strerror or error}")


def _examined(file: str, number: int, raw: bytes) -> Examined:
    try:
        message = parse(raw)
    except MalformedError as error:
        return Examined(file, number, None, error.text)
    report = examine(message)
    report.found += [Found(issue.location or "MSH", "warning", "reading", issue.text) for issue in message.issues]
    return Examined(file, number, report)


def _as_json(one: Examined) -> dict[str, Any]:
    place = {"file": one.file, "number": one.number}
    if one.report is None:
        return {**place, "unreadable": one.unreadable}
    return {**place, **asdict(one.report)}


def _print(examined: Sequence[Examined]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 200)
    reports = [one.report for one in examined if one.report is not None]
    kinds = Counter(f"{one.type} {one.version} ({one.structure or 'no structure'})" for one in reports)
    summary = Table("messages", "type, version, structure", box=None, pad_edge=False)
    for kind, count in kinds.most_common():
        summary.add_row(str(count), Text(kind))
    console.print(summary)
    standings = Counter((_name(line.location), line.standing) for one in reports for line in one.segments)
    segments = Table("segment", "count", "standing", box=None, pad_edge=False)
    for (name, standing), count in sorted(standings.items()):
        segments.add_row(Text(name), str(count), standing)
    console.print(segments)
    gathered: dict[tuple[int, str, str, str], list[str]] = {}
    for one in examined:
        for found in one.report.found if one.report else ():
            key = (_ORDER[found.severity], found.place, found.rule, found.text)
            gathered.setdefault(key, []).append(f"{one.file}:{one.number} {found.location}")
    table = Table("", "place", "rule", "what", "count", "first", box=None, pad_edge=False)
    for (severity, place, rule, text), places in sorted(gathered.items()):
        row = (list(_ORDER)[severity], place, rule, text, str(len(places)), places[0])
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    for one in examined:
        if one.report is None:
            console.print(Text(f"error  {one.file}:{one.number} cannot be read: {one.unreadable}"))
    counted = Counter(found.severity for one in reports for found in one.found)
    unread = len(examined) - len(reports)
    console.print(
        f"{len(examined)} messages, {counted['error']} errors, {counted['warning']} warnings"
        + (f", {unread} unreadable" if unread else "")
    )


def _name(location: str) -> str:
    return location.partition("[")[0]
