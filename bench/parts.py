"""Processes of a measurement: ours, our peers', and the load generator's. Each is ended by its own pid."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import Load, Outcome

ROOT = Path(__file__).resolve().parent.parent
INTEROP = Path(sys.executable).with_name("interop")


class MeasurementError(Exception):
    """A part did not start, or answered what it should not."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def process(
    *command: str, environment: Mapping[str, str] | None = None, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process, asked to end at the end and made to if it does not."""
    with open(log, "ab") as output:
        child = subprocess.Popen(command, env=dict(environment or os.environ), cwd=ROOT, stdout=output, stderr=output)  # noqa: S603
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def until_listening(port: int, child: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    """Wait for a port; MeasurementError if its process ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise MeasurementError(f"{child.args!r} ended with status {child.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise MeasurementError(f"{child.args!r} does not listen on {port}")


@contextmanager
def peer(module: str, *arguments: str, folder: Path) -> Iterator[int]:
    """A peer's server on a free port."""
    (port,) = free_ports(1)
    with process(sys.executable, "-m", module, str(port), *arguments, log=folder / "peers.log") as child:
        until_listening(port, child)
        yield port


@contextmanager
def node_peer(script: str, *, folder: Path) -> Iterator[int]:
    """The same for a peer from npm; MeasurementError where `make setup` has not put it here."""
    modules = ROOT / "build" / "peers" / "node_modules"
    if not modules.is_dir():
        raise MeasurementError(f"{modules} is not there: make setup")
    (port,) = free_ports(1)
    environment = {**os.environ, "NODE_PATH": str(modules)}
    with process("node", script, str(port), environment=environment, log=folder / "peers.log") as child:
        until_listening(port, child)
        yield port


def generate(load: Load) -> Outcome:
    """Run the load generator; MeasurementError when an answer was not as it should be."""
    job = json.dumps(asdict(load))
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=job, capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise MeasurementError(f"the load generator: {done.stderr[-2000:]}")
    outcome = Outcome(**json.loads(done.stdout))
    if outcome.wrong or not outcome.answers:
        raise MeasurementError(f"{outcome.wrong} of {outcome.answers} answers are wrong, such as: {outcome.example}")
    return outcome


@dataclass(frozen=True, slots=True)
class Server:
    """The server under measurement, `interop up` on free ports in a folder of its own."""

    folder: Path
    environment: Mapping[str, str]
    http_port: int
    mllp_port: int
    orthanc_port: int
    dicom_port: int
    token: str
    pid: int  # of `interop up`

    @property
    def base(self) -> str:
        """Its HTTP address."""
        return f"http://127.0.0.1:{self.http_port}"

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """One HTTP request with the bearer; MeasurementError unless it succeeds."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/fhir+json"}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.base + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise MeasurementError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from error


@contextmanager
def server(
    folder: Path, database_url: str = "", roles: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Everything up, or these roles of the server alone, in an empty data directory."""
    http, mllp, orthanc, dicom = free_ports(4)
    folder.mkdir(parents=True)
    (folder / "peers.toml").write_text("receiver = []\n")  # nobody to send to: a listener's time is not ours
    named = {
        "INTEROP_DATA_DIR": str(folder / "data"),
        "INTEROP_DATABASE_URL": database_url,
        "INTEROP_HTTP_PORT": str(http),
        "INTEROP_MLLP_PORT": str(mllp),
        "INTEROP_ORTHANC_HTTP_PORT": str(orthanc),
        "INTEROP_ORTHANC_DICOM_PORT": str(dicom),
        "INTEROP_PEERS_FILE": str(folder / "peers.toml"),
        **(settings or {}),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INTEROP_")} | named
    log = folder / "server.log"
    chosen = [part for role in roles for part in ("--role", role)]
    with process(str(INTEROP), "up", *chosen, environment=environment, log=log) as child:
        _until_ready(f"http://127.0.0.1:{http}/readyz", child, log)
        printed = subprocess.run(  # noqa: S603
            [INTEROP, "token"], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
        )
        token = printed.stdout.strip().splitlines()[-1]
        yield Server(folder, environment, http, mllp, orthanc, dicom, token, child.pid)


def _until_ready(url: str, child: subprocess.Popen[bytes], log: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise MeasurementError(f"interop up ended:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise MeasurementError(f"interop up is not ready:\n{log.read_text(errors='replace')[-2000:]}")
