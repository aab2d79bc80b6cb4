"""A PostgreSQL of the tests' own: a cluster in a temporary folder, on a free port of the loopback address.

It ends with whoever started it, by its own pid, also when that process is killed.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

_PR_SET_PDEATHSIG = 1
_PATIENCE = 60.0


def binaries() -> Path:
    """The newest installed server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise FileNotFoundError("PostgreSQL's server is not installed (Debian: postgresql)")
    return found[-1].parent


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Cluster:
    """A running server."""

    def __init__(self, *, durable: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="interop-postgresql-"))
        self.port = free_port()
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._durable = durable
        self._databases = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", self._data, "-U", "interop", "--auth=trust", "--no-sync", "--locale=C.UTF-8")
        self.start()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def url(self, database: str) -> str:
        """The URL of a database, as settings have it."""
        return f"postgresql+psycopg://interop@127.0.0.1:{self.port}/{database}"

    def conninfo(self, database: str) -> str:
        """The same as libpq reads it."""
        return f"postgresql://interop@127.0.0.1:{self.port}/{database}"

    def start(self, *, environment: Mapping[str, str] | None = None, settings: Mapping[str, str] | None = None) -> None:
        """Start the server and wait until it answers."""
        chosen = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "60",
            "shared_buffers": "64MB",
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
            "logging_collector": "off",
            "log_min_messages": "warning",
            **(settings or {}),
        }
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "ab") as log:
            self._server = subprocess.Popen(
                [binaries() / "postgres", "-D", self._data, *options],
                cwd=self.folder,
                user=self._user,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
            )
        self._await_answer(self._server)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends its sessions in order, SIGQUIT is a crash."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(_PATIENCE)
            self._server = None

    def kill(self) -> None:
        """End the server and all its processes at one moment, as a power cut does."""
        if self._server is not None:
            self._server.send_signal(signal.SIGSTOP)  # it starts no further ones
            for pid in _children(self._server.pid):
                os.kill(pid, signal.SIGKILL)
            self._server.kill()
            self._server.wait(_PATIENCE)
            self._server = None

    def workshop(self) -> Path:
        """A folder beside the data that the server may read."""
        folder = self.folder / "workshop"
        folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        return folder

    def remove(self) -> None:
        """Stop the server and take its folder away."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def create_database(self, *, template: str = "template0") -> str:
        """A new database, a copy of the template; its name."""
        self._databases += 1
        name = f"test{self._databases}"
        self._administer(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return name

    def drop_database(self, name: str) -> None:
        """Take a database away, its sessions too."""
        self._administer(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [binaries() / program, *arguments], cwd=self.folder, user=self._user, capture_output=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode(errors='replace')}")

    def _await_answer(self, server: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.conninfo("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if server.poll() is not None or time.monotonic() > until:
                    log = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL does not start: {log}") from error
                time.sleep(0.05)


def _children(parent: int) -> list[int]:
    """The processes whose parent this is."""
    tasks = Path(f"/proc/{parent}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
