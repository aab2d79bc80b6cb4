"""When the door is open: off unless asked for, and beyond this machine only with a list of modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interop.server import StartError, check_bindings, parse_roles, with_dimse
from interop.settings import Settings

ALL = frozenset({"http", "mllp", "worker"})


@pytest.mark.parametrize(
    ("settings", "roles", "opened"),
    [
        ({}, ALL, False),
        ({"dimse": True}, ALL, True),
        ({"dimse": True}, {"worker"}, True),
        ({"dimse": True, "database_url": "postgresql+psycopg://a@b/c"}, {"worker"}, False),
        ({"dimse": True, "database_url": "postgresql+psycopg://a@b/c"}, ALL, True),
        ({}, {"dimse"}, True),
    ],
)
def test_the_role_is_asked_for(settings: dict[str, Any], roles: frozenset[str], opened: bool) -> None:
    assert ("dimse" in with_dimse(Settings(**settings), frozenset(roles))) == opened


def test_no_role_named_is_the_usual_ones() -> None:
    assert parse_roles(None) == ALL
    assert parse_roles(["dimse"]) == {"dimse"}


def test_beyond_this_machine_it_needs_a_list(tmp_path: Path) -> None:
    roles = frozenset({"dimse"})
    beyond = {"dimse": True, "dimse_host": "0.0.0.0"}
    with pytest.raises(StartError, match="INTEROP_MODALITIES_FILE"):
        check_bindings(Settings(**beyond, allow_remote=True), roles)
    with pytest.raises(StartError, match="INTEROP_ALLOW_REMOTE"):
        check_bindings(Settings(**beyond, modalities_file=tmp_path / "list.toml"), roles)
    check_bindings(Settings(**beyond, allow_remote=True, modalities_file=tmp_path / "list.toml"), roles)
    check_bindings(Settings(dimse=True), roles)
