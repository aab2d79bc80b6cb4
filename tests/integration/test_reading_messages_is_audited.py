"""``interop hl7 list`` and ``show`` leave audit rows, beside a server or without one; else nothing is read."""

from __future__ import annotations

import getpass
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from interop.audit import AuditRow
from interop.fhir.query import Query
from interop.settings import child_environment
from interop.store import open_reader, open_store
from interop.testing.ports import free_ports
from tests.hl7_messages import orm
from tests.hospital import Hospital
from tests.real_server import RealServer


def run(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "interop", "hl7", *words]
    return subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=60, check=False)


async def steering(url: str) -> list[AuditRow]:
    """The rows about messages, oldest first."""
    reader = await open_reader(url)
    try:
        rows = await reader.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=500)))
    finally:
        await reader.close()
    return [row for row in rows if row.event.kind == "steering"]


def told(rows: list[AuditRow]) -> list[tuple[str, str, str, str | None]]:
    return [(row.event.subtype, row.event.action, row.agent.who, row.agent.client) for row in rows]


ME = getpass.getuser()


async def test_without_a_server_the_rows_are_written_by_the_command(database_url: str, tmp_path: Path) -> None:
    store = await open_store(database_url)
    hospital = Hospital(store)
    await hospital.send(orm(id="C1"))
    await store.close()
    (port,) = free_ports(1)
    named = {"INTEROP_DATA_DIR": tmp_path / "data", "INTEROP_DATABASE_URL": database_url, "INTEROP_HTTP_PORT": port}
    environment = child_environment({name: str(value) for name, value in named.items()})
    listed = run(environment, "list", "--control-id", "C1", "--json")
    assert (listed.returncode, '"control_id": "C1"' in listed.stdout) == (0, True), listed.stderr
    shown = run(environment, "show", "C1")
    assert (shown.returncode, "MSA|AA|C1" in shown.stdout) == (0, True), shown.stderr
    assert run(environment, "replay", "--control-id", "C1", "--dry-run").returncode == 0
    rows = await steering(database_url)
    me = (ME, "cli")
    assert told(rows) == [("list", "E", *me), ("list", "E", *me), ("show", "R", *me), ("list", "E", *me)]
    assert rows[0].event.query == "interop hl7 list?control-id=C1&limit=50"
    assert rows[2].event.patient is not None
    assert rows[2].event.patient.startswith("Patient/")


async def test_beside_a_server_the_server_writes_them(real_server: Callable[..., RealServer]) -> None:
    server = real_server(command="serve")
    server.start("/healthz")
    assert server.send(orm(id="C1")).get("MSA-1") == "AA"
    shown = run(server.environment, "show", "C1", "--raw")
    assert shown.returncode == 0, shown.stderr
    assert run(server.environment, "list").returncode == 0
    assert server.process is not None
    assert server.process.poll() is None
    rows = await steering(server.settings.database)
    assert told(rows) == [("list", "E", ME, "cli"), ("show", "R", ME, "cli"), ("list", "E", ME, "cli")]
    assert run(server.environment, "show", "NONE").stderr == "interop: no message with control id NONE\n"
    assert "is not a moment" in run(server.environment, "list", "--since", "yesterday").stderr
    elsewhere = {**server.environment, "INTEROP_DATA_DIR": str(server.folder / "other")}
    stranger = run(elsewhere | {"INTEROP_DATABASE_URL": server.settings.database}, "list")
    assert (stranger.returncode, stranger.stdout) == (1, "")
    assert "answers with 401: is INTEROP_DATA_DIR that of its server?" in stranger.stderr


async def test_what_cannot_be_audited_is_not_read(tmp_path: Path) -> None:
    """The database is held, and whoever holds it does not answer: there is never a second writer."""
    url = f"sqlite:///{tmp_path / 'interop.db'}"
    store = await open_store(url)
    try:
        await Hospital(store).send(orm(id="C1"))
        (port,) = free_ports(1)
        named = {"INTEROP_DATA_DIR": tmp_path, "INTEROP_DATABASE_URL": url, "INTEROP_HTTP_PORT": port}
        environment = child_environment({name: str(value) for name, value in named.items()})
        done = run(environment, "show", "C1")
        assert (done.returncode, done.stdout) == (1, "")
        assert "is in use by the process with pid" in done.stderr
        assert "has to be audited" in done.stderr
    finally:
        await store.close()
    assert await steering(url) == []
