"""What is in the worklist folder is what a modality's C-FIND gets from the real Orthanc."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from interop.dicom.worklist import worklist_bytes
from interop.orthanc.child import PrivateOrthanc
from interop.worklist_folder import WorklistFolder

Find = Callable[..., list[pydicom.Dataset]]

GREEK = "Παπαδόπουλος^Νίκος"
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
CYRILLIC = "Иванова^Анна"

RETURN = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "AccessionNumber",
    "StudyInstanceUID",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "ReferencedStudySequence",
    "AdmissionID",
    "ScheduledProcedureStepSequence[0].Modality",
    "ScheduledProcedureStepSequence[0].ScheduledStationAETitle",
    "ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepSequence[0].ScheduledProcedureStepDescription",
    "ScheduledProcedureStepSequence[0].ScheduledPerformingPhysicianName",
    "ScheduledProcedureStepSequence[0].ScheduledProcedureStepID",
)


@pytest.fixture
def find(orthanc: PrivateOrthanc, tmp_path: Path) -> Find:
    """C-FIND the worklist as a modality does; keys with a value match, all keys of RETURN come back."""
    rounds = iter(range(1000))

    def ask(aet: str = "FINDSCU", **keys: str) -> list[pydicom.Dataset]:
        folder = tmp_path / f"answers-{next(rounds)}"
        folder.mkdir()
        wanted = {key.rsplit(".", 1)[-1]: f"{key}={keys.pop(key.rsplit('.', 1)[-1], '')}" for key in RETURN}
        assert not keys
        calling = ("-aet", aet, "-aec", orthanc.aet, "-k", "SpecificCharacterSet=ISO_IR 192")
        arguments = [argument for key in wanted.values() for argument in ("-k", key)]
        subprocess.run(
            ["findscu", "-W", "-X", "-od", folder, *calling, *arguments, "127.0.0.1", str(orthanc.dicom_port)],
            check=True,
            capture_output=True,
            env={"TCP_NODELAY": "1"},
            timeout=30,
        )
        return [pydicom.dcmread(file) for file in sorted(folder.iterdir())]

    return ask


def item(number: int, name: str, *, aet: str = "US1", modality: str = "US", hour: str = "101500") -> dict[str, Any]:
    return {
        "AccessionNumber": f"IMG{number:05}",
        "PatientName": name,
        "PatientID": f"P{number}",
        "PatientBirthDate": "19800102",
        "StudyInstanceUID": f"2.25.{number}",
        "RequestedProcedureID": f"RP{number}",
        "RequestedProcedureDescription": "Υπερηχοκαρδιογράφημα",
        "ScheduledProcedureStepSequence": [
            {
                "Modality": modality,
                "ScheduledStationAETitle": aet,
                "ScheduledProcedureStepStartDate": "20261121",
                "ScheduledProcedureStepStartTime": hour,
                "ScheduledProcedureStepID": f"SPS{number}",
                "ScheduledProcedureStepDescription": "TTE",
            }
        ],
    }


async def put(orthanc: PrivateOrthanc, number: int, *items: dict[str, Any]) -> None:
    files = {each["ScheduledProcedureStepSequence"][0]["ScheduledStationAETitle"]: each for each in items}
    await WorklistFolder(orthanc.worklist).make(
        f"order-{number}", {aet: worklist_bytes(each) for aet, each in files.items()}
    )


@pytest.mark.parametrize("name", [GREEK, JAPANESE, CYRILLIC])
async def test_names_survive_every_letter(orthanc: PrivateOrthanc, find: Find, name: str) -> None:
    await put(orthanc, 1, item(1, name))
    (answer,) = find()
    assert str(answer.PatientName) == name
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert answer.RequestedProcedureDescription == "Υπερηχοκαρδιογράφημα"
    assert answer.ScheduledProcedureStepSequence[0].ScheduledProcedureStepDescription == "TTE"


async def test_a_name_is_found_by_its_greek_beginning(orthanc: PrivateOrthanc, find: Find) -> None:
    await put(orthanc, 1, item(1, GREEK))
    await put(orthanc, 2, item(2, "Αντωνίου^Μαρία"))
    assert [answer.PatientID for answer in find(PatientName="Παπαδ*")] == ["P1"]


async def test_who_asks_for_everything_gets_everything(orthanc: PrivateOrthanc, find: Find) -> None:
    """A list that ends after a thousand items looks whole at the console."""
    folder, content = WorklistFolder(orthanc.worklist), worklist_bytes(item(1, GREEK))
    assert folder.make_all([(f"order-{number}", {"US1": content}, ()) for number in range(1010)]) == [True] * 1010
    assert len(find()) == 1010


async def test_each_station_sees_its_own(orthanc: PrivateOrthanc, find: Find) -> None:
    await put(orthanc, 1, item(1, GREEK, aet="US1"), item(1, GREEK, aet="CT1"))
    await put(orthanc, 2, item(2, JAPANESE, aet="CT1", modality="CT"))
    assert {answer.PatientID for answer in find("US1", ScheduledStationAETitle="US1")} == {"P1"}
    assert {answer.PatientID for answer in find("CT1", ScheduledStationAETitle="CT1")} == {"P1", "P2"}
    assert {answer.PatientID for answer in find("CT1", Modality="CT")} == {"P2"}
    assert len(find()) == 3


async def test_every_key_a_modality_asks_for_matches_though_it_is_empty(orthanc: PrivateOrthanc, find: Find) -> None:
    await put(orthanc, 1, item(1, GREEK))
    (answer,) = find(PatientID="P1", ScheduledProcedureStepStartDate="20261101-20261130", AdmissionID="*")
    assert answer.AccessionNumber == "IMG00001"
    assert answer.StudyInstanceUID == "2.25.1"
    assert not answer.AdmissionID
    assert answer.ScheduledProcedureStepSequence[0].ScheduledPerformingPhysicianName == ""


async def test_changes_show_and_what_is_removed_is_gone(orthanc: PrivateOrthanc, find: Find) -> None:
    await put(orthanc, 1, item(1, GREEK))
    await put(orthanc, 1, item(1, GREEK, hour="143000"))
    (answer,) = find(AccessionNumber="IMG00001")
    assert answer.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime == "143000"
    await put(orthanc, 1)
    assert find() == []


async def test_a_node_that_is_not_listed_is_refused(orthanc: PrivateOrthanc, find: Find) -> None:
    await put(orthanc, 1, item(1, GREEK))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        find("STRANGER")
    assert b"Calling AE Title Not Recognized" in caught.value.stderr


@pytest.mark.parametrize("aet", ["FINDSCU", "STORESCU", "ECHOSCU", "CT1", "MR1", "US1", "XA1"])
def test_every_listed_station_may_ask(find: Find, aet: str) -> None:
    assert find(aet) == []
