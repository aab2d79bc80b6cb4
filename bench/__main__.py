"""``make bench``: measure everything in one run and write docs/performance.md.

``python -m bench intake mapping`` measures these alone and writes nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import archive, dicomweb, fhir, intake, mapping, viewer
from bench.figures import Figure, page, table
from bench.parts import ROOT, MeasurementError, server

Measured = tuple[str, str, Sequence[Figure]]


def _intake(folder: Path) -> Measured:
    return intake.TITLE, intake.EXPLANATION, intake.measure(folder)


def _mapping(folder: Path) -> Measured:
    return mapping.TITLE, mapping.EXPLANATION, mapping.measure()


def _fhir(folder: Path) -> Measured:
    return fhir.TITLE, fhir.EXPLANATION, fhir.measure(folder / "fhir")


def _archive(folder: Path) -> Measured:
    with server(folder / "archive") as ours:
        return archive.TITLE, archive.EXPLANATION, archive.measure(ours, folder)


def _dicomweb(folder: Path) -> Measured:
    with server(folder / "dicomweb", settings=dicomweb.SETTINGS) as ours:
        return dicomweb.TITLE, dicomweb.EXPLANATION, dicomweb.measure(ours, folder / "images")


def _viewer(folder: Path) -> Measured:
    with server(folder / "viewer-server") as ours:
        return viewer.TITLE, viewer.EXPLANATION, viewer.measure(ours, folder)


SECTIONS: dict[str, Callable[[Path], Measured]] = {
    "intake": _intake,
    "mapping": _mapping,
    "fhir": _fhir,
    "archive": _archive,
    "dicomweb": _dicomweb,
    "viewer": _viewer,
}


def main(names: Sequence[str]) -> int:
    """Exit status 0 when everything could be measured."""
    if unknown := set(names) - SECTIONS.keys():
        sys.stderr.write(f"bench: no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}\n")
        return 2
    sections: list[Measured] = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="interop-bench-") as folder:
        for name in names or SECTIONS:
            try:
                title, explanation, figures = SECTIONS[name](Path(folder))
            except MeasurementError as error:
                sys.stderr.write(f"bench: {error}\n")
                return 1
            sections.append((title, explanation, figures))
            sys.stdout.write(f"\n{title}\n{table(figures)}")
            sys.stdout.flush()
    sys.stdout.write(f"\nbench: {time.monotonic() - begun:.0f} s\n")
    if not names:
        (ROOT / "docs/performance.md").write_text(page(sections))
        sys.stdout.write("bench: docs/performance.md written\n")
    return 0


sys.exit(main(sys.argv[1:]))
