"""What `make setup` promises: a replaced viewer is refused, a busy port has a name, passwords are made once."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The set-up scripts in a folder of their own."""
    shutil.copytree(ROOT / "setup", tmp_path / "setup")
    (tmp_path / "ohif").mkdir()
    shutil.copy(ROOT / "ohif/ohif-app.sha512", tmp_path / "ohif")
    return tmp_path


def run(folder: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "setup" / script], cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False
    )


def fake_npm(folder: Path, version: str) -> str:
    """An npm that packs something else; the PATH with it in front."""
    commands = folder / "commands"
    commands.mkdir()
    (commands / "npm").write_text(
        "#!/bin/sh\nmkdir -p package/dist\necho other > package/dist/index.html\n"
        f"tar -czf ohif-app-{version}.tgz package\n"
    )
    (commands / "npm").chmod(0o755)
    return f"{commands}:{os.environ['PATH']}"


def test_a_viewer_that_is_not_the_committed_one_is_not_installed(checkout: Path) -> None:
    done = run(checkout, "ohif", PATH=fake_npm(checkout, "3.13.2"))
    assert done.returncode != 0
    assert "not the file that ohif/ohif-app.sha512 names" in done.stderr
    assert not (checkout / "build/ohif").exists()


def test_a_viewer_with_the_committed_sum_is_installed_once(checkout: Path) -> None:
    path = fake_npm(checkout, "9.9.9")
    subprocess.run([checkout / "commands/npm"], cwd=checkout, check=True)
    sums = subprocess.run(["sha512sum", "ohif-app-9.9.9.tgz"], cwd=checkout, capture_output=True, text=True, check=True)
    (checkout / "ohif/ohif-app.sha512").write_text(sums.stdout)
    (checkout / "commands/npm").write_text(f"#!/bin/sh\ncp {checkout}/ohif-app-9.9.9.tgz .\n")
    first = run(checkout, "ohif", PATH=path)
    assert first.returncode == 0, first.stderr
    assert (checkout / "build/ohif/dist/index.html").read_text() == "other\n"
    (checkout / "commands/npm").write_text("#!/bin/sh\nexit 1\n")
    assert run(checkout, "ohif", PATH=path).returncode == 0, "asked npm again"


def test_the_committed_sum_is_of_the_pinned_version() -> None:
    digest, name = (ROOT / "ohif/ohif-app.sha512").read_text().split()
    assert name == "ohif-app-3.13.2.tgz"
    assert len(bytes.fromhex(digest)) == 64


def test_peers_are_installed_once_and_not_at_all_where_they_are_refused(checkout: Path) -> None:
    shutil.copytree(ROOT / "tests/peers", checkout / "tests/peers")
    path = fake_npm(checkout, "1")
    npm, python = checkout / "commands/npm", checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch(mode=0o755)

    def installed(of_npm: str, of_python: str) -> subprocess.CompletedProcess[str]:
        npm.write_text(f"#!/bin/sh\n{of_npm}\n")
        python.write_text(f"#!/bin/sh\n{of_python}\n")
        return run(checkout, "peers", PATH=path)

    for refusal in (("echo EINTEGRITY; exit 1", "exit 0"), ("exit 0", "echo EINTEGRITY; exit 1")):
        refused = installed(*refusal)
        assert refused.returncode != 0
        assert "EINTEGRITY" in refused.stderr
        assert not (checkout / "build/peers").exists()
    assert installed("mkdir build/peers/node_modules", "exit 0").returncode == 0
    assert installed("exit 1", "exit 1").returncode == 0, "asked again"


def test_the_peers_lock_holds_hashes_and_no_places() -> None:
    lock = json.loads((ROOT / "tests/peers/package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name
    for line in (ROOT / "tests/peers/python.lock").read_text().replace("\\\n", "").splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[0-9.]+ +--hash=sha256:[0-9a-f]{64}", line), line


def test_who_holds_a_busy_port_is_said() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = run(ROOT, "ports", INTEROP_MLLP_PORT=str(port))
    assert done.returncode == 0, "it tells; the server has the last word"
    (line,) = [line for line in done.stderr.splitlines() if f" {port} " in line]
    assert f"pid {os.getpid()} (" in line
    assert "INTEROP_MLLP_PORT" in line


def test_passwords_are_made_once_and_differ(checkout: Path) -> None:
    assert run(checkout, "secrets").returncode == 0
    made = {path.name: path.read_text() for path in (checkout / "secrets").iterdir()}
    assert len(made) == len(set(made.values())) == 3
    assert all(len(secret) >= 32 and secret.isalnum() for secret in made.values())
    assert (checkout / "secrets").stat().st_mode & 0o777 == 0o700
    assert run(checkout, "secrets").returncode == 0
    assert {path.name: path.read_text() for path in (checkout / "secrets").iterdir()} == made


def test_an_interpreter_is_found_and_one_that_is_too_old_is_not(checkout: Path) -> None:
    assert run(checkout, "python", PYTHON=sys.executable).stdout.strip() == sys.executable
    old = checkout / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    found = run(checkout, "python", PYTHON=str(old)).stdout.strip()
    assert found != str(old)
