"""HAPI's JPA server beside ours, where its program is: BENCH_HAPI names the jar or war of its starter project.

https://github.com/hapifhir/hapi-fhir-jpaserver-starter. It keeps its resources in H2 in its own process, as it comes,
and writes no AuditEvents.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.figures import Figure, against, rate_figure
from bench.load import Load, Outcome
from bench.parts import MeasurementError, free_ports, generate, process
from bench.stock import SYSTEM, family, patient_id

PROGRAM = "BENCH_HAPI"
NAME = "HAPI JPA server"
PATIENTS = 200
START_SECONDS = 180.0


def measure(folder: Path, ours: Mapping[str, Outcome]) -> list[Figure]:
    """Read and identifier search at 16 clients, against ours; one line that it did not run where it cannot."""
    program = os.environ.get(PROGRAM, "")
    if not program or shutil.which("java") is None:
        why = f"{PROGRAM} names no jar" if not program else "there is no java"
        return [Figure(f"{NAME}, 16 clients", f"not run: {why}")]
    (port,) = free_ports(1)
    environment = {**os.environ, "SERVER_PORT": str(port), "HAPI_FHIR_FHIR_VERSION": "R4"}
    with process("java", "-jar", program, environment=environment, log=folder / "hapi.log"):
        _await_answer(port)
        for number in range(PATIENTS):
            _put(port, next(family(number)))
        asked = {
            "read of a Patient": [f"Patient/{patient_id(n)}" for n in range(PATIENTS)],
            "search of a Patient by identifier": [
                f"Patient?identifier={SYSTEM}%7CP{n:08d}&_total=none" for n in range(PATIENTS)
            ],
        }
        figures = []
        for name, paths in asked.items():
            templates = [
                f"GET /fhir/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/fhir+json\r\n\r\n"
                for path in paths
            ]
            generate(Load(port, "http", templates, seconds=5, good=SYSTEM))  # the compiler's time is not the server's
            theirs = [generate(Load(port, "http", templates, seconds=4, good=SYSTEM))]
            ratio = f"ours is {against([ours[name]], theirs)}"
            figures.append(rate_figure(f"{NAME}, without audit: {name}, 16 clients", theirs, ratio=ratio))
        return figures


def _await_answer(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/fhir/metadata", timeout=10).close()
            return
        except OSError:
            time.sleep(1)
    raise MeasurementError(f"{NAME} does not answer after {START_SECONDS:.0f} s; see its hapi.log")


def _put(port: int, resource: Mapping[str, Any]) -> None:
    url = f"http://127.0.0.1:{port}/fhir/{resource['resourceType']}/{resource['id']}"
    headers = {"Content-Type": "application/fhir+json"}
    asked = urllib.request.Request(url, json.dumps(resource).encode(), headers, method="PUT")
    try:
        urllib.request.urlopen(asked, timeout=30).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        raise MeasurementError(f"{NAME}: {error.code} {error.read()[:300]!r}") from error
