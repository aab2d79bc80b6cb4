"""``interop hl7 list``, ``replay``, ``resend`` and ``drop``: seeing the messages, and steering them.

Both leave audit rows, so both go through the server that holds a SQLite file, over its own address and with a bearer
made here; without a server, and on PostgreSQL, they open the database itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from interop.cli.acting import SHOWN, Act, DryRun, Limit, Number, Yes, carry_out
from interop.cli.hl7 import commands
from interop.cli.tables import plain, wide
from interop.settings import Settings

if TYPE_CHECKING:
    from interop.store import MessageLine

Patient = Annotated[str | None, typer.Option("--patient", help="Id of a Patient, or one of its identifiers.")]
Accession = Annotated[str | None, typer.Option("--accession", help="Accession number of an order.")]
ControlId = Annotated[str | None, typer.Option("--control-id", help="MSH-10.")]
Type = Annotated[str | None, typer.Option("--type", help="How the type begins: ORM, ORM^O01; fault for faults.")]
State = Annotated[
    str | None,
    typer.Option(
        "--state",
        help="received, refused; fault: connections that came to nothing; queued, sent, unanswered, dead, dropped.",
    ),
]
Direction = Annotated[str | None, typer.Option("--direction", help="in or out.")]
Peer = Annotated[str | None, typer.Option("--peer", help="Address of a sender, name of a receiver.")]
Since = Annotated[str | None, typer.Option("--since", help="A moment (2026-11-21T08:30), or how long ago: 90m, 2h.")]
Until = Annotated[str | None, typer.Option("--until", help="The same; before that.")]


@commands.command("list")
def list_messages(
    patient: Patient = None,
    accession: Accession = None,
    control_id: ControlId = None,
    type: Type = None,
    state: State = None,
    direction: Direction = None,
    peer: Peer = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
) -> None:
    """List messages in and out with what became of them, newest first; the server may run or not."""
    settings = Settings()
    words = _words(patient, accession, control_id, type, state, direction, peer, since, until)
    lines = _lines(settings, words, limit)
    if as_json:
        from interop.hl7_api import shown_line

        for line in lines:
            typer.echo(json.dumps(shown_line(line), ensure_ascii=False))
        return
    wide().print(_table(lines, settings))
    Console(stderr=True).print(f"{len(lines)} message{'s' if len(lines) != 1 else ''}")


@commands.command("replay")
def replay(
    number: Number = None,
    patient: Patient = None,
    accession: Accession = None,
    control_id: ControlId = None,
    type: Type = None,
    peer: Peer = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 10_000,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Carry refused messages out again, oldest first, once a table or an order was mended.

    A message that was answered AA is never carried out twice: it is named and left as it is.
    """
    words = _words(patient, accession, control_id, type, "refused", "in", peer, since, until)
    _steer("replay", number, words, limit, dry_run=dry_run, yes=yes)


@commands.command("resend")
def resend(
    number: Number = None,
    patient: Patient = None,
    accession: Accession = None,
    control_id: ControlId = None,
    type: Type = None,
    state: Annotated[
        str, typer.Option("--state", help="dead, unanswered, sent, dropped; queued: try them now.")
    ] = "dead",
    peer: Peer = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 10_000,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Owe messages of ours again, with the same bytes, oldest first; those that are owed already are tried now."""
    words = _words(patient, accession, control_id, type, state, "out", peer, since, until)
    _steer("resend", number, words, limit, dry_run=dry_run, yes=yes)


@commands.command("drop")
def drop(
    number: Number = None,
    patient: Patient = None,
    accession: Accession = None,
    control_id: ControlId = None,
    type: Type = None,
    state: Annotated[str, typer.Option("--state", help="dead, unanswered or queued.")] = "dead",
    peer: Peer = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 10_000,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Give messages of ours up that wait or are dead. They are kept, and marked as dropped."""
    words = _words(patient, accession, control_id, type, state, "out", peer, since, until)
    _steer("drop", number, words, limit, dry_run=dry_run, yes=yes)


def _words(
    patient: str | None,
    accession: str | None,
    control_id: str | None,
    type: str | None,
    state: str | None,
    direction: str | None,
    peer: str | None,
    since: str | None,
    until: str | None,
) -> dict[str, str]:
    given = {
        "patient": patient,
        "accession": accession,
        "control-id": control_id,
        "type": type,
        "state": state,
        "direction": direction,
        "peer": peer,
        "since": since,
        "until": until,
    }
    return {name: value for name, value in given.items() if value is not None}


def _steer(
    verb: str, numbers: Sequence[int] | None, words: dict[str, str], limit: int, *, dry_run: bool, yes: bool
) -> None:
    settings = Settings()
    lines = _lines(settings, words, limit, numbers)
    if verb == "replay" and not numbers:
        whole = [line for line in lines if line.control_id and not line.type.startswith("fault ")]
        if len(whole) < len(lines):
            left = f"{len(lines) - len(whole)} left out that are no whole messages (interop hl7 list --state refused)"
            Console(stderr=True).print(left)
        lines = whole
    wide().print(_table(lines[:SHOWN], settings))

    @asynccontextmanager
    async def acting() -> AsyncIterator[Act]:
        from interop.cli.desk import open_desk

        async with open_desk(settings) as desk:
            yield lambda id: desk.act(verb, id)

    carry_out(verb, "message", [line.id for line in lines], acting, dry_run=dry_run, yes=yes)


def _lines(
    settings: Settings, words: dict[str, str], limit: int, numbers: Sequence[int] | None = None
) -> list[MessageLine]:
    from interop.cli.desk import found, numbered

    return asyncio.run(numbered(settings, numbers) if numbers else found(settings, words, limit))


def _table(lines: Sequence[MessageLine], settings: Settings) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("number", "at", "dir", "type", "state", "ack", "control id", "peer", "tries", "took", "about"):
        table.add_column(title, overflow="fold", no_wrap=title in ("number", "at", "dir", "state"))
    for line in lines:
        why = next((str(one.get("text")) for one in line.issues if one.get("severity") in ("error", "fatal")), "")
        about = " ".join(part for part in (*line.touched, why) if part)
        named = line.direction == "in" and (line.application or line.facility)
        sender = f"{line.application}|{line.facility} {line.peer}" if named else line.peer
        cells = (
            str(line.id),
            f"{line.at.astimezone(settings.zone):%m-%d %H:%M:%S}",
            line.direction,
            line.type,
            line.state,
            line.ack_code or "-",
            line.control_id or "-",
            sender,
            str(line.attempts),
            _took(line.took),
            about,
        )
        table.add_row(*(plain(cell) for cell in cells))
    return table


def _took(microseconds: int | None) -> str:
    if microseconds is None:
        return "-"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.1f} ms"
    return f"{microseconds / 1_000_000:.1f} s" if microseconds < 600_000_000 else f"{microseconds / 60e6:.0f} min"
