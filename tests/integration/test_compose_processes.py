"""The processes of docker-compose.yml with the environment it gives them, on this machine instead of in containers.

Only what a container changes is changed here: host names, folders and ports. The image itself is not run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from interop.demo.world import eventually, stop
from interop.settings import Settings, child_environment
from interop.testing.ports import free_ports
from tests.postgres import Cluster

ROOT = Path(__file__).resolve().parents[2]
SECRET = "4f0a97"


class Compose:
    """docker-compose.yml, and the way from its containers' places to this test's."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self.folder = folder
        self.http, self.mllp, self.orthanc_http, self.dicom = free_ports(4)
        self.places = {
            "/run/secrets": str(folder / "secrets"),
            "/var/lib/interop": str(folder / "interop-data"),
            "/var/lib/worklist": str(folder / "worklist"),
            "/etc/orthanc": str(folder / "orthanc-config"),
            "/etc/interop/modalities.toml": str(ROOT / "orthanc/modalities.toml"),
            "/etc/interop/peers.toml": str(ROOT / "mappings/peers.toml"),
            "http://orthanc:8042": f"http://127.0.0.1:{self.orthanc_http}",
            "interop@postgres/interop": f"interop@127.0.0.1:{cluster.port}/{cluster.create_database()}",
        }
        for place in ("secrets", "interop-data", "worklist", "orthanc-config", "orthanc-storage"):
            (folder / place).mkdir()
        for name in ("interop_database_password", "orthanc_password"):
            (folder / "secrets" / name).write_text(SECRET + "\n")

    def environment(self, service: str) -> dict[str, str]:
        """What the service's process would find, with our places."""
        found = {}
        for name, value in self.services[service]["environment"].items():
            text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
            for theirs, ours in self.places.items():
                text = text.replace(theirs, ours)
            found[name] = text
        ports = {"INTEROP_HTTP_PORT": self.http, "INTEROP_MLLP_PORT": self.mllp}
        return child_environment(found | {name: str(port) for name, port in ports.items() if name in found})

    def command(self, service: str) -> list[str]:
        """The service's command with our places, run from this checkout."""
        words = []
        for word in self.services[service]["command"]:
            for theirs, ours in self.places.items():
                word = word.replace(theirs, ours)
            words.append(word)
        return [sys.executable, "-m", "interop", *words]

    @contextmanager
    def running(self, command: list[str], name: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """A process of the composition, ended by its own pid."""
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            stop(process)

    def log(self, name: str) -> str:
        """What the process said last."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]


@pytest.fixture
def compose(tmp_path: Path, postgres_cluster: Cluster) -> Compose:
    return Compose(tmp_path, postgres_cluster)


def written_configuration(compose: Compose) -> dict[str, Any]:
    """What the service orthanc-config leaves for Orthanc."""
    done = subprocess.run(
        compose.command("orthanc-config"),
        env=compose.environment("orthanc-config"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = compose.folder / "orthanc-config/orthanc.json"
    assert written.stat().st_mode & 0o777 == 0o600
    configuration: dict[str, Any] = json.loads(written.read_text())
    return configuration


def as_debian_reads_it(compose: Compose, configuration: dict[str, Any]) -> Path:
    """The same with this machine's ports and folders, and the old worklist plugin's name for its own."""
    worklists = dict(configuration["Worklists"])
    worklists["Database"] = worklists.pop("Directory")
    plugins = Path("/usr/share/orthanc/plugins")
    places = {
        "HttpPort": compose.orthanc_http,
        "DicomPort": compose.dicom,
        "StorageDirectory": str(compose.folder / "orthanc-storage"),
        "Plugins": [str(plugins / name) for name in ("libModalityWorklists.so", "libOrthancDicomWeb.so")],
        "Worklists": worklists,
    }
    path = compose.folder / "orthanc.json"
    path.write_text(json.dumps({name: value for name, value in configuration.items() if name != "PostgreSQL"} | places))
    return path


def test_written_configuration_fits_the_composition(compose: Compose) -> None:
    configuration = written_configuration(compose)
    settings = Settings.of(compose.environment("interop"))
    assert configuration["HttpPort"] == settings.orthanc_http_port
    assert configuration["DicomPort"] == settings.orthanc_dicom_port
    assert configuration["DicomAet"] == settings.orthanc_aet
    assert configuration["RegisteredUsers"] == {settings.orthanc_username: SECRET}
    assert configuration["Worklists"]["Directory"] == str(settings.worklist)
    assert configuration["AuthenticationEnabled"] is True
    assert configuration["RemoteAccessAllowed"] is True, "the server is another machine to it"
    assert configuration["DicomCheckModalityHost"] is True
    storage = [mount.split(":")[1] for mount in compose.services["orthanc"]["volumes"] if "storage" in mount]
    assert Path(configuration["StorageDirectory"]).is_relative_to(storage[0])


def test_an_order_reaches_the_worklist_through_the_composition(compose: Compose) -> None:
    configuration = as_debian_reads_it(compose, written_configuration(compose))
    orthanc = {"TCP_NODELAY": compose.services["orthanc"]["environment"]["TCP_NODELAY"]}
    environment = compose.environment("interop")
    base = f"http://127.0.0.1:{compose.http}"
    with (
        compose.running(["/usr/sbin/Orthanc", str(configuration)], "orthanc", child_environment(orthanc)),
        compose.running(compose.command("interop"), "interop", environment) as server,
    ):

        def ready() -> bool:
            assert server.poll() is None, compose.log("interop")
            try:
                return httpx.get(f"{base}/readyz", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        eventually("the server answers /readyz", ready, 60)
        token = subprocess.run(
            [sys.executable, "-m", "interop", "token"], env=environment, capture_output=True, text=True, check=True
        )
        headers = {"Authorization": f"Bearer {token.stdout.strip().splitlines()[-1]}"}
        with httpx.Client(base_url=base, headers=headers, trust_env=False) as client:
            patient = client.post("/fhir/Patient", json=PATIENT).raise_for_status().json()
            order = ORDER | {"subject": {"reference": f"Patient/{patient['id']}"}}
            client.post("/fhir/ServiceRequest", json=order).raise_for_status()
        found = ["findscu", "-W", "-aet", "CT1", "-aec", configuration_aet(configuration)]
        found += ["127.0.0.1", str(compose.dicom), "-k", "PatientID", "-k", "SpecificCharacterSet"]
        eventually("findscu finds the order", lambda: "C-4711" in answers(found), 15)


def test_beyond_loopback_the_server_does_not_start_without_its_permission(compose: Compose) -> None:
    environment = compose.environment("interop")
    del environment["INTEROP_ALLOW_REMOTE"]
    done = subprocess.run(
        compose.command("interop"), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "INTEROP_ALLOW_REMOTE" in done.stderr


def configuration_aet(path: Path) -> str:
    return str(json.loads(path.read_text())["DicomAet"])


def answers(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


PATIENT = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:example:mrn", "value": "C-4711"}],
    "name": [{"family": "Παπαδόπουλος", "given": ["Νίκος"]}],
}
ORDER = {
    "resourceType": "ServiceRequest",
    "status": "active",
    "intent": "order",
    "code": {"text": "CT of the chest"},
    "orderDetail": [{"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]}],
    "occurrenceDateTime": "2026-12-01T09:30:00+02:00",
}
