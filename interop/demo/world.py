"""The stage: a server with its private Orthanc as a child process, and listeners in the place of RIS and EMR."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from interop.cli.hl7 import exchange
from interop.orthanc.holders import holder_of
from interop.settings import Settings, child_environment
from interop.testing.listener import HL7Listener

START_SECONDS = 60.0
PATIENCE_SECONDS = 10.0  # how long a step may wait for what another part does


class StoryError(AssertionError):
    """Something did not happen as told."""


@dataclass
class World:
    """Handles on everything the story touches; all of it through the doors that real peers use."""

    settings: Settings
    environment: Mapping[str, str]
    ris: HL7Listener
    emr: HL7Listener
    process: subprocess.Popen[bytes]
    tokens: dict[tuple[str, str, str | None], str] = field(default_factory=dict)
    clients: dict[tuple[str, str, str | None], httpx.Client] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """The HTTP server's address."""
        return self.settings.base_url

    def token(self, subject: str, scope: str, patient: str | None = None) -> str:
        """A bearer for the named actor, issued as an engineer would: by the command line."""
        key = (subject, scope, patient)
        if key not in self.tokens:
            command = [sys.executable, "-m", "interop", "token", "--subject", subject, "--scope", scope]
            command += ["--patient", patient] if patient else []
            printed = subprocess.run(command, env=dict(self.environment), capture_output=True, text=True, check=True)  # noqa: S603
            self.tokens[key] = printed.stdout.strip().splitlines()[-1]
        return self.tokens[key]

    def client(self, subject: str, scope: str, patient: str | None = None) -> httpx.Client:
        """An HTTP client that carries the actor's bearer; the same one each time, closed with the world."""
        key = (subject, scope, patient)
        if key not in self.clients:
            headers = {"Authorization": f"Bearer {self.token(subject, scope, patient)}"}
            self.clients[key] = httpx.Client(base_url=self.base, headers=headers, timeout=30, trust_env=False)
        return self.clients[key]

    def close(self) -> None:
        """Close what the actors opened."""
        for client in self.clients.values():
            client.close()
        self.clients.clear()

    def login_url(self) -> str:
        """A single-use link that opens the start page."""
        answer = self.client("demo", "system/*.cruds").post("/api/v1/login")
        answer.raise_for_status()
        return str(answer.json()["url"])

    def send(self, message: str) -> str:
        """Send an HL7 message as the RIS would; the acknowledgement as text."""
        answer = exchange(message.encode(), self.settings.mllp_host, self.settings.mllp_port, 30)
        return answer.decode()


def eventually(what: str, probe: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """The probe's first true answer; StoryError when it stays false."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise StoryError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


def require(holds: Any, what: str) -> None:
    """StoryError with the words when it does not hold."""
    if not holds:
        raise StoryError(what)


PEERS = """\
[[receiver]]
name = "RIS"
host = "127.0.0.1"
port = {ris}
application = "RIS"
facility = "HOSP"
sending_application = "INTEROP"
sending_facility = "{facility}"
types = ["ORM^O01"]

[[receiver]]
name = "EMR"
host = "127.0.0.1"
port = {emr}
application = "EMR"
facility = "HOSP"
sending_application = "INTEROP"
sending_facility = "{facility}"
types = ["ORU^R01"]
"""


@contextmanager
def stage(data_dir: Path, environment: Mapping[str, str], *, ris_port: int, emr_port: int) -> Iterator[World]:
    """Everything up, and at the end everything down again, each by its own pid.

    ``environment`` holds the INTEROP_ settings that differ from the defaults.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    own = {"INTEROP_DATA_DIR": str(data_dir), "INTEROP_PEERS_FILE": str(data_dir / "peers.toml")}
    variables = child_environment({**environment, **own})
    settings = Settings.of(variables)
    (data_dir / "peers.toml").write_text(PEERS.format(ris=ris_port, emr=emr_port, facility=settings.facility))
    with _listener(ris_port) as ris, _listener(emr_port) as emr:
        with open(data_dir / "server.log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "interop", "up"], env=variables, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            _until_ready(settings, process, data_dir / "server.log")
            with closing(World(settings, variables, ris, emr, process)) as world:
                yield world
        finally:
            stop(process)


def _listener(port: int) -> HL7Listener:
    try:
        return HL7Listener("127.0.0.1", port)
    except OSError as error:
        held = f" by {holder}" if (holder := holder_of(port)) else ""
        raise StoryError(f"port {port}, where RIS or EMR shall listen, is in use{held}: end that first") from error


def _until_ready(settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    def ready() -> bool:
        if process.poll() is not None:
            raise StoryError(f"the server ended at start:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            return httpx.get(f"{settings.base_url}/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    eventually("the server answers /readyz", ready, START_SECONDS)


def stop(process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Ask the process to end, and make it when it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
