"""How findings are shown: a table to a person, one line each into a file or a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from interop.cli.installed import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}


def show(findings: Sequence[Finding]) -> int:
    """Print them; 1 when one of them is a fault."""
    console = Console(highlight=False)
    if console.is_terminal:
        table = Table(box=None, pad_edge=False)
        for column in ("", "what", "seen", "what to do"):
            table.add_column(column, overflow="fold")
        for finding in findings:  # as Text: what was seen may hold what looks like markup
            level = Text(finding.level, _COLOURS[finding.level])
            table.add_row(level, Text(finding.subject), Text(finding.seen), Text(finding.remedy))
        console.print(table)
    else:
        for finding in findings:
            remedy = f"  ->  {finding.remedy}" if finding.remedy else ""
            print(f"{finding.level:<8} {finding.subject:<24} {finding.seen}{remedy}")  # noqa: T201
    return 1 if any(finding.level == "fault" for finding in findings) else 0
