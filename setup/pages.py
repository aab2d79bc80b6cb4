"""The pages that the code writes about itself: ``make pages`` writes them, a test holds them to it."""

from collections.abc import Callable
from pathlib import Path

from interop import settings_page

ROOT = Path(__file__).resolve().parent.parent
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/settings.md": settings_page.as_markdown,
}

if __name__ == "__main__":
    for name, written in PAGES.items():
        (ROOT / name).write_text(written())
