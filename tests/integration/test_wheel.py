"""The wheel is complete: what the image installs runs without the checkout, from any working directory."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from interop.settings import child_environment

ROOT = Path(__file__).resolve().parents[2]
DATA = ("profiles", "mappings", "orthanc", "ohif")


def run(*command: str, cwd: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as the Dockerfile builds it, offline, with the locked build tool."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel")
    run(*pip, "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked where nothing of the checkout is near."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_every_data_file_is_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    tracked = run("git", "ls-files", "-z", *DATA, cwd=ROOT).split("\0")
    wanted = {f"interop/data/{name}" for name in tracked if name}
    assert len(wanted) > 20
    assert wanted - inside == set()
    tracked = run("git", "ls-files", "-z", "interop", cwd=ROOT).split("\0")
    assert {name for name in tracked if name} - inside == set()
    assert not {name for name in inside if name.startswith(("tests/", "bench/", "setup/", "interop/tests"))}


def test_it_runs_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    variables = {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1", "INTEROP_ORTHANC_PASSWORD": "4f0a97"}
    environment = child_environment(variables)
    where = "import interop, interop.shipped as s; print(interop.__file__); print(s.shipped('mappings'))"
    printed = run(sys.executable, "-c", where, cwd=tmp_path, environment=environment).splitlines()
    assert all(Path(line).is_relative_to(installed) for line in printed)
    command = (sys.executable, "-m", "interop", "orthanc-config", "--docker", str(tmp_path / "orthanc.json"))
    run(*command, cwd=tmp_path, environment=environment)
    assert json.loads((tmp_path / "orthanc.json").read_text())["RegisteredUsers"] == {"interop": "4f0a97"}
    (tmp_path / "order.hl7").write_text(ORDER)
    preview = (sys.executable, "-m", "interop", "hl7", "preview", "order.hl7")
    assert "ServiceRequest" in run(*preview, cwd=tmp_path, environment=environment)


ORDER = """\
MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20261201080000||ORM^O01|W-1|P|2.5.1|||||CYP|UNICODE UTF-8
PID|1||4712^^^HOSP^MR||Γεωργίου^Άννα||19700515|F
ORC|NW|PL-77^HOSP
OBR|1|PL-77^HOSP||71260^CT chest with contrast^C4|||||||||||||||||||||CT
"""
