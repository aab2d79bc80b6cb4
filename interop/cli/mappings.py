"""``interop mappings``: the tables, held against what they may say before a server reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interop.errors import InvalidContentError

commands = typer.Typer(help="Check the mapping tables.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Check the mapping tables."""


@commands.command("check")
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A folder like mappings/; the one of this installation unless given.", exists=True),
    ] = None,
) -> None:
    """Compile every table, site file and receiver as a start would; status 1, with file and row, for what is wrong."""
    from interop.mapping.manners import in_words
    from interop.mapping.peers import check_receivers, load_receivers
    from interop.mapping.tables import compile_tables
    from interop.parts import RECEIVERS, checked_receivers
    from interop.settings import Settings
    from interop.shipped import shipped

    try:
        tables = compile_tables(shipped("mappings") if folder is None else folder)
        if folder is None:
            receivers = checked_receivers(Settings(), tables)
        else:
            peers = folder / RECEIVERS
            receivers = load_receivers(peers.read_text("utf-8"), str(peers)) if peers.exists() else ()
            check_receivers(receivers, tables.segments_out, str(peers))
    except ValueError as error:
        raise InvalidContentError(str(error)) from error
    except OSError as error:
        raise InvalidContentError(f"{error.filename}: {error.strerror}") from error
    for table in tables.message_tables:
        typer.echo(f"messages/{table.name}: {', '.join(table.types)}")
    for segments in tables.segment_tables.values():
        typer.echo(f"segments/{segments.name}: {len(segments.rows)} rows make a {segments.resource}")
    for name, codes in sorted(tables.codes.items()):
        typer.echo(f"codes/{name}: {len(codes.rows)} codes")
    for site in tables.sites:
        changed = sum(len(rows) for rows in site.changes.values())
        sender = f"{site.application or '*'}|{site.facility or '*'}"
        typer.echo(f"sites/{site.name}: {sender}, {changed} rows of its own, acknowledgements {in_words(site.manner)}")
    for out in tables.outbound.values():
        typer.echo(f"outbound/{out.name}: {out.type}, {' '.join(segment for segment, _ in out.segments)}")
    for receiver in receivers:
        line, types = receiver.line, ", ".join(sorted(receiver.types))
        said = f"version {receiver.version}, MLLP release {line.mllp}, {line.connections} at once, {types}"
        typer.echo(f"receiver {receiver.name}: {receiver.host}:{receiver.port}, {said}")
    typer.echo("all tables can be used")
