"""docs/reference/settings.md, written from the settings themselves so that it cannot say anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from interop.settings import CONFIG_VARIABLE, PREFIX, Settings

_INTRODUCTION = f"""\
# Settings

Written by `interop.settings_page.as_markdown()` from the model in `interop/settings.py`; a test keeps it current
(`make pages` writes it anew).

Every setting has a default that serves one machine. It is read from an environment variable or from a TOML file whose
place `{CONFIG_VARIABLE}` names; the environment wins. An unknown key in the file, an unknown `{PREFIX}` variable
and a value out of range are refused at start, with the name of the setting. A password is best given by file
(`…_PASSWORD_FILE`), as container secrets are.

```toml
# {CONFIG_VARIABLE}=/etc/interop.toml
data_dir = "/var/lib/interop"
time_zone = "Asia/Nicosia"
facility = "NGH"
mllp_peers = ["10.1.4.20=RIS"]
```
"""


def as_markdown() -> str:
    """The page."""
    lines = [_INTRODUCTION, "| environment | TOML | default | values | meaning |", "|---|---|---|---|---|"]
    lines += [_row(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    cells = (
        f"`{PREFIX}{name.upper()}`",
        f"`{name}`",
        _shown(field.default),
        _values(field),
        (field.description or "").replace("|", "\\|"),
    )
    return "| " + " | ".join(cells) + " |"


def _shown(default: Any) -> str:
    if default is None or default is PydanticUndefined or default in ("", ()):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _values(field: FieldInfo) -> str:
    """What may be written: the kind of value and its limits."""
    kinds = {bool: "true, false", int: "number", str: "text", Path: "path", SecretStr: "secret"}
    named = [word for kind, word in kinds.items() if field.annotation is kind or field.annotation == kind | None]
    limits = {
        limit: getattr(rule, limit)
        for rule in field.metadata
        for limit in ("ge", "le", "pattern")
        if getattr(rule, limit, None) is not None
    }
    low, high, pattern = (limits.get(limit) for limit in ("ge", "le", "pattern"))
    if low is not None and high is not None:
        return f"{low}–{high}"
    if low is not None:
        return f"from {low}"
    if pattern is not None:
        return "`" + str(pattern).replace("|", "\\|") + "`"
    return named[0] if named else "list"
