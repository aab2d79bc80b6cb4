"""How a command acts on what it found: it was shown, is asked about, carried out one by one, and told of."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from interop.errors import InteropError, UnavailableError

SHOWN = 20  # things that a preview shows, and of which it is told what happened

Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many at most, newest first.")]
Number = Annotated[list[int] | None, typer.Option("--number", help="This one; several times for several.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say which it would be, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

Act = Callable[[int], Awaitable[tuple[bool, str]]]  # whether it is as wanted, and what happened
OpenAct = Callable[[], AbstractAsyncContextManager[Act]]


def carry_out(verb: str, noun: str, ids: Sequence[int], open_act: OpenAct, *, dry_run: bool, yes: bool) -> None:
    """Ask, act on each of them, oldest first, tell what happened; ends with status 1 if one is not as wanted.

    ``ids`` are newest first, as they were shown. UnavailableError where there is nobody left to ask.
    """
    told = Console(stderr=True)
    more = f", {SHOWN} of them shown" if len(ids) > SHOWN else ""
    told.print(f"{len(ids)} {noun}{'s' if len(ids) != 1 else ''} to {verb}{more}")
    if dry_run or not ids:
        return
    if not yes and not typer.confirm(f"{verb} {len(ids)}?", err=True):
        raise typer.Exit(1)
    done, failed = asyncio.run(_each(verb, ids[::-1], open_act, told))
    for text in (*failed, *(done if len(ids) <= SHOWN else ()))[:SHOWN]:
        told.print(f"{noun} {text}", markup=False, highlight=False, soft_wrap=True)
    counted = ((len(done), "done"), (len(failed), "not done"))
    typer.echo(", ".join(f"{count} {what}" for count, what in counted if count))
    sys.exit(1 if failed else 0)


async def _each(verb: str, ids: Sequence[int], open_act: OpenAct, told: Console) -> tuple[list[str], list[str]]:
    done: list[str] = []
    failed: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with open_act() as act:
        with Progress(*columns, console=told) as progress:
            for id in progress.track(ids, description=verb):
                try:
                    good, text = await act(id)
                except UnavailableError:
                    raise
                except InteropError as error:
                    good, text = False, error.text
                (done if good else failed).append(f"{id}: {text}")
    return done, failed
