"""Studies that no worklist asked for: a CT, an MR, a radiograph and an angiogram of named patients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from pydicom.dataset import Dataset

from interop.dicom.uids import uid_of
from interop.testing.attributes import dataset_of
from interop.testing.faulty import NO_FAULT, Faults
from interop.testing.images import paced, study_images
from interop.testing.modality import Acquired, Peer, Progress, echo, store


@dataclass(frozen=True, slots=True)
class WalkIn:
    """Who comes, and for what."""

    modality: str
    name: str
    number: str
    birth_date: str
    sex: str
    procedure: str
    images: int  # or frames


DEMO = (
    WalkIn("CT", "Papadopoulou^Eleni", "DEMO-1", "19580412", "F", "CT thorax", 60),
    WalkIn("MR", "Γεωργίου^Νίκος", "DEMO-2", "19710923", "M", "MR brain", 24),
    WalkIn("CR", "Martin^Claire", "DEMO-3", "19900130", "F", "Chest radiograph", 1),
    WalkIn("XA", "Okafor^Chidi", "DEMO-4", "19491105", "M", "Coronary angiogram", 30),
)


def walk_in_item(patient: WalkIn, accession: str) -> Dataset:
    """What a technologist types where the worklist has nothing: an item for ``study_images``."""
    step = dataset_of(
        Modality=patient.modality,
        ScheduledProcedureStepID="1",
        ScheduledProcedureStepDescription=patient.procedure,
    )
    return dataset_of(
        SpecificCharacterSet="ISO_IR 192",
        PatientName=patient.name,
        PatientID=patient.number,
        PatientBirthDate=patient.birth_date,
        PatientSex=patient.sex,
        AccessionNumber=accession,
        StudyInstanceUID=uid_of(uuid4()),
        RequestedProcedureID="1",
        RequestedProcedureDescription=patient.procedure,
        ScheduledProcedureStepSequence=[step],
    )


def send_walk_ins(
    *,
    host: str,
    port: int,
    called_aet: str,
    calling_aet: str,
    now: datetime,
    progress: Progress | None = None,
    rate: float = 0.0,
    images: int | None = None,
    faults: Faults | None = None,
) -> Iterator[Acquired]:
    """C-ECHO, then a new study of each demo patient by C-STORE; each as it is stored.

    ``images``: of each study, or frames, where it is not as many as DEMO says; ``faults``: see ``acquire``.
    AssociationError where the archive does not answer, StoreRefusedError where it does not take an image.
    """
    tell = progress or (lambda _text: None)
    echo(Peer(called_aet, host, port), calling_aet)
    tell(f"C-ECHO: {called_aet} answers")
    for number, patient in enumerate(DEMO, 1):
        accession = f"D{now:%y%m%d%H%M%S}{number}"
        item = walk_in_item(patient, accession)
        item, fault = faults.of(item) if faults is not None else (item, NO_FAULT)
        count = images or patient.images
        made = study_images(item, aet=calling_aet, images=count, now=now)
        stored = store(paced(made, rate), host=host, port=port, called_aet=called_aet, calling_aet=calling_aet)
        tell(f"{patient.modality} of {patient.name} ({patient.number}): accession {accession}")
        yield Acquired(
            study_uid=str(item.StudyInstanceUID),
            series_uid=stored.series_uids[0],
            accession=accession,
            patient_id=str(item.PatientID),
            modality=patient.modality,
            instances=len(stored.sop_instance_uids),
            frames=count,
            sop_instance_uids=stored.sop_instance_uids,
            seconds=stored.seconds,
            fault=fault,
        )
