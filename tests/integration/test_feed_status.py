"""``interop hl7 status``, /api/v1/hl7 and doctor: the same feeds, beside a server, after its restart and without it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from interop.demo.world import eventually
from interop.testing.listener import HL7Listener
from interop.testing.ports import free_ports
from tests.hl7_messages import orm
from tests.real_server import RealServer

PEERS = """
[[receiver]]
name = "{name}"
host = "127.0.0.1"
port = {port}
application = "OTHER"
types = ["ORM^O01"]
"""


def run(server: RealServer, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "interop", *words]
    return subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=60, check=False)


def status(server: RealServer) -> dict[str, Any]:
    done = run(server, "hl7", "status", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def peer(found: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = [one for one in found["peers"] if one["name"] == name]
    return dict(one)


def test_the_feeds_at_a_glance_and_after_a_restart(real_server: Callable[..., RealServer]) -> None:
    (closed,) = free_ports(1)
    with HL7Listener() as ris:
        server = real_server(command="serve")
        peers = PEERS.format(name="UP", port=ris.port) + PEERS.format(name="DOWN", port=closed)
        (server.folder / "peers.toml").write_text(peers)
        server.start("/healthz")
        assert server.send(orm(placer="P1", id="C1")).get("MSA-1") == "AA"
        assert server.send(orm("XO", "NOBODY", id="C2")).get("MSA-1") == "AE"
        _garbage(server)
        eventually("it is sent", lambda: peer(status(server), "UP")["messages"] == 1, 20)
        eventually("the counts are kept", lambda: status(server)["listener"].get("AE", 0) == 1, 20)
        eventually("it was tried", lambda: peer(status(server), "DOWN")["last_error"], 20)
        asked = server.http.get("/api/v1/hl7").json()
        told = status(server)
        assert asked["listener"] == told["listener"]
        assert [one["name"] for one in asked["peers"]] == [one["name"] for one in told["peers"]]
        _as_expected(told)
        assert server.stop() == 0
    after = status(server)
    _as_expected(after)
    _for_people(server)
    server.start("/healthz")
    assert server.send(orm(placer="P3", id="C3")).get("MSA-1") == "AA"
    assert server.stop() == 0  # what is counted is kept on the way out
    assert status(server)["listener"]["AA"] == 2
    assert peer(status(server), "RIS|HOSP")["messages"] == 3


def _garbage(server: RealServer) -> None:
    with socket.create_connection(("127.0.0.1", server.settings.mllp_port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000)


def _as_expected(found: dict[str, Any]) -> None:
    counts = found["listener"]
    assert {name: counts[name] for name in ("messages", "AA", "AE", "faults")} == {
        "messages": 2,
        "AA": 1,
        "AE": 1,
        "faults": 1,
    }
    ris, up, down = (peer(found, name) for name in ("RIS|HOSP", "UP", "DOWN"))
    assert (ris["direction"], ris["messages"], ris["refused"]) == ("in", 2, 1)
    assert ris["last_error"].startswith("AE ORC-2: ")
    assert ris["last_at"] is not None
    assert (up["direction"], up["messages"], up["queued"], up["oldest_waiting_seconds"]) == ("out", 1, 0, None)
    assert (down["messages"], down["queued"], down["dead"]) == (0, 1, 0)
    assert down["oldest_waiting_seconds"] > 0
    assert "no connection to 127.0.0.1" in down["last_error"]


def _for_people(server: RealServer) -> None:
    shown = run(server, "hl7", "status").stdout
    assert shown.startswith("listener: ")
    assert "fault unframed 1" in shown
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert any(line.startswith("in RIS|HOSP 127.0.0.1 2 1 ") for line in lines)
    assert any(line.startswith("out DOWN 0 0 never 1 ") and "no connection" in line for line in lines)
    told = run(server, "doctor").stdout
    assert "HL7 listener" in told
    assert "DOWN: 1 queued, the oldest for" in told
    assert "the last message" in told
