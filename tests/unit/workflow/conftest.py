"""A hospital over a store on either engine."""

from __future__ import annotations

import pytest

from interop.store import Store
from tests.hospital import Hospital


@pytest.fixture
def hospital(store: Store) -> Hospital:
    """Nobody but the doors: no receivers are told."""
    return Hospital(store)
