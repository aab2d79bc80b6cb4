"""The worklist, and studies on their way from the modality: what needs Orthanc's DICOM port."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench import fhir, images
from bench.figures import Figure
from bench.parts import MeasurementError, Server
from bench.stock import SYSTEM

ORDERS = 20
STUDY = 200
SIZES = (20, 200, 2000)  # of studies of small images
SMALL = 64  # × 64 pixels
LONGEST = 600.0  # seconds for a study to be complete
TITLE = "Worklist and studies"
EXPLANATION = f"""\
An order's way to the worklist is counted from the 201 to the end of the first `findscu` that finds it, its start of
some tens of milliseconds included. A study of {STUDY} CT images (512 × 512 × 16 bit, 100 MB) is stored by `storescu` on
one association; complete is when the ImagingStudy shows all of them, and its order. Studies of images of 8 kB come
besides: what remains to be done when the last image is there must not grow with those before it."""


def measure(server: Server, folder: Path) -> list[Figure]:
    """The worklist first."""
    patient = json.loads(server.request("POST", "/fhir/Patient", _patient()))["id"]
    figures = [*_worklist(server, patient), *_study(server, patient, folder)]
    return figures + [_lag(server, patient, folder, size) for size in SIZES]


def _patient() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": "ARCHIVE"}],
        "name": [{"family": "Παπαδόπουλος", "given": ["Νίκος"]}],
    }


def _placed(server: Server, patient: str, number: str) -> tuple[str, str]:
    """Accession number and StudyInstanceUID of a new CT order."""
    order = json.loads(server.request("POST", "/fhir/ServiceRequest", fhir.placed(patient, number, "CT")))
    found = {"accession": "", "study": ""}
    for identifier in order["identifier"]:
        codes = [coding.get("code") for coding in identifier.get("type", {}).get("coding", [])]
        if "ACSN" in codes:
            found["accession"] = identifier["value"]
        if identifier.get("system") == "urn:dicom:uid":
            found["study"] = identifier["value"].removeprefix("urn:oid:")
    return found["accession"], found["study"]


def eventually(what: str, probe: Callable[[], bool], seconds: float = 60.0) -> float:
    """Seconds until the probe holds."""
    started = time.perf_counter()
    while not probe():
        if time.perf_counter() - started > seconds:
            raise MeasurementError(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)
    return time.perf_counter() - started


def _worklist(server: Server, patient: str) -> list[Figure]:
    waits, queries = [], []
    for number in range(ORDERS):
        accession, _ = _placed(server, patient, f"WL{number:05d}")
        waits.append(eventually("the order in the worklist", lambda key=accession: _found(server, key)))  # type: ignore[misc]
        started = time.perf_counter()
        _found(server, accession)
        queries.append(time.perf_counter() - started)
    waits.sort()
    wait = f"{1000 * median(waits):.0f} / {1000 * waits[-1]:.0f} ms"
    return [
        Figure(f"order committed → answer of the worklist ({ORDERS} orders)", "", wait, "", "≤ 1 s"),
        Figure("`findscu` alone", "", f"{1000 * median(queries):.0f} / {1000 * max(queries):.0f} ms"),
    ]


def _found(server: Server, accession: str) -> bool:
    keys = [f"AccessionNumber={accession}", "PatientID", "ScheduledProcedureStepSequence[0].Modality=CT"]
    command = ["findscu", "-W", "-X", "-aet", "CT1", "-aec", "ORTHANC", "127.0.0.1", str(server.dicom_port)]
    with tempfile.TemporaryDirectory() as answers:
        command += ["-od", answers, *(part for key in keys for part in ("-k", key))]
        subprocess.run(  # noqa: S603
            command, env={**server.environment, "TCP_NODELAY": "1"}, check=True, capture_output=True
        )
        return any(Path(answers).iterdir())


def _study(server: Server, patient: str, folder: Path) -> list[Figure]:
    stored, lag = _stored(server, patient, folder / "study", STUDY, images.SIDE)
    return [
        Figure(f"C-STORE of {STUDY} images by storescu", f"{STUDY / stored:,.0f}/s", f"{stored:.2f} s together"),
        Figure("last image stored → ImagingStudy complete", "", f"{1000 * lag:.0f} ms", "", "≤ 1 s"),
        Figure("first image → ImagingStudy complete", f"{STUDY / (stored + lag):,.0f}/s", f"{stored + lag:.2f} s"),
    ]


def _lag(server: Server, patient: str, folder: Path, size: int) -> Figure:
    stored, lag = _stored(server, patient, folder / f"study-{size}", size, SMALL)
    what = f"the same, {size:,} images of {2 * SMALL * SMALL // 1024} kB ({size / stored:,.0f}/s)"
    return Figure(what, "", f"{1000 * lag:.0f} ms", "", "≤ 1 s")


def _stored(server: Server, patient: str, folder: Path, size: int, side: int) -> tuple[float, float]:
    """Seconds in which a study was stored, and those until it was complete."""
    accession, uid = _placed(server, patient, folder.name.upper())
    images.make(folder, size, study_uid=uid, accession=accession, patient="ARCHIVE", side=side)
    started = time.perf_counter()
    images.store(folder, server.dicom_port, dict(server.environment))
    stored = time.perf_counter() - started
    return stored, eventually("the ImagingStudy complete", lambda: _instances(server, uid) == size, LONGEST)


def _instances(server: Server, uid: str) -> int:
    """How many the ImagingStudy has; MeasurementError where it has some and no order."""
    studies = _found_study(server, uid, "numberOfInstances,basedOn")
    if studies and not studies[0].get("basedOn"):
        raise MeasurementError("the study is not linked to its order")
    return int(studies[0].get("numberOfInstances", 0)) if studies else 0


def _found_study(server: Server, uid: str, elements: str) -> list[dict[str, Any]]:
    path = f"/fhir/ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:{uid}&_elements={elements}"
    return [entry["resource"] for entry in json.loads(server.request("GET", path)).get("entry", [])]


def shown(server: Server, uid: str) -> int:
    """How many instances the ImagingStudy of that study has."""
    return sum(int(study.get("numberOfInstances", 0)) for study in _found_study(server, uid, "numberOfInstances"))


def orthanc_credentials(server: Server) -> str:
    """Those that `up` generated: only the server's own user can read the file."""
    for path in Path(server.environment["INTEROP_DATA_DIR"]).rglob("*.json"):
        users = json.loads(path.read_text()).get("RegisteredUsers")
        if users:
            name, password = next(iter(users.items()))
            return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
    raise MeasurementError("no configuration of the private Orthanc in the data directory")
