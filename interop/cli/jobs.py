"""``interop jobs``: dead letters of every kind listed, tried again, given up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from interop.cli.acting import SHOWN, Act, DryRun, Limit, Number, Yes, carry_out
from interop.cli.tables import plain, wide
from interop.errors import NotFoundError
from interop.settings import Settings

commands = typer.Typer(help="Jobs that were given up (dead letters): list, retry, drop.", no_args_is_help=True)

Shown = dict[str, Any]

Kind = Annotated[
    str | None, typer.Option("--kind", help="send, tags, report-pdf, worklist, notify …: as the list shows it.")
]


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
    settings = Settings()
    found = asyncio.run(_found(settings, kind, numbers, limit))
    _show(found[:SHOWN], settings)

    @asynccontextmanager
    async def acting() -> AsyncIterator[Act]:
        from interop.cli.jobs_desk import open_jobs_desk

        async with open_jobs_desk(settings) as desk:

            async def act(id: int) -> tuple[bool, str]:
                return True, f"is {(await desk.act(verb, id))['state']}"

            yield act

    carry_out(verb, "dead letter", [int(one["id"]) for one in found], acting, dry_run=dry_run, yes=yes)


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


def _show(found: Sequence[Shown], settings: Settings) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("number", "owed since", "kind", "about", "tries", "error"):
        table.add_column(title, overflow="fold", no_wrap=title in ("number", "owed since", "kind"))
    for one in found:
        since = f"{datetime.fromisoformat(one['created']).astimezone(settings.zone):%m-%d %H:%M:%S}"
        cells = (one["id"], since, one["kind"], one["about"], one["attempts"], one["error"] or "-")
        table.add_row(*(plain(str(cell)) for cell in cells))
    wide().print(table)
