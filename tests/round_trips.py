"""What goes to PostgreSQL, round trip by round trip."""

from __future__ import annotations

from typing import Any

import pytest

from interop.store.postgresql_wire import Encoded, Wire


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The statements that go out together, in a list that grows from now on."""
    seen: list[list[str]] = []
    plain = Wire.exchange

    def exchange(self: Wire, statements: list[Encoded]) -> Any:
        seen.append([each.text for each in statements])
        return plain(self, statements)

    monkeypatch.setattr(Wire, "exchange", exchange)
    return seen
