"""``interop hl7`` and ``interop jobs`` list, replay, retry, drop: beside a server that runs and without one."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from interop.demo.world import eventually
from interop.hl7.framing import frame
from interop.testing.listener import HL7Listener
from tests.hl7_messages import orm
from tests.real_server import RealServer

PEERS = """[[receiver]]
name = "RIS"
host = "127.0.0.1"
port = {port}
application = "OTHER"
types = ["ORM^O01"]
"""


def run(server: RealServer, *words: str, answer: str = "", group: str = "hl7") -> subprocess.CompletedProcess[str]:
    """A command, with the server's settings."""
    command = [sys.executable, "-m", "interop", group, *words]
    return subprocess.run(
        command, env=server.environment, input=answer, capture_output=True, text=True, timeout=60, check=False
    )


def listed(server: RealServer, *words: str) -> list[dict[str, Any]]:
    """What ``list`` finds."""
    done = run(server, "list", "--json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_feed_is_seen_and_steered(real_server: Callable[..., RealServer]) -> None:
    with HL7Listener(answer="AR") as ris:
        server = real_server(command="serve")
        (server.folder / "peers.toml").write_text(PEERS.format(port=ris.port))
        server.start("/healthz")
        for number in range(3):
            assert server.send(orm("XO", f"P{number}", id=f"X{number}")).get("MSA-1") == "AE"
        for number in range(3):
            assert server.send(orm("NW", f"P{number}", id=f"N{number}")).get("MSA-1") == "AA"
        with socket.create_connection(("127.0.0.1", server.settings.mllp_port)) as torn:
            torn.sendall(b"\x0b" + orm("XO", "P9", id="TORN")[:150] + frame(orm("XO", "P9", id="TORN")[:4]))
            answer = b""
            while b"\x1c" not in answer:
                answer += torn.recv(65536)
            assert b"MSA|AR|TORN|" in answer
        assert [one["type"] for one in listed(server, "--control-id", "TORN")] == ["fault torn"]
        _replays(server)
        _sends_again(server, ris)
        _gives_up_without_a_server(server, ris)


def _replays(server: RealServer) -> None:
    preview = run(server, "replay", "--since", "1h", "--dry-run")
    assert (preview.returncode, "3 messages to replay" in preview.stderr) == (0, True)
    assert "2 left out that are no whole messages" in preview.stderr
    assert preview.stdout.index("X2") < preview.stdout.index("X0")  # newest first
    declined = run(server, "replay", answer="n\n")
    assert declined.returncode == 1
    assert len(listed(server, "--state", "refused", "--type", "ORM")) == 3
    done = run(server, "replay", "--control-id", "X1", answer="y\n")
    assert (done.returncode, done.stdout.splitlines()[-1].strip()) == (0, "1 done")
    done = run(server, "replay", "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1].strip()) == (0, "2 done")
    assert "100%" in done.stderr or "2/2" in done.stderr
    found = listed(server, "--direction", "in", "--type", "ORM", "--limit", "100")
    assert {one["control_id"]: one["state"] for one in found} == {f"{k}{n}": "received" for k in "XN" for n in range(3)}
    assert {one["attempts"] for one in found if one["control_id"].startswith("X")} == {2}
    assert all(one["touched"][0].startswith("Patient/") for one in found)
    again = run(server, "replay", "--number", str(found[0]["id"]), "--yes")
    assert (again.returncode, again.stdout.splitlines()[-1].strip()) == (0, "1 done")
    assert f"message {found[0]['id']}: was carried out already, and stays as it is" in again.stderr


def _sends_again(server: RealServer, ris: HL7Listener) -> None:
    dead = eventually("three are dead", lambda: len(listed(server, "--state", "dead")) == 3 or None, 30)
    assert dead
    job = _jobs_are_listed(server, dead=3)
    ris.answer = "AA"
    done = run(server, "resend", "--peer", "RIS", "--limit", "1", "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1].strip()) == (0, "1 done"), done.stderr
    done = run(server, "retry", "--number", str(job), "--yes", group="jobs")
    assert (done.returncode, done.stdout.splitlines()[-1].strip()) == (0, "1 done"), done.stderr
    assert ("1/1" in done.stderr, f"dead letter {job}: is ready" in done.stderr) == (True, True)
    eventually("two are sent", lambda: len(listed(server, "--state", "sent")) == 2 or None, 30)
    (left,) = listed(server, "--state", "dead")
    shown = run(server, "show", "--number", str(left["id"]))
    assert "AR" in shown.stdout
    assert "attempts=1" in shown.stdout
    wrong = run(server, "drop", "--number", str(listed(server, "--state", "sent")[0]["id"]), "--yes")
    assert (wrong.returncode, "sent" in wrong.stderr) == (1, True)


def _jobs_are_listed(server: RealServer, dead: int) -> int:
    """The same dead letters, as jobs; the number of the oldest."""
    found = run(server, "list", "--json", group="jobs")
    assert found.returncode == 0, found.stderr
    jobs = [json.loads(line) for line in found.stdout.splitlines()]
    assert [one["kind"] for one in jobs] == ["send"] * dead
    assert all("AR" in one["error"] for one in jobs)
    preview = run(server, "retry", "--kind", "send", "--dry-run", group="jobs")
    assert (preview.returncode, f"{dead} dead letters to retry" in preview.stderr) == (0, True)
    assert f"message {jobs[0]['about'].partition(' ')[2]}" in preview.stdout
    counted = run(server, group="doctor").stdout
    assert re.search(rf"dead letters\s+{dead} send\b.*interop jobs list", counted, re.DOTALL), counted
    declined = run(server, "drop", group="jobs", answer="n\n")
    assert (declined.returncode, len(listed(server, "--state", "dead"))) == (1, dead)
    return int(jobs[-1]["id"])


def _gives_up_without_a_server(server: RealServer, ris: HL7Listener) -> None:
    assert server.stop() == 0
    done = run(server, "drop", "--yes", group="jobs")
    assert (done.returncode, done.stdout.splitlines()[-1].strip()) == (0, "1 done"), done.stderr
    missing = run(server, "retry", "--number", "999", group="jobs")
    assert (missing.returncode, missing.stderr) == (1, "interop: there is no dead letter 999\n")
    assert [one["state"] for one in listed(server, "--state", "dropped")] == ["dropped"]
    sent = len(ris.messages)
    done = run(server, "resend", "--state", "dropped", "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1].strip()) == (0, "1 done")
    server.start("/healthz")
    ris.wait_for(lambda messages: len(messages) == sent + 1)
    missing = run(server, "replay", "--number", "999")
    assert (missing.returncode, missing.stderr) == (1, "interop: there is no message 999\n")
    odd = run(server, "list", "--since", "yesterday")
    assert (odd.returncode, "is not a moment" in odd.stderr) == (1, True)
