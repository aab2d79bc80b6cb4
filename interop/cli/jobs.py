"""``interop jobs``: dead letters of every kind listed, tried again, given up."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interop.errors import InteropError, NotFoundError, UnavailableError
from interop.settings import Settings

commands = typer.Typer(help="Jobs that were given up (dead letters): list, retry, drop.", no_args_is_help=True)

Shown = dict[str, Any]
_SHOWN = 20  # jobs that a preview shows

Kind = Annotated[
    str | None, typer.Option("--kind", help="send, tags, report-pdf, worklist, notify …: as the list shows it.")
]
Number = Annotated[list[int] | None, typer.Option("--number", help="This one; several times for several.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many at most, newest first.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say which it would be, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@commands.command("list")
def list_jobs(
    kind: Kind = None,
    limit: Limit = 100,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, as the API answers.")] = False,
) -> None:
    """List dead letters, newest first: what each is about, and why it was given up. The server may run or not."""
    settings = Settings()
    found = asyncio.run(_found(settings, kind, None, limit))
    if as_json:
        for one in found:
            typer.echo(json.dumps(one, ensure_ascii=False))
        return
    _show(found, settings)
    Console(stderr=True).print(f"{len(found)} dead letter{'s' if len(found) != 1 else ''}")


@commands.command("retry")
def retry(
    kind: Kind = None, number: Number = None, limit: Limit = 10_000, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Owe dead letters again, oldest first, once what kept them from being done is mended."""
    _steer("retry", kind, number, limit, dry_run=dry_run, yes=yes)


@commands.command("drop")
def drop(
    kind: Kind = None, number: Number = None, limit: Limit = 10_000, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Give dead letters up for good. A message is kept and marked as dropped; of other jobs the audit trail tells."""
    _steer("drop", kind, number, limit, dry_run=dry_run, yes=yes)


def _steer(verb: str, kind: str | None, numbers: Sequence[int] | None, limit: int, *, dry_run: bool, yes: bool) -> None:
    settings, told = Settings(), Console(stderr=True)
    found = asyncio.run(_found(settings, kind, numbers, limit))
    _show(found[:_SHOWN], settings)
    more = f", {_SHOWN} of them shown" if len(found) > _SHOWN else ""
    told.print(f"{len(found)} dead letter{'s' if len(found) != 1 else ''} to {verb}{more}")
    if dry_run or not found:
        return
    if not yes and not typer.confirm(f"{verb} {len(found)}?", err=True):
        raise typer.Exit(1)
    failed = asyncio.run(_carry_out(settings, verb, [int(one["id"]) for one in reversed(found)]))
    for text in failed[:_SHOWN]:
        told.print(text, markup=False)
    typer.echo(f"{len(found) - len(failed)} done" + (f", {len(failed)} not done" if failed else ""))
    sys.exit(1 if failed else 0)


async def _found(settings: Settings, kind: str | None, numbers: Sequence[int] | None, limit: int) -> list[Shown]:
    """The dead letters that are asked for, newest first; NotFoundError for a number that none has."""
    from interop.cli.asking import gathered
    from interop.cli.jobs_desk import open_jobs_desk

    words = {"kind": kind} if kind else {}
    async with open_jobs_desk(settings) as desk:
        if not numbers:
            return await gathered(lambda before, size: desk.list(words | _page(before, size)), "jobs", limit)
        found = []
        for number in sorted(set(numbers), reverse=True):
            [one] = (await desk.list(words | _page(number + 1, 1)))["jobs"] or [None]
            if one is None or one["id"] != number:
                raise NotFoundError(f"there is no dead letter {number}{f' of kind {kind}' if kind else ''}")
            found.append(one)
        return found


def _page(before: int | None, size: int) -> dict[str, str]:
    return {"limit": str(size)} | ({} if before is None else {"before": str(before)})


async def _carry_out(settings: Settings, verb: str, ids: Sequence[int]) -> list[str]:
    """Why which of them could not be done."""
    from interop.cli.jobs_desk import open_jobs_desk

    failed: list[str] = []
    async with open_jobs_desk(settings) as desk:
        for id in ids:
            try:
                await desk.act(verb, id)
            except UnavailableError:
                raise
            except InteropError as error:
                failed.append(f"job {id}: {error.text}")
    return failed


def _show(found: Sequence[Shown], settings: Settings) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("number", "owed since", "kind", "about", "tries", "error"):
        table.add_column(title, overflow="fold", no_wrap=title in ("number", "owed since", "kind"))
    for one in found:
        since = f"{datetime.fromisoformat(one['created']).astimezone(settings.zone):%m-%d %H:%M:%S}"
        cells = (one["id"], since, one["kind"], one["about"], one["attempts"], one["error"] or "-")
        table.add_row(*(_plain(str(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else 240).print(table)


def _plain(text: str) -> Text:
    return Text("".join(char if char.isprintable() else "\ufffd" for char in text))
