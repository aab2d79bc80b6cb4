"""The private Orthanc starts closed, says who is in its way, and never outlives its parent."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from interop.orthanc.child import ArchiveStartError, Installation, PrivateOrthanc
from interop.orthanc.client import ArchiveUnavailableError, OrthancClient
from interop.orthanc.holders import holder_of
from tests.integration.conftest import make_orthanc

ROOT = Path(__file__).resolve().parents[2]

PARENT = """
import asyncio, sys, time
from pathlib import Path
from tests.integration.conftest import make_orthanc
archive = make_orthanc(Path(sys.argv[1]))
archive.http_port, archive.dicom_port = int(sys.argv[2]), int(sys.argv[3])
asyncio.run(archive.start())
print(archive.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except FileNotFoundError:
        return False


async def test_it_answers_its_own_client_and_nobody_else(orthanc: PrivateOrthanc) -> None:
    async with orthanc.client() as client:
        assert await client.ping() == "1.10.1"
        assert (await client.system())["DicomAet"] == "ORTHANC"
    async with OrthancClient(orthanc.url, "interop", "wrong") as stranger:
        with pytest.raises(ArchiveUnavailableError, match="user or password"):
            await stranger.ping()
    async with httpx.AsyncClient() as anonymous:
        for path in ("/system", "/dicom-web/studies", "/app/explorer.html", "/webdav/"):
            assert (await anonymous.get(orthanc.url + path)).status_code in (401, 404)


async def test_scripts_and_files_are_out_of_its_reach(orthanc: PrivateOrthanc) -> None:
    secret = httpx.BasicAuth(orthanc.credentials.username, orthanc.credentials.password)
    async with httpx.AsyncClient(auth=secret) as client:
        assert (await client.post(f"{orthanc.url}/tools/execute-script", content=b"print(1)")).status_code == 403


def test_its_files_are_its_owners(orthanc: PrivateOrthanc) -> None:
    assert stat.S_IMODE(orthanc.configuration.stat().st_mode) == 0o600
    assert stat.S_IMODE(orthanc.log.stat().st_mode) == 0o600
    assert stat.S_IMODE(orthanc.folder.stat().st_mode) == 0o700
    assert orthanc.credentials.password not in orthanc.log.read_text()


def test_it_does_not_inherit_the_environment(orthanc: PrivateOrthanc) -> None:
    environment = Path(f"/proc/{orthanc.pid}/environ").read_bytes().split(b"\0")
    assert b"TCP_NODELAY=1" in environment
    assert not any(entry.startswith((b"INTEROP_", b"PYTEST_", b"HOME=")) for entry in environment)


async def test_stop_lets_it_close_properly(tmp_path: Path) -> None:
    archive = make_orthanc(tmp_path)
    await archive.start()
    pid = archive.pid
    assert pid is not None
    await archive.stop(grace=15.0)
    assert not alive(pid)
    assert archive.pid is None
    assert "Orthanc has stopped" in archive.log.read_text()


def test_killing_the_parent_takes_the_child_along_and_a_new_start_works(tmp_path: Path) -> None:
    archive = make_orthanc(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), str(archive.http_port), str(archive.dicom_port)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)
    asyncio.run(archive.start())
    assert archive.pid is not None
    asyncio.run(archive.stop(grace=0.0))


async def test_a_start_that_meets_the_old_one_closing_waits(tmp_path: Path) -> None:
    old = make_orthanc(tmp_path)
    new = make_orthanc(tmp_path)
    new.http_port, new.dicom_port = old.http_port, old.dicom_port
    await old.start()
    first = old.pid
    closing = asyncio.create_task(old.stop(grace=15.0))
    await asyncio.sleep(0.1)
    try:
        await new.start()
        assert new.pid != first
        assert first is not None
        assert not alive(first)
    finally:
        await closing
        await new.stop(grace=0.0)


async def test_an_old_one_that_stays_is_named(orthanc: PrivateOrthanc, tmp_path: Path) -> None:
    second = make_orthanc(tmp_path)
    with pytest.raises(ArchiveStartError, match=rf"still runs: Orthanc \(pid {orthanc.pid}\)"):
        await second.start(ports_within=0.3)
    assert orthanc.pid is not None


@pytest.mark.parametrize("which", ["http_port", "dicom_port"])
async def test_a_busy_port_is_said_to_be_busy_and_by_whom(tmp_path: Path, which: str) -> None:
    archive = make_orthanc(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        setattr(archive, which, other.getsockname()[1])
        with pytest.raises(
            ArchiveStartError, match=rf"port {getattr(archive, which)} is held by .*\(pid {os.getpid()}\)"
        ):
            await archive.start()
    assert not archive.configuration.exists()


async def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    archive = make_orthanc(tmp_path)
    (archive.folder / "storage").parent.mkdir(parents=True)
    (archive.folder / "storage").mkdir()
    (archive.folder / "storage" / "index").mkdir()
    with pytest.raises(ArchiveStartError, match="Orthanc ended while starting: "):
        await archive.start()
    assert archive.pid is None
    assert holder_of(archive.http_port) is None


async def test_it_is_started_again_when_it_ends_by_itself(tmp_path: Path) -> None:
    archive = make_orthanc(tmp_path)
    await archive.start()
    watch = asyncio.create_task(archive.watch())
    first = archive.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    try:
        async with asyncio.timeout(20), archive.client() as client:
            while archive.pid in (first, None):
                await asyncio.sleep(0.05)
            while True:
                try:
                    await client.ping()
                    break
                except ArchiveUnavailableError:
                    await asyncio.sleep(0.05)
    finally:
        await archive.stop(grace=0.0)
        await watch


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveStartError, match=r"install the package orthanc$"):
        Installation.found(tmp_path / "Orthanc")
    binary = tmp_path / "Orthanc"
    binary.write_bytes(b"")
    (tmp_path / "libModalityWorklists.so").write_bytes(b"")
    with pytest.raises(ArchiveStartError, match="install the package orthanc-dicomweb"):
        Installation.found(binary, tmp_path)


def test_nobody_holds_a_free_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert holder_of(probe.getsockname()[1]) is None
        probe.listen()
        holder = holder_of(probe.getsockname()[1])
        assert holder is not None
        assert holder.pid == os.getpid()
