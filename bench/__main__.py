"""``make bench``: measure everything in one run and write docs/performance.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench import archive, fhir, intake
from bench.figures import page, table
from bench.parts import ROOT, MeasurementError, server


def main() -> int:
    """Exit status 0 when everything could be measured."""
    with tempfile.TemporaryDirectory(prefix="interop-bench-") as name:
        folder = Path(name)
        sections = []
        try:
            with server(folder / "archive") as ours:
                sections.append((archive.TITLE, archive.EXPLANATION, archive.measure(ours, folder)))
            with server(folder / "fhir") as ours:
                sections.insert(0, (fhir.TITLE, fhir.EXPLANATION, fhir.measure(ours)))
            with server(folder / "intake") as ours:
                sections.insert(0, (intake.TITLE, intake.EXPLANATION, intake.measure(ours, folder)))
        except MeasurementError as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
    (ROOT / "docs/performance.md").write_text(page(sections))
    for title, _, figures in sections:
        sys.stdout.write(f"\n{title}\n{table(figures)}")
    sys.stdout.write("\nbench: docs/performance.md written\n")
    return 0


sys.exit(main())
