"""The pages that the code writes about itself: ``make pages`` writes them, a test holds them to it."""

from collections.abc import Callable
from pathlib import Path

from interop import errors_page, settings_page
from interop.fhir import capability_page, search_page
from interop.mapping import reference as mappings_page
from interop.mapping.tables import compile_tables
from interop.shipped import shipped
from interop.workflow import lifecycle_page

ROOT = Path(__file__).resolve().parent.parent


def decisions_index() -> str:
    """docs/decisions/README.md: number and title of each decision, from the files themselves."""
    lines = ["# Decisions", "", "Context, decision, consequences; the bad ones too. `make pages` writes this list.", ""]
    for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md")):
        number, title = path.read_text().splitlines()[0].removeprefix("# ").split(" ", 1)
        lines.append(f"- [{number} {title}]({path.name})")
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "docs/decisions/README.md": decisions_index,
    "docs/lifecycle.md": lambda: lifecycle_page.as_markdown(compile_tables(shipped("mappings"))),
    "docs/reference/errors.md": errors_page.as_markdown,
    "docs/reference/fhir.md": capability_page.as_markdown,
    "docs/reference/mappings.md": lambda: mappings_page.as_markdown(compile_tables(shipped("mappings"))),
    "docs/reference/search-parameters.md": search_page.as_markdown,
    "docs/reference/settings.md": settings_page.as_markdown,
}

if __name__ == "__main__":
    for name, written in PAGES.items():
        (ROOT / name).write_text(written())
