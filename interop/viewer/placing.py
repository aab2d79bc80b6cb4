"""OHIF below a path: its build expects the root of a site, so the places that say so are written anew.

They are webpack's public path in the bundles that load others (the application, and the workers that decode), the
addresses in the page that starts it, and those of the fonts in its style sheets.
"""

from __future__ import annotations

import re
from pathlib import Path

_PUBLIC_PATH = re.compile(rb'(__webpack_require__\.p ?= ?")/(")')
_IN_PAGE = re.compile(r'((?:href|src|content|window\.PUBLIC_URL)=")/(?!/)')
_IN_STYLE = re.compile(rb"(url\(['\"]?)/(?!/)")
_IN_MANIFEST = re.compile(rb'("(?:src|start_url)": ?")/(?!/)')
_RULES = {".js": _PUBLIC_PATH, ".css": _IN_STYLE, ".json": _IN_MANIFEST}


def placed_page(html: str, path: str) -> str:
    """The page as it starts OHIF below this path, which is empty for the root."""
    return _IN_PAGE.sub(lambda found: f"{found[1]}{path}/", html) if path else html


def placed_file(file: Path, path: str) -> bytes | None:
    """The file as it has to be below this path; None where it may stay as it is."""
    rule = _RULES.get(file.suffix)
    if not path or rule is None:
        return None
    content = file.read_bytes()
    start = f"{path}/".encode()
    placed, changes = rule.subn(lambda found: found[1] + start + b"".join(found.groups()[1:]), content)
    return placed if changes else None
