"""Tells the story to a person: a line per step, a table at the end, and the links."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from interop.demo.story import Story
from interop.demo.world import StoryError, World, stage
from interop.errors import InteropError

RIS_PORT, EMR_PORT = 2576, 2577  # where mappings/peers.toml sends by default

console = Console(highlight=False, soft_wrap=True)


def tell(*, leave: bool, data_dir: Path | None = None) -> int:
    """Play the story; 0 when every step held. Unless ``leave``, stay up until Ctrl-C."""
    folder = data_dir or Path(tempfile.mkdtemp(prefix="interop-demo-"))
    began = time.monotonic()
    console.print(f"Starting the server, a private Orthanc, a RIS and an EMR (data in {folder}) …")
    for number in (signal.SIGTERM, signal.SIGINT):  # also where a shell started us in the background, deaf to SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        with stage(folder, {}, ris_port=RIS_PORT, emr_port=EMR_PORT) as world:
            links(world, time.monotonic() - began)
            held = play(Story(world))
            if not leave:
                links(world, None)
                stay(world)
                console.print("Stopping …")
            return 0 if held else 1
    except StoryError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    finally:
        if data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


def stay(world: World) -> None:
    """Up until Ctrl-C; a sign-in link lives for a minute, so Enter makes another."""
    console.print("Up until Ctrl-C." + (" Enter: a fresh sign-in link." if sys.stdin.isatty() else ""))
    with contextlib.suppress(KeyboardInterrupt):
        while sys.stdin.isatty() and sys.stdin.readline():
            console.print(f"  Start page  {world.login_url()}   (single use, within a minute)")
        signal.pause()


def links(world: World, seconds: float | None) -> None:
    """The addresses a person opens: start page with a single-use login, viewer, FHIR base."""
    if seconds is not None:
        console.print(f"Up after {seconds:.1f} s.")
    console.print(f"  Start page  {world.login_url()}   (single use, within a minute)")
    console.print(f"  Viewer      {world.base}/viewer   (open a study from the start page)")
    console.print(f"  FHIR base   {world.base}/fhir   (metadata without a token)")
    console.print(f"  A token     INTEROP_DATA_DIR={world.settings.data_dir} {Path(sys.argv[0])} token")


def play(story: Story) -> bool:
    """Every step in order, until one does not hold; then the table of what happened."""
    table = Table(title="What happened", title_justify="left")
    for column in ("step", "what", "seen", "s"):
        table.add_column(column, justify="right" if column in ("step", "s") else "left", overflow="fold")
    held = True
    for number, (sentence, deed) in enumerate(story.steps(), 1):
        began = time.monotonic()
        try:
            seen = deed()
        except (StoryError, InteropError, httpx.HTTPError, LookupError, ValueError, OSError) as error:
            held, seen = False, f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - began
        console.print(
            f"{'[green]✔[/green]' if held else '[red]✘[/red]'} {number:2d}. {sentence} ({seconds:.1f} s)",
            soft_wrap=True,
        )
        table.add_row(str(number), sentence, seen, f"{seconds:.1f}")
        if not held:
            console.print(f"[red]{seen}[/red]", soft_wrap=True, markup=True)
            break
    console.print(table)
    return held
