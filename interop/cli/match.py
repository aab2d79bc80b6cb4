"""``interop match``: studies without an order listed, matched, taken back; the patients of one merged."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from interop.cli.tables import plain, wide
from interop.settings import Settings

commands = typer.Typer(help="Which order a study is of: list, show, resolve, undo, merge.", no_args_is_help=True)

Shown = dict[str, Any]
Uid = Annotated[str, typer.Argument(help="StudyInstanceUID.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@commands.command("list")
def list_unmatched(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many at most, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the studies that no order was found for, each with its likeliest orders; the server may run or not."""
    studies = asyncio.run(_listed(Settings(), limit))
    if as_json:
        for study in studies:
            typer.echo(json.dumps(study, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("study", "why", "accession", "modality", "started", "patient", "candidates"):
        table.add_column(title, overflow="fold")
    for study in studies:
        likely = " ".join(f"{one['order'].partition('/')[2]} ({one['score']:.2f})" for one in study["candidates"][:3])
        modality = ",".join(study["modality"])
        cells = (study["study_uid"], study["why"], study["accession"], modality, study["started"], study["patient"])
        table.add_row(*(plain(cell) for cell in (*cells, likely)))
    wide().print(table)
    Console(stderr=True).print(f"{len(studies)} stud{'ies' if len(studies) != 1 else 'y'} without an order")


@commands.command("show")
def show(uid: Uid, as_json: AsJson = False) -> None:
    """Show what was decided of a study, on what it rested, and which orders it could be of."""
    shown = asyncio.run(_asked(Settings(), "show", uid))
    if as_json:
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    typer.echo(f"{shown['study']} of {shown['patient']}, order: {shown['order'] or 'none'}")
    _tell_tags(shown)
    for decision in shown["decisions"]:
        typer.echo(f"{decision['at']} {decision['rule']} by {decision['by']}: {decision['order'] or 'no order'}")
        _tell(decision["evidence"])
    for one in shown["candidates"]:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in one["parts"].items())
        typer.echo(f"candidate {one['order']} of {one['patient']}: {one['score']:.2f} ({parts})")


@commands.command("resolve")
def resolve(
    uid: Uid,
    order: Annotated[str, typer.Argument(help="Id of the ServiceRequest.")],
    correct: Annotated[
        bool,
        typer.Option("--correct-tags", help="Make patient and accession number in the archive's files the order's."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which order a study is of. Its patient becomes the order's; no rule decides it again."""
    _done(asyncio.run(_asked(Settings(), "resolve", uid, order, correct=correct)), as_json=as_json)


@commands.command("undo")
def undo(uid: Uid, as_json: AsJson = False) -> None:
    """Take a match back: study, patient, reports and order are as before it. No rule matches it again."""
    _done(asyncio.run(_asked(Settings(), "undo", uid)), as_json=as_json)


@commands.command("merge")
def merge(
    uid: Uid, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: AsJson = False
) -> None:
    """Merge the patient whom the images named into the order's; this cannot be undone."""
    if not yes and not typer.confirm("merge the two patients?", err=True):
        raise typer.Exit(1)
    _done(asyncio.run(_asked(Settings(), "merge", uid)), as_json=as_json)


def _done(decision: Shown, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(decision, ensure_ascii=False))
        return
    typer.echo(f"{decision['study_uid']}: {decision['rule']}, {decision['order'] or 'no order'}")
    _tell(decision["evidence"])
    _tell_tags(decision)


def _tell_tags(shown: Shown) -> None:
    """How far the files in the archive are, where they were to be corrected."""
    tags = shown.get("tags")
    if tags is not None:
        much = f"{tags['done']} of {tags['total'] or '?'} files looked at, {tags['changed']} rewritten"
        typer.echo(f"tags: {tags['verb']}, {tags['state']}, {much}" + (f": {tags['error']}" if tags["error"] else ""))


def _tell(evidence: Shown) -> None:
    for name in ("agreed", "differed"):
        if evidence.get(name):
            typer.echo(f"  {name}: {', '.join(evidence[name])}")
    if evidence.get("study"):
        typer.echo("  images: " + ", ".join(f"{name} {value}" for name, value in evidence["study"].items()))
    if evidence.get("warning"):
        typer.echo(f"  warning: {evidence['warning']}")


async def _listed(settings: Settings, limit: int) -> list[Shown]:
    from interop.cli.asking import gathered
    from interop.cli.match_desk import open_match_desk

    async with open_match_desk(settings) as desk:
        return await gathered(lambda before, size: desk.list(before=before, limit=size), "studies", limit)


async def _asked(settings: Settings, verb: str, uid: str, order: str | None = None, *, correct: bool = False) -> Shown:
    from interop.cli.match_desk import open_match_desk

    async with open_match_desk(settings) as desk:
        return await desk.act(verb, uid, order, correct=correct)
