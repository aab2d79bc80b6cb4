"""Studies of each kind that hospitals have, with the simulator's known picture, to be looked at in a viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset

from interop.testing.attributes import dataset_of
from interop.testing.images import study_images
from interop.testing.kinds import KINDS, TEXT_REPORT, Kind
from tests.compressed_images import CODERS, part10
from tests.derived_objects import measurements, segmentation, structures

_CLASSES = "1.2.840.10008.5.1.4.1.1"
_ROOT = "1.2.826.0.1.9.7"


@dataclass(frozen=True, slots=True)
class Study:
    """One study: its UID, the modality that made it, how many images or frames, and their coding."""

    uid: str
    modality: str
    images: int = 1
    coding: str = ""  # "" is uncompressed
    kind: Kind | None = None
    derived: tuple[Callable[[list[Dataset]], Dataset], ...] = ()  # what is drawn on the images

    def datasets(self, folder: Path) -> Iterator[Dataset]:
        """Its objects; ``folder`` is for the coders' files."""
        made = list(study_images(self._item(), aet="AE1", images=self.images, now=_NOW, kind=self.kind))
        for dataset in made:
            yield CODERS[self.coding](dataset, folder) if self.coding else dataset
        for derive in self.derived:
            yield derive(made)

    def files(self, folder: Path) -> Iterator[bytes]:
        """The same as they are stored."""
        return map(part10, self.datasets(folder))

    def _item(self) -> Dataset:
        step = dataset_of(
            Modality=self.modality, ScheduledProcedureStepID="S1", ScheduledProcedureStepDescription="Test"
        )
        return dataset_of(
            PatientName="Παπαδόπουλος^Νίκος",
            PatientID="P7",
            PatientSex="M",
            PatientBirthDate="19670321",
            AccessionNumber=f"ACC{self.uid.rsplit('.', 1)[1]}",
            StudyInstanceUID=self.uid,
            RequestedProcedureID="R1",
            ScheduledProcedureStepSequence=[step],
        )


_NOW = datetime(2026, 8, 1, 10, tzinfo=UTC)

STUDIES = {
    "CT of 60 images": Study(f"{_ROOT}.1", "CT", 60),
    "CT of 1,000 images": Study(f"{_ROOT}.2", "CT", 1000),
    "US cine": Study(f"{_ROOT}.3", "US", 87),
    "XA cine": Study(f"{_ROOT}.4", "XA", 30),
    "MR": Study(f"{_ROOT}.5", "MR", 20),
    "NM": Study(f"{_ROOT}.6", "NM", 24),
    "PT": Study(f"{_ROOT}.7", "PT", 30),
    "CR": Study(f"{_ROOT}.8", "CR", 1),
    "PDF": Study(f"{_ROOT}.9", "DOC"),
    "SR of measurements": Study(f"{_ROOT}.10", "SR"),
    "SR of text": Study(f"{_ROOT}.11", "SR", kind=TEXT_REPORT),
    "ECG": Study(f"{_ROOT}.12", "ECG"),
    "JPEG": Study(f"{_ROOT}.13", "US", 4, "JPEG"),
    "JPEG lossless": Study(f"{_ROOT}.14", "MR", 4, "JPEG lossless"),
    "JPEG 2000": Study(f"{_ROOT}.15", "MR", 4, "JPEG 2000"),
    "RLE": Study(f"{_ROOT}.16", "MR", 4, "RLE"),
    "SR of dose": Study(f"{_ROOT}.18", "SR", kind=replace(TEXT_REPORT, sop_class=f"{_CLASSES}.88.67")),
    "CDA": Study(f"{_ROOT}.19", "DOC", kind=replace(KINDS["DOC"], sop_class=f"{_CLASSES}.104.2")),
    "photograph": Study(f"{_ROOT}.17", "OT", 1),
    "CT to be measured": Study(f"{_ROOT}.21", "CT", 3),
    "CT to be segmented": Study(f"{_ROOT}.22", "CT", 3),
    "CT to be outlined": Study(f"{_ROOT}.23", "CT", 3),
    "CT with what is drawn on it": Study(f"{_ROOT}.20", "CT", 5, derived=(measurements, segmentation, structures)),
}
