"""The private Orthanc: a child process that only this server knows the password of, and that dies with it.

Orthanc takes four seconds to close when idle and as long as its associations last when not. So a parent's death kills
it at once (its index is SQLite, and nothing unfinished was acknowledged), while stop() asks first.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop.errors import UnavailableError
from interop.orthanc.client import ArchiveUnavailableError, OrthancClient
from interop.orthanc.configuration import Credentials, Node, private_configuration, write_configuration
from interop.orthanc.holders import Holder, free_port, holder_of, runner_of

logger = logging.getLogger(__name__)

BINARY = Path("/usr/sbin/Orthanc")
PLUGIN_FOLDER = Path("/usr/share/orthanc/plugins")
PLUGINS = ("libModalityWorklists.so", "libOrthancDicomWeb.so")

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOG_LIMIT = 10_000_000  # bytes; a larger log is put aside at the next start
_libc = ctypes.CDLL(None, use_errno=True)
_CLOSING_SECONDS = 2.0  # a killed process is gone from /proc before its sockets are


class ArchiveStartError(UnavailableError):
    """The private Orthanc could not be started."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where this machine's Orthanc is."""

    binary: Path
    plugins: tuple[Path, ...]

    @classmethod
    def found(cls, binary: Path = BINARY, folder: Path = PLUGIN_FOLDER) -> Installation:
        """The Debian packages' files; ArchiveStartError says which package is missing."""
        if not binary.exists():
            raise ArchiveStartError(f"{binary} is missing: install the package orthanc")
        plugins = tuple(folder / name for name in PLUGINS)
        for plugin, package in zip(plugins, ("orthanc", "orthanc-dicomweb"), strict=True):
            if not plugin.exists():
                raise ArchiveStartError(f"{plugin} is missing: install the package {package}")
        return cls(binary, plugins)


class PrivateOrthanc:
    """One Orthanc in one folder: configuration, storage and log are in it. Start it in the main thread."""

    def __init__(
        self,
        folder: Path,
        *,
        template: Mapping[str, Any],
        stations: Sequence[Node],
        worklist: Path,
        http_port: int = 8042,
        dicom_port: int = 4242,
        aet: str = "ORTHANC",
        overlay: Mapping[str, Any] | None = None,
        installation: Installation | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.http_port = http_port or free_port()
        self.dicom_port = dicom_port or free_port()
        self.aet = aet
        self.worklist = worklist.resolve()
        self.credentials = Credentials.generated()
        self._template, self._stations, self._overlay = template, stations, overlay
        self._installation = installation
        self._process: subprocess.Popen[bytes] | None = None
        self._launched = 0.0
        self._stopping = False

    @property
    def url(self) -> str:
        """The address of its REST interface, for this machine only."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def configuration(self) -> Path:
        """The generated file, mode 0600."""
        return self.folder / "orthanc.json"

    @property
    def log(self) -> Path:
        """What Orthanc says."""
        return self.folder / "orthanc.log"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def client(self, *, timeout: float = 10.0) -> OrthancClient:
        """A client that knows the password."""
        return OrthancClient(self.url, self.credentials.username, self.credentials.password, timeout=timeout)

    async def start(self, *, ports_within: float = 15.0, answers_within: float = 30.0) -> None:
        """Start it and return when it answers; a predecessor of the same folder that still closes is waited for."""
        self._stopping = False
        await self._launch(ports_within, answers_within)

    async def stop(self, *, grace: float = 10.0) -> None:
        """Ask it to end, and end it when it has not within the grace (an open association holds it)."""
        self._stopping = True
        await self._end(grace)
        self._process = None

    async def _end(self, grace: float) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None and grace > 0:
            process.send_signal(signal.SIGTERM)
            await _ended(process, grace)
        if process.poll() is None:
            process.kill()
            await _ended(process, 5.0)

    async def watch(self) -> None:
        """Start it again whenever it ends by itself, with growing pauses; returns after stop()."""
        pause = 1.0
        while not self._stopping and self._process is not None:
            await _ended(self._process)
            if self._stopping:
                return
            logger.error("Orthanc ended with status %s", self._process.returncode)
            pause = 1.0 if time.monotonic() - self._launched > 60 else min(pause * 2, 30.0)
            await asyncio.sleep(pause)
            try:
                await self._launch(15.0, 30.0)
            except (UnavailableError, OSError) as error:  # a full disk, say: it may be mended in a while
                logger.error("Orthanc could not be started again: %s", error)

    async def _launch(self, ports_within: float, answers_within: float) -> None:
        installation = self._installation or Installation.found()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.folder / "storage").mkdir(exist_ok=True, mode=0o700)
        await self._way_free(ports_within)
        if self._stopping:
            raise ArchiveStartError("stopped before it was started")
        write_configuration(self.configuration, self._configured(installation))
        self._spawn(installation)
        logger.info("Orthanc started as pid %s, HTTP %s, DICOM %s", self.pid, self.http_port, self.dicom_port)
        try:
            await self._answers(answers_within)
        except BaseException:
            await self._end(grace=0.0)
            raise

    def _configured(self, installation: Installation) -> str:
        return private_configuration(
            self._template,
            self._stations,
            http_port=self.http_port,
            dicom_port=self.dicom_port,
            aet=self.aet,
            storage=self.folder / "storage",
            worklist=self.worklist,
            plugins=installation.plugins,
            credentials=self.credentials,
            overlay=self._overlay,
        )

    def _spawn(self, installation: Installation) -> None:
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            shutil.move(self.log, self.log.with_suffix(".log.1"))
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as log:
            # The environment is made, not inherited: it holds our own secrets. DCMTK reads TCP_NODELAY; without it
            # Nagle and delayed acknowledgements make every C-STORE wait for 40 ms and more.
            self._launched = time.monotonic()
            self._process = subprocess.Popen(  # noqa: S603 - the binary is the package's, the argument our own file
                [str(installation.binary), str(self.configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"TCP_NODELAY": "1", "LANG": "C.UTF-8", "PATH": os.defpath},
                start_new_session=True,  # Ctrl-C is ours to pass on
                umask=0o077,
                preexec_fn=_dies_with(os.getpid()),
            )

    async def _way_free(self, within: float) -> None:
        """Wait for a predecessor of the same folder; it closes its ports first and its index last."""
        deadline = time.monotonic() + within
        while predecessor := runner_of(
            str(self.configuration), (self._installation.binary if self._installation else BINARY).name
        ):
            if time.monotonic() > deadline:
                text = f"an Orthanc of this same data directory still runs: {predecessor}; end it first"
                raise ArchiveStartError(text)
            await asyncio.sleep(0.1)
        closing = time.monotonic() + _CLOSING_SECONDS
        for port in (self.http_port, self.dicom_port):
            while holder := holder_of(port):
                if holder.pid is not None or time.monotonic() > closing:
                    raise ArchiveStartError(_busy(port, holder))
                await asyncio.sleep(0.05)

    async def _answers(self, within: float) -> None:
        deadline = time.monotonic() + within
        async with self.client(timeout=2.0) as client:
            while True:
                if self.pid is None:
                    raise ArchiveStartError(f"Orthanc ended while starting: {self._last_error()}; see {self.log}")
                try:
                    await client.ping()
                    return
                except ArchiveUnavailableError as error:
                    if time.monotonic() > deadline:
                        text = f"Orthanc does not answer within {within:.0f} s; see {self.log}"
                        raise ArchiveStartError(text) from error
                await asyncio.sleep(0.05)

    def _last_error(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [line.split("] ", 1)[-1] for line in lines[-50:] if line.startswith("E")]
        return errors[-1] if errors else "it gives no reason"


def _dies_with(parent: int) -> Callable[[], None]:
    """What the child does before it becomes Orthanc: ask the kernel for SIGKILL at its parent's end (prctl(2))."""
    prctl, die, killed = _libc.prctl, os._exit, int(signal.SIGKILL)

    def before_exec() -> None:
        # The parent may have ended between fork and prctl: then no signal will ever come.
        if prctl(_PR_SET_PDEATHSIG, killed, 0, 0, 0) != 0 or os.getppid() != parent:
            die(127)

    return before_exec


def _busy(port: int, holder: Holder) -> str:
    text = f"port {port} is held by {holder}"
    if any(word.startswith("/etc/orthanc") for word in holder.command):
        return f"{text}, the machine's own service: systemctl disable --now orthanc, or choose other ports"
    return f"{text}: end it, or set INTEROP_ORTHANC_HTTP_PORT and INTEROP_ORTHANC_DICOM_PORT to free ports"


async def _ended(process: subprocess.Popen[bytes], within: float | None = None) -> None:
    """Return when the process has ended, or after so many seconds."""
    if process.poll() is not None:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    descriptor = os.pidfd_open(process.pid)  # not reaped by anyone but poll(), so it is still there
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(within):
            await ended.wait()
    except TimeoutError:
        logger.debug("pid %s has not ended within %s s", process.pid, within)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        process.poll()
