"""``interop match``, beside a server that runs and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from interop.access import system_agent
from interop.settings import Settings
from interop.store import open_store
from interop.workflow import studies
from tests.hl7_messages import orm
from tests.hospital import images
from tests.real_server import RealServer
from tests.sites import a_site

UID = "2.25.4711"


def run(server: RealServer, *words: str) -> subprocess.CompletedProcess[str]:
    """A command, with the server's settings."""
    command = [sys.executable, "-m", "interop", "match", *words]
    return subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=60, check=False)


def told(server: RealServer, *words: str) -> list[dict[str, Any]]:
    """What a command says with --json."""
    done = run(server, *words, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def _strange_images(server: RealServer) -> None:
    store = await open_store(Settings.of(server.environment).database)
    try:
        facts = images(UID, 1, accession="M1", patient_id="666")
        await store.unit(system_agent("archive-feed"), lambda tx: studies.register(tx, a_site(), facts))
    finally:
        await store.close()


async def test_a_study_is_matched_from_the_command_line(real_server: Callable[..., RealServer]) -> None:
    server = real_server(command="serve")
    server.start("/healthz")
    assert server.send(orm(accession="M1")).get("MSA-1") == "AA"
    server.stop()
    await _strange_images(server)
    (listed,) = told(server, "list")  # no server: the database itself
    order = listed["candidates"][0]["order"]
    assert (listed["study_uid"], listed["why"]) == (UID, "other-patient")
    server.start("/healthz")
    assert UID in run(server, "list").stdout
    (done,) = told(server, "resolve", UID, order)
    assert (done["order"], done["person"], "warning" in done["evidence"]) == (order, True, True)
    assert told(server, "list") == []
    again = run(server, "resolve", UID, "nobodys")
    assert (again.returncode, "no imaging order" in again.stderr) == (1, True)
    assert "candidate" not in run(server, "show", UID).stdout
    assert told(server, "undo", UID)[0]["rule"] == "undone"
    refused = run(server, "undo", UID)
    assert (refused.returncode, refused.stderr) == (1, "interop: the study is matched to no order\n")
    assert f"candidate {order}" in run(server, "show", UID).stdout
    assert "tags: correct, asked" in run(server, "resolve", UID, order, "--correct-tags").stdout
    assert "tags: correct" in run(server, "show", UID).stdout
    assert told(server, "merge", UID, "--yes")[0]["rule"] == "merged"
