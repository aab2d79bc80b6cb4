"""``interop pacs``: how the archives are kept in step, and having one compared, with its progress."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import date
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from interop.errors import InteropError, InvalidContentError
from interop.settings import Settings

commands = typer.Typer(help="The image archives: status, sync.", no_args_is_help=True)

Shown = dict[str, Any]
_TITLES = ("archive", "driver", "answers", "there", "here", "cursor", "behind", "compared", "sync", "last error")
_LOOKING = 0.5  # seconds between looks at how far it is


@commands.command("status")
def status(as_json: Annotated[bool, typer.Option("--json", help="As /api/v1/pacs answers.")] = False) -> None:
    """Show each archive: whether it answers, studies on each side, how far its feed is, the last error."""
    from interop.cli.pacs_desk import open_pacs_desk

    async def found() -> Shown:
        async with open_pacs_desk(Settings()) as desk:
            return await desk.status()

    shown = asyncio.run(found())
    if as_json:
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for title in (
        "archive",
        "driver",
        "answers",
        "there",
        "here",
        "cursor",
        "behind",
        "compared",
        "sync",
        "last error",
    ):
        table.add_column(title, overflow="fold")
    for one in shown["archives"]:
        table.add_row(*(Text(str(cell)) for cell in _cells(one)))
    for stray in shown["unknown"]:
        table.add_row(*(Text(cell) for cell in (stray["name"], "not set any more", "-", "-", str(stray["registered"]))))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _cells(one: Shown) -> list[object]:
    said, sync = one["status"] or {}, one["sync"]

    def cell(name: str) -> object:
        return "-" if said.get(name) is None else said[name]

    answers = "yes" if said.get("reachable") else f"no, last {cell('heard_at')}"
    comparison = f"{sync['state']} {sync['done']}/{sync['total'] or '?'}" if sync else "-"
    error = f"{said['error_at']} {said['error']}" if said.get("error") else "-"
    row = [cell(name) for name in ("cursor", "behind", "compared_at")]
    return [one["name"], one["driver"], answers, cell("studies"), one["registered"], *row, comparison, error]


@commands.command("sync")
def sync(
    archive: Annotated[str | None, typer.Option(help="One archive; all unless given.")] = None,
    since: Annotated[str | None, typer.Option(help="Studies of this day (YYYY-MM-DD) and later.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look only, and name what differs.")] = False,
) -> None:
    """Compare an archive with what is registered, and mend what differs.

    The running server does it and goes on after a restart; Ctrl-C ends the watching, not the comparison.
    """
    if since is not None:
        try:
            date.fromisoformat(since)
        except ValueError:
            raise InvalidContentError(f"--since {since} is no day: YYYY-MM-DD") from None
    failed = asyncio.run(_synced(Settings(), archive, {"since": since, "dry_run": dry_run}))
    if failed:
        raise typer.Exit(1)


async def _synced(settings: Settings, archive: str | None, asked: Shown) -> bool:
    """Whether one of them failed."""
    from interop.cli.pacs_desk import PacsDesk, open_pacs_desk

    async def watched(desk: PacsDesk, name: str) -> Shown:
        await desk.ask(name, asked)
        working = asyncio.create_task(desk.work(name))
        try:
            return await _watch(desk, name)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async with open_pacs_desk(settings) as desk:
        names = [one["name"] for one in (await desk.status())["archives"] if archive in (None, one["name"])]
        if not names:
            raise InteropError(f"there is no archive {archive}")
        ended = {name: await watched(desk, name) for name in names}
    for name, sync in ended.items():
        verb = "none of them mended (a look only)" if sync["dry_run"] else f"mended {sync['mended']}"
        typer.echo(
            f"{name}: {sync['state']}, {sync['done']} studies, {sync['differing']} differed "
            f"({sync['gone']} gone from there), {verb}, {sync['elsewhere']} in another archive too"
        )
        if sync["dry_run"]:
            for uid in sync["named"]:
                typer.echo(f"  {uid}")
    return any(sync["state"] == "failed" for sync in ended.values())


async def _watch(desk: Any, name: str) -> Shown:
    """Its end; on a terminal a bar, else a line whenever a tenth more is done or an error is new."""
    console, told = Console(stderr=True), (-1, None)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        while True:
            [one] = [each for each in (await desk.status())["archives"] if each["name"] == name]
            sync: Shown = one["sync"]
            progress.update(task, completed=sync["done"], total=sync["total"])
            now = (10 * sync["done"] // (sync["total"] or 1), sync["error"])
            if not console.is_terminal and now != told:
                told = now
                error = f": {sync['error']}" if sync["error"] else ""
                typer.echo(f"{name}: {sync['state']}, {sync['done']} of {sync['total'] or '?'}{error}", err=True)
            if sync["state"] in ("done", "failed"):
                return sync
            await asyncio.sleep(_LOOKING)
