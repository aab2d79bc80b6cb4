"""What the simulated modality stores has the attributes that its object needs (PS3.3 annex A), known or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset

from interop.testing.images import study_images
from interop.testing.kinds import KINDS, OTHER, TEXT_REPORT, Kind
from interop.testing.walk_ins import DEMO, walk_in_item

EVERY = {"PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName"}
EVERY |= {"StudyID", "StudyDate", "StudyTime", "SeriesNumber", "InstanceNumber", "Manufacturer"}
NUCLEAR = {"PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence"}
NEEDED = {
    "US": {"PatientOrientation"},
    "XA": {"PatientOrientation", "XRayTubeCurrent", "ExposureTime", "Exposure"},
    "DX": {"PresentationIntentType", "AcquisitionContextSequence", "ImageLaterality", "PositionerType", "RescaleType"},
    "NM": {"CountsAccumulated", "RadiopharmaceuticalInformationSequence", *NUCLEAR},
    "PT": {"CollimatorType", "DecayFactor", *NUCLEAR},
    "DOC": {"AcquisitionDateTime", "ConceptNameCodeSequence"},
    "ECG": {"AcquisitionDateTime", "AcquisitionContextSequence"},
    "OT": {"PatientOrientation", "Laterality"},
}
DOCUMENTS = ("DOC", "SR", "ECG", "text")
OF_IMAGES = {"AcquisitionDate", "AcquisitionTime", "BodyPartExamined"}


def made(modality: str, kind: Kind | None = None) -> Dataset:
    """Of an item that says neither accession number nor physician."""
    item = walk_in_item(replace(DEMO[0], modality=modality), "")
    return next(study_images(item, aet="CT1", images=2, now=datetime(2026, 3, 2, tzinfo=UTC), kind=kind))


@pytest.mark.parametrize("name", [*KINDS, "OT", "text"])
def test_nothing_is_missing(name: str) -> None:
    kind = {"OT": OTHER, "text": TEXT_REPORT}.get(name)
    image = made("SR" if name == "text" else name, kind)
    present = {element.keyword for element in image}
    assert EVERY | NEEDED.get(name, set()) <= present
    assert not (name in DOCUMENTS and present & OF_IMAGES)
    assert name in DOCUMENTS or present >= OF_IMAGES - {"BodyPartExamined"}


def test_what_may_not_stand_together_does_not() -> None:
    assert "PatientPosition" not in made("PT"), "its orientation is coded"
    assert "MultiplexGroupTimeOffset" not in made("ECG").WaveformSequence[0], "nothing is synchronised"
    assert {"ImageOrientationPatient", "ImagePositionPatient"} <= {
        element.keyword for element in made("NM").DetectorInformationSequence[0]
    }
