"""How commands print what they list."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text


def wide() -> Console:
    """Standard output; into a file or a pipe a line is not folded at 80 characters."""
    return Console(width=None if sys.stdout.isatty() else 240)


def plain(cell: object) -> Text:
    """A cell in which nothing tells the terminal what to do; ``-`` where there is nothing."""
    return Text("".join(char if char.isprintable() else "\ufffd" for char in str(cell or "-")))
