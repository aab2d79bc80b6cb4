"""One order of two steps on two stations at two times, as real modalities see it: findscu and C-STORE at Orthanc."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pydicom
import pytest

from interop.demo.world import eventually
from interop.fhir.scheduled_steps import steps_of
from interop.testing.modality import acquire
from tests.hl7_messages import header, message
from tests.real_server import RealServer, step_of

pytestmark = pytest.mark.usefixtures("shared_server")

Item = tuple[str, str, str, str]  # step id, station, date and time, protocol


def group(placer: str, step: str, modality: str, start: str, control: str = "NW") -> list[str]:
    """ORC, TQ1 and OBR of one step."""
    obr = [""] * 25
    obr[0], obr[1], obr[2], obr[4] = "OBR", "1", f"{placer}^RIS", f"WHOLE^Whole body^L^{step}P^Protocol {step}^L"
    obr[18], obr[20], obr[24] = f"A{placer}", step, modality
    return [f"ORC|{control}|{placer}^RIS", f"TQ1|1||||||{start}", "|".join(obr)]


def orm(placer: str, *groups: list[str]) -> bytes:
    """An ORM^O01 of these groups."""
    patient = f"PID|1||{placer}^^^HOSP^MR||Παπαδόπουλος^Νίκος||19670321|M"
    return message(header("ORM^O01"), patient, *(segment for one in groups for segment in one))


def findscu(server: RealServer, folder: Path, accession: str, station: str = "") -> list[Item]:
    """What the worklist shows a modality of that accession number."""
    answers = folder / f"answers-{len(list(folder.iterdir()))}"
    answers.mkdir()
    step = "ScheduledProcedureStepSequence[0]."
    keys = [f"AccessionNumber={accession}", "StudyInstanceUID", "RequestedProcedureID", "PatientName"]
    keys += [f"{step}ScheduledStationAETitle={station}", f"{step}ScheduledProcedureStepID", f"{step}Modality"]
    keys += [f"{step}ScheduledProcedureStepStartDate", f"{step}ScheduledProcedureStepStartTime"]
    keys += [f"{step}ScheduledProcedureStepDescription"]
    subprocess.run(
        ["findscu", "-W", "-X", "-od", answers, "-aet", station or "CT1", "-aec", server.settings.orthanc_aet]
        + [part for key in keys for part in ("-k", key)]
        + ["127.0.0.1", str(server.settings.orthanc_dicom_port)],
        check=True,
        capture_output=True,
        env={"TCP_NODELAY": "1"},
        timeout=30,
    )
    items = []
    for file in answers.iterdir():
        found = pydicom.dcmread(file).ScheduledProcedureStepSequence[0]
        moment = f"{found.ScheduledProcedureStepStartDate} {found.ScheduledProcedureStepStartTime}"
        words = (found.ScheduledProcedureStepID, found.ScheduledStationAETitle, found.ScheduledProcedureStepDescription)
        items.append((str(words[0]), str(words[1]), moment, str(words[2])))
    return sorted(items)


CT = ("ST1", "CT1", "20261121 083000", "Protocol ST1")
MR = ("ST2", "MR1", "20261121 100000", "Protocol ST2")


def placed(server: RealServer, placer: str) -> None:
    """An order of a CT and an MR step."""
    both = (group(placer, "ST1", "CT", "20261121083000"), group(placer, "ST2", "MR", "20261121100000"))
    assert server.send(orm(placer, *both)).get("MSA-1") == "AA"


def test_two_steps_one_is_cancelled(shared_server: RealServer, tmp_path: Path) -> None:
    placed(shared_server, "STEPS1")
    eventually("both are shown", lambda: findscu(shared_server, tmp_path, "ASTEPS1") == [CT, MR], 20)
    assert findscu(shared_server, tmp_path, "ASTEPS1", "CT1") == [CT]
    assert findscu(shared_server, tmp_path, "ASTEPS1", "MR1") == [MR]
    cancel = group("STEPS1", "ST1", "CT", "20261121083000", control="CA")
    assert shared_server.send(orm("STEPS1", cancel)).get("MSA-1") == "AA"
    eventually("one is shown", lambda: findscu(shared_server, tmp_path, "ASTEPS1") == [MR], 20)
    order = shared_server.order("STEPS1")
    assert (order["status"], step_of(order)) == ("active", "scheduled")
    assert [(one.number, one.step) for one in steps_of(order)] == [("ST1", "cancelled"), ("ST2", "scheduled")]
    assert shared_server.send(orm("STEPS1", group("STEPS1", "ST2", "MR", "", control="CA"))).get("MSA-1") == "AA"
    eventually("none is shown", lambda: findscu(shared_server, tmp_path, "ASTEPS1") == [], 20)
    found = shared_server.found("ServiceRequest?step-id=ST1&step-stage=cancelled")
    assert [one["id"] for one in found] == [order["id"]]


def test_images_take_away_the_step_that_they_were_made_for(shared_server: RealServer, tmp_path: Path) -> None:
    placed(shared_server, "STEPS2")
    eventually("both are shown", lambda: findscu(shared_server, tmp_path, "ASTEPS2") == [CT, MR], 20)
    done = acquire(
        host="127.0.0.1",
        port=shared_server.settings.orthanc_dicom_port,
        called_aet=shared_server.settings.orthanc_aet,
        calling_aet="MR1",
        accession="ASTEPS2",
        images=3,
    )
    assert done.modality == "MR"
    eventually("the CT is left", lambda: findscu(shared_server, tmp_path, "ASTEPS2") == [CT], 20)

    def stages() -> list[str]:
        return [one.step for one in steps_of(shared_server.order("STEPS2"))]

    eventually("the MR has its images", lambda: stages() == ["scheduled", "images-available"], 20)
    assert step_of(shared_server.order("STEPS2")) == "in-progress"
    (study,) = shared_server.found("ImagingStudy?identifier=ASTEPS2")
    assert (study["basedOn"][0]["reference"], study["numberOfInstances"]) == (
        f"ServiceRequest/{shared_server.order('STEPS2')['id']}",
        3,
    )
