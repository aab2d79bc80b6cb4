"""The real server as a child process: own data directory, free ports, its real doors, and its end by its own pid."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pydicom

from interop.auth import Keys, Tokens
from interop.demo.world import eventually
from interop.hl7.message import Message, parse
from interop.orthanc.holders import holder_of
from interop.settings import Settings, child_environment
from interop.store import Tx, open_reader
from interop.testing.ports import free_ports
from interop.testing.sender import HL7Sender

T = TypeVar("T")

KINDS = ("Patient", "ServiceRequest", "DiagnosticReport", "Observation", "ImagingStudy")
STEP = "urn:interop:StructureDefinition:order-step"


class RealServer:
    """One data directory, and the server that runs on it now and then."""

    def __init__(self, folder: Path, *, command: str = "up", **settings: Any) -> None:
        self.folder = folder
        self._command = command
        folder.mkdir(parents=True, exist_ok=True)
        dist = folder / "ohif"
        dist.mkdir(exist_ok=True)
        (dist / "index.html").write_text("<!doctype html><title>viewer</title>")
        (folder / "peers.toml").write_text("")
        http, mllp, archive, dicom = free_ports(4)
        own = {
            "data_dir": folder,
            "http_port": http,
            "mllp_port": mllp,
            "orthanc_http_port": archive,
            "orthanc_dicom_port": dicom,
            "ohif_dir": dist,
            "peers_file": folder / "peers.toml",
            **settings,
        }
        self.environment = child_environment({f"INTEROP_{name.upper()}": str(value) for name, value in own.items()})
        self.settings = Settings.of(self.environment)
        self.process: subprocess.Popen[bytes] | None = None
        self._http: httpx.Client | None = None

    # its life

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it; it is not awaited."""
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "interop", self._command],
                env=self.environment,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).resolve().parents[1],
            )
        return self.process

    def start(self, path: str = "/readyz") -> None:
        """Start it and return when it says 200 there."""
        self.launch()
        self.until(path)

    def until(self, path: str = "/readyz", status: int = 200, seconds: float = 60) -> httpx.Response:
        """Wait for that answer."""

        def answered() -> httpx.Response | None:
            if self.process is None or self.process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.log()[-3000:]}")
            try:
                answer = http.get(path)
            except httpx.TransportError:
                return None
            return answer if answer.status_code == status else None

        with httpx.Client(base_url=self.settings.base_url, timeout=5, trust_env=False, verify=False) as http:
            answer: httpx.Response = eventually(f"{path} answers {status}", answered, seconds)
        return answer

    def kill(self) -> None:
        """SIGKILL to the server, and to nobody else."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int | None:
        """Ask it to end; its exit status."""
        if self._http is not None:
            self._http.close()
            self._http = None
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def discard(self) -> None:
        """End it at once, for nobody looks at it any more; an orderly end waits four seconds for an idle Orthanc."""
        if self._http is not None:
            self._http.close()
            self._http = None
        if self.process is None or self.process.poll() is not None:
            return
        children = _children(self.process.pid)
        self.kill()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "server.log").read_text(errors="replace")

    def archive_pid(self) -> int:
        """The Orthanc that answers at its port."""
        holder = holder_of(self.settings.orthanc_http_port)
        assert holder is not None
        assert holder.pid is not None
        return holder.pid

    # its doors

    @property
    def http(self) -> httpx.Client:
        """An HTTP client that may do everything."""
        if self._http is None:
            token = Tokens(Keys.load(self.folder)).issue("tester", ["system/*.cruds"], client="tests")
            headers = {"Authorization": f"Bearer {token}"}
            self._http = httpx.Client(base_url=self.settings.base_url, headers=headers, timeout=30, trust_env=False)
        return self._http

    def sender(self, timeout: float = 30.0) -> HL7Sender:
        """A connection to its MLLP listener."""
        return HL7Sender("127.0.0.1", self.settings.mllp_port, timeout=timeout)

    def send(self, raw: bytes) -> Message:
        """The acknowledgement of one message."""
        with self.sender() as sender:
            return parse(sender.send(raw))

    def found(self, path: str) -> list[dict[str, Any]]:
        """The resources of one page of a search."""
        answer = self.http.get(f"/fhir/{path}")
        assert answer.status_code == 200, answer.text
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def order(self, placer: str) -> dict[str, Any]:
        """The one order with that placer number."""
        (order,) = self.found(f"ServiceRequest?identifier={placer}")
        return order

    # what is left of it on the disk

    def read(self, work: Callable[[Tx], T]) -> T:
        """Look into its database, whether it runs or not."""

        async def look() -> T:
            reader = await open_reader(self.settings.database)
            try:
                return await reader.view(work)
            finally:
                await reader.close()

        return asyncio.run(look())

    def counts(self) -> dict[str, int]:
        """How many there are of everything that a request may leave behind, once the worklist equals the database."""
        kinds = {kind: self.http.get(f"/fhir/{kind}?_summary=count").json()["total"] for kind in KINDS}
        planned = self.read(lambda tx: sum(len(items) for items in tx.shown_items().values()))
        eventually("the worklist equals the database", lambda: len(self.worklist_files()) == planned, 30)
        return {**kinds, "worklist": planned}

    def worklist_files(self) -> list[Path]:
        """The files that modalities are shown."""
        return sorted(self.settings.worklist.glob("*.wl"))

    def worklist(self) -> Counter[tuple[str, str]]:
        """How many worklist files there are of each accession number and station."""
        return Counter((item.AccessionNumber, _step(item).ScheduledStationAETitle) for item in self._items())

    def starts(self, accession: str) -> list[str]:
        """When the worklist plans the steps of an order."""
        own = (item for item in self._items() if item.AccessionNumber == accession)
        return [str(_step(item).ScheduledProcedureStepStartTime) for item in own]

    def _items(self) -> Iterator[pydicom.Dataset]:
        for path in self.worklist_files():
            with suppress(FileNotFoundError):  # taken away after it was listed
                yield pydicom.dcmread(path)


def _step(item: pydicom.Dataset) -> pydicom.Dataset:
    step: pydicom.Dataset = item.ScheduledProcedureStepSequence[0]
    return step


def accession_of(order: dict[str, Any]) -> str:
    """The accession number that an order carries."""
    for identifier in order["identifier"]:
        if any(coding["code"] == "ACSN" for coding in identifier.get("type", {}).get("coding", [])):
            return str(identifier["value"])
    raise AssertionError("the order has no accession number")


def step_of(order: dict[str, Any]) -> str:
    """Where an order stands."""
    return next((str(each["valueCode"]) for each in order.get("extension", []) if each["url"] == STEP), "")


def _children(pid: int) -> list[int]:
    """The processes whose parent this is."""
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def alive(pid: int) -> bool:
    """Whether the process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except FileNotFoundError:
        return False


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether the process ends in time."""
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)
