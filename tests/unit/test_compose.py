"""docker-compose.yml and the Dockerfile held against the settings: names, ports, volumes, secrets, images.

Neither is run here (docs/limitations.md); what can be read is read.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from interop.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "INTEROP_"
OURS = ("interop", "orthanc-config")  # the services that run our image
IMAGE_USER = "999:999"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def resolved(value: str) -> str:
    """What Compose makes of ${NAME:-default} where NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: resolved(value) for name, value in service.get("environment", {}).items()}


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Target folder or file in the container -> named volume or host path."""
    found = {}
    for mount in service.get("volumes", []):
        source, target, *_ = mount.split(":")
        found[target] = source
    return found


def published(service: dict[str, Any]) -> dict[int, tuple[str, int]]:
    """Container port -> host address and port."""
    found = {}
    for port in service.get("ports", []):
        address, host, container = resolved(port).rsplit(":", 2)
        found[int(container)] = (address, int(host))
    return found


def settings_of(compose: dict[str, Any], name: str, dockerfile: str, tmp_path: Path) -> Settings:
    """The settings that the service would read, its secrets lying in a folder of ours."""
    variables = dict(re.findall(r"(INTEROP_\w+)=(\S+)", dockerfile))
    variables |= {
        key: value.replace("/run/secrets", str(tmp_path))
        for key, value in environment(compose["services"][name]).items()
        if key.startswith(PREFIX)
    }
    return Settings.of(variables)


def within(path: str | PurePosixPath, folders: dict[str, str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(folder) for folder in folders)


def test_every_environment_name_is_a_setting(compose: dict[str, Any], dockerfile: str) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = {name for service in compose["services"].values() for name in environment(service)}
    named |= set(re.findall(r"\bINTEROP_\w+", dockerfile))
    ours = {name for name in named if name.startswith(PREFIX)}
    assert ours - known == set()
    assert len(ours) > 15


@pytest.mark.parametrize("name", OURS)
def test_each_service_environment_makes_valid_settings(
    compose: dict[str, Any], dockerfile: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / "interop_database_password").write_text("d4ta")
    (tmp_path / "orthanc_password").write_text("0rth")
    settings = settings_of(compose, name, dockerfile, tmp_path)
    assert settings.orthanc_secret == "0rth"
    assert settings.data_dir == Path("/var/lib/interop")
    if name == "interop":
        assert settings.database == "postgresql+psycopg://interop:d4ta@postgres/interop"
        assert settings.remote_bindings() == [f"{PREFIX}HTTP_HOST", f"{PREFIX}MLLP_HOST"]
        assert settings.allow_remote
        assert settings.mllp_peers, "beyond loopback an allow-list is needed"


def test_server_and_orthanc_agree_on_what_they_share(compose: dict[str, Any], dockerfile: str, tmp_path: Path) -> None:
    (tmp_path / "orthanc_password").write_text("0rth")
    server, writer = (settings_of(compose, name, dockerfile, tmp_path) for name in OURS)
    for shared in ("orthanc_username", "orthanc_aet", "orthanc_dicom_port", "worklist", "modalities_file"):
        assert getattr(server, shared) == getattr(writer, shared)
    services = compose["services"]
    assert server.orthanc_url == f"http://orthanc:{writer.orthanc_http_port}"
    assert compose["services"]["orthanc-config"]["command"] == [
        "orthanc-config",
        "--docker",
        "/etc/orthanc/orthanc.json",
    ]
    written = mounts(services["orthanc-config"])["/etc/orthanc"]
    assert mounts(services["orthanc"])["/etc/orthanc"] == written
    folders = [mounts(services[name])[str(server.worklist)] for name in ("interop", "orthanc-config", "orthanc")]
    assert set(folders) == {"worklist"}


def test_published_ports_are_the_settings_ports(compose: dict[str, Any], dockerfile: str, tmp_path: Path) -> None:
    settings = settings_of(compose, "interop", dockerfile, tmp_path)
    services = compose["services"]
    assert set(published(services["interop"])) == {settings.http_port, settings.mllp_port}
    assert set(published(services["orthanc"])) == {settings.orthanc_dicom_port}
    assert {name for name, service in services.items() if published(service)} == {"interop", "orthanc"}
    assert settings.orthanc_http_port not in published(services["orthanc"])
    assert {address for address, _ in published(services["interop"]).values()} == {"127.0.0.1"}
    exposed = {int(port) for port in re.search(r"^EXPOSE (.+)$", dockerfile, re.M).group(1).split()}  # type: ignore[union-attr]
    assert exposed == {settings.http_port, settings.mllp_port}
    assert f"127.0.0.1:{settings.http_port}/healthz" in dockerfile
    assert f"127.0.0.1:{settings.http_port}/healthz" in str(services["interop"]["healthcheck"]["test"])


def test_what_the_server_writes_and_reads_is_mounted(compose: dict[str, Any], dockerfile: str, tmp_path: Path) -> None:
    service = compose["services"]["interop"]
    settings = settings_of(compose, "interop", dockerfile, tmp_path)
    folders = mounts(service)
    assert service["read_only"] is True
    for path in (settings.data_dir, settings.worklist, settings.modalities_file, settings.peers_file):
        assert path is not None
        assert within(str(path), folders), path
    assert not within(str(settings.ohif_dir), folders), "OHIF is part of the image"
    assert f"COPY --from=viewer /src/build/ohif/dist {settings.ohif_dir}" in dockerfile
    for source in (folders[str(settings.modalities_file)], folders[str(settings.peers_file)]):
        assert (ROOT / source).is_file(), source


def test_volumes_are_declared_and_used(compose: dict[str, Any]) -> None:
    sources = {source for service in compose["services"].values() for source in mounts(service).values()}
    named = {source for source in sources if not source.startswith((".", "/"))}
    assert named == set(compose["volumes"])
    for source in sources - named:
        assert (ROOT / source).is_file(), source
    services = compose["services"]
    assert mounts(services["postgres"])["/var/lib/postgresql/data"] == "postgres-data"
    assert mounts(services["orthanc"])["/var/lib/orthanc"] == "orthanc-storage"


def test_passwords_come_from_files_only(compose: dict[str, Any]) -> None:
    used = set()
    for service in compose["services"].values():
        granted = set(service.get("secrets", []))
        used |= granted
        for name, value in environment(service).items():
            if "PASSWORD" not in name:
                assert not re.search(r"://\w+:\w+@", value), name
            elif name.endswith("_SECRET"):  # the Orthanc image's way: the name of a secret
                assert value in granted
            else:
                assert name.endswith("_FILE"), name
                assert value.removeprefix("/run/secrets/") in granted, name
    assert used == set(compose["secrets"])
    made = (ROOT / "setup/secrets").read_text()
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert name in made
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert "secrets" not in (ROOT / ".dockerignore").read_text()


def test_images_are_pinned_and_orthanc_is_past_its_known_holes(compose: dict[str, Any], dockerfile: str) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.M)
    for image in [*images.values(), *bases]:
        assert re.search(r":\d+\.\d+(\.\d+)?", image), image
    repository, tag = images["orthanc"].split(":")
    assert repository == "orthancteam/orthanc"
    assert tuple(map(int, tag.split("."))) >= (26, 4, 0)  # the first with Orthanc 1.12.11
    python = {base for base in bases if base.startswith("python:")}
    assert len(python) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", python.pop())


def test_nothing_runs_as_root_but_what_postgres_starts_with(compose: dict[str, Any], dockerfile: str) -> None:
    last = dockerfile.rsplit("\nFROM ", 1)[1]
    assert f"USER {IMAGE_USER}" in last
    assert last.index("USER ") < last.index("ENTRYPOINT")
    assert compose["services"]["orthanc"]["user"] == IMAGE_USER
    for name, service in compose["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"], name
        assert "privileged" not in service


def test_everything_that_stays_up_has_a_health_check(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"orthanc-config"}
    assert services["interop"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert services["orthanc"]["depends_on"]["orthanc-config"] == {"condition": "service_completed_successfully"}


def test_orthanc_gets_the_plugins_and_the_speed_it_needs(compose: dict[str, Any]) -> None:
    variables = environment(compose["services"]["orthanc"])
    assert variables["TCP_NODELAY"] == "1"
    for plugin in ("DICOM_WEB", "WORKLISTS", "POSTGRESQL"):
        assert variables[f"{plugin}_PLUGIN_ENABLED"] == "true"
    created = (ROOT / "setup/orthanc-database.sh").read_text()
    assert f"CREATE DATABASE {variables['ORTHANC__POSTGRESQL__DATABASE']}" in created
    assert f"CREATE ROLE {variables['ORTHANC__POSTGRESQL__USERNAME']}" in created


def test_image_copies_exist_and_are_in_the_build_context(dockerfile: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert any(PurePosixPath(source).is_relative_to(entry) for entry in allowed), source


def test_image_installs_the_locked_versions() -> None:
    pins = {name: _pins(ROOT / name) for name in ("requirements.lock", "requirements-runtime.lock")}
    full, runtime = pins["requirements.lock"], pins["requirements-runtime.lock"]
    assert runtime.items() <= full.items()
    assert "pytest" not in runtime
    assert {"fastapi", "pydicom", "psycopg", "uvicorn"} <= set(runtime)


def _pins(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes by package; every package has hashes."""
    found = {}
    for block in re.split(r"\n(?=[a-z0-9])", lock.read_text()):
        if pin := re.match(r"([a-z0-9._-]+)(?:\[[\w,]+\])?==(\S+)", block):
            hashes = frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", block))
            assert hashes, pin.group(1)
            found[pin.group(1)] = (pin.group(2), hashes)
    assert len(found) > 20
    return found
