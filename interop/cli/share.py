"""``interop share``: links to studies that may be passed on, made, listed and taken back."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Annotated, Any

import typer
from rich.table import Table

from interop.cli.tables import plain, wide
from interop.errors import InvalidContentError
from interop.settings import Settings

commands = typer.Typer(help="Links to studies that may be passed on: create, list, revoke.", no_args_is_help=True)

Shown = dict[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="As /api/v1/share answers.")]
_ID = re.compile(r"[0-9a-f-]{1,64}")


@commands.command("create")
def create(
    study: Annotated[list[str] | None, typer.Argument(help="StudyInstanceUIDs.")] = None,
    accession: Annotated[str | None, typer.Option(help="All studies of this accession number instead.")] = None,
    minutes: Annotated[int | None, typer.Option(min=1, help="How long it works; a day unless given.")] = None,
    annotate: Annotated[bool, typer.Option("--annotate", help="Whoever opens it may store annotations.")] = False,
    label: Annotated[str | None, typer.Option(help="What it is for, for the list.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a link to studies and print it, as the last line; it is shown this once."""
    if bool(study) == (accession is not None):
        raise InvalidContentError("give either StudyInstanceUIDs or --accession")
    asked = {"studies": study or None, "accession": accession, "minutes": minutes, "label": label}
    made = asyncio.run(_created(Settings(), {**asked, "annotate": annotate}))
    if as_json:
        typer.echo(json.dumps(made, ensure_ascii=False))
        return
    typer.echo(f"share {made['id']} of {len(made['studies'])}, until {made['expires']}", err=True)
    typer.echo(made["url"])


@commands.command("list")
def list_shares(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many at most, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the links of everybody; the server may run or not."""
    shares = asyncio.run(_listed(Settings(), limit))
    if as_json:
        for share in shares:
            typer.echo(json.dumps(share, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("id", "by", "state", "expires", "opened", "annotate", "label", "studies"):
        table.add_column(title, overflow="fold")
    for share in shares:
        cells = (share["id"], share["by"], share["state"], share["expires"], f"{share['openings']} times")
        more = ("yes" if share["annotate"] else "no", share["label"], " ".join(share["studies"]))
        table.add_row(*(plain(cell) for cell in (*cells, *more)))
    wide().print(table)


@commands.command("revoke")
def revoke(id: Annotated[str, typer.Argument(help="Its id, as the list shows it.")]) -> None:
    """Take a link back: it opens nothing any more, and what it opened ends within a second."""
    if not _ID.fullmatch(id):
        raise InvalidContentError("that is no id of a share: interop share list shows them")
    asyncio.run(_revoked(Settings(), id))
    typer.echo(f"share {id} is over")


async def _created(settings: Settings, asked: Shown) -> Shown:
    from interop.cli.share_desk import open_share_desk

    async with open_share_desk(settings) as desk:
        return await desk.create(asked)


async def _listed(settings: Settings, limit: int) -> list[Shown]:
    from interop.cli.asking import gathered
    from interop.cli.share_desk import open_share_desk

    async with open_share_desk(settings) as desk:
        return await gathered(lambda before, size: desk.list(before=before, limit=size), "shares", limit)


async def _revoked(settings: Settings, id: str) -> None:
    from interop.cli.share_desk import open_share_desk

    async with open_share_desk(settings) as desk:
        await desk.revoke(id)
