"""``interop hl7 status``: the feeds at a glance, for whoever is called at night; and what doctor finds in them."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interop.cli.hl7 import commands
from interop.cli.installed import Finding
from interop.settings import Settings

if TYPE_CHECKING:
    from interop.hl7_api import FeedStatus, PeerStatus
    from interop.store import Reader

LATE = 600.0  # seconds that a message may wait before doctor says so
WIDE = 160  # columns, into a file or a pipe
_REMEDY = "interop hl7 list --direction out --state {state} says why; docs/runbook.md, a feed is down"


@commands.command("status")
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As /api/v1/hl7 answers.")] = False,
) -> None:
    """Show each sender and receiver: when it was last heard, how much, what waits and for how long, the last error.

    Counts last across restarts, and are at most five seconds old. The server may run or not.
    """
    settings = Settings()
    found = asyncio.run(_found(settings))
    if as_json:
        from interop.hl7_api import shown_status

        typer.echo(json.dumps(shown_status(found), indent=2, ensure_ascii=False))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    console.print(Text(f"listener: {_counted(found.listener)}"))
    table = Table(box=None, pad_edge=False)
    for title in ("dir", "peer", "messages", "refused", "last", "queued", "oldest", "dead", "unanswered", "last error"):
        table.add_column(title, overflow="fold", no_wrap=title in ("dir", "last", "oldest"))
    for one in found.peers:
        table.add_row(*(Text(_plain(cell)) for cell in _cells(one, found.at, settings)))
    console.print(table)


async def _found(settings: Settings) -> FeedStatus:
    from interop.store import open_reader

    store = await open_reader(settings.database, zone=settings.zone)
    try:
        return await feeds(store, settings)
    finally:
        await store.close()


async def feeds(store: Reader, settings: Settings) -> FeedStatus:
    """How they stand."""
    from interop.hl7_api import status_of
    from interop.parts import receivers

    names = [receiver.name for receiver in receivers(settings)]
    return await store.view(lambda tx: status_of(tx, names))


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in counts.items()) or "nothing came yet"


def _cells(one: PeerStatus, now: datetime, settings: Settings) -> tuple[str, ...]:
    failed = f"{one.last_error_at.astimezone(settings.zone):%m-%d %H:%M} " if one.last_error_at else ""
    return (
        one.direction,
        " ".join(part for part in (one.name or "(no message)", one.address) if part),
        f"{one.messages:,}",
        f"{one.refused:,}",
        "never" if one.last_at is None else f"{ago((now - one.last_at).total_seconds())} ago",
        str(one.queued) if one.direction == "out" else "-",
        "-" if one.oldest_waiting is None else ago(one.oldest_waiting),
        str(one.dead) if one.direction == "out" else "-",
        str(one.unanswered) if one.direction == "out" else "-",
        f"{failed}{one.last_error}" if one.last_error else "-",
    )


def ago(seconds: float) -> str:
    """A span as people say it: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size * (2 if unit != "min" else 1):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _remedy(one: PeerStatus) -> str:
    return _REMEDY.format(state="dead" if one.dead else "unanswered" if one.unanswered else "queued")


async def findings(store: Reader, settings: Settings) -> list[Finding]:
    """The listener's counts, the senders, and each receiver that is owed something for long or for good."""
    found = await feeds(store, settings)
    counts = [Finding("ok", "HL7 listener", _counted(found.listener))]
    heard = [one for one in found.peers if one.direction == "in" and one.last_at]
    if heard:
        newest = max(heard, key=lambda one: one.last_at or found.at)
        assert newest.last_at is not None
        since = ago((found.at - newest.last_at).total_seconds())
        counts.append(Finding("ok", "HL7 in", f"{len(heard)} senders, the last message {since} ago, of {newest.name}"))
    for one in found.peers:
        if one.direction == "out" and (one.queued or one.dead or one.unanswered):
            late = one.dead > 0 or one.unanswered > 0 or (one.oldest_waiting or 0) > LATE
            waits = f", the oldest for {ago(one.oldest_waiting)}" if one.oldest_waiting is not None else ""
            silent = f", {one.unanswered} unanswered" if one.unanswered else ""
            trouble = one.last_error or "no attempt failed yet"
            seen = f"{one.name}: {one.queued} queued{waits}, {one.dead} dead{silent}; {trouble}"
            counts.append(Finding("warning" if late else "ok", "HL7 out", seen, _remedy(one) if late else ""))
    return counts
