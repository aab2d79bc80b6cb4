"""What a study says of itself, as values: the Study, Series and Instance modules of PS3.3 that others need."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Coded:
    """An item of a code sequence (PS3.3 8.8)."""

    code: str
    scheme: str  # CodingSchemeDesignator; "" for a URN, which is its own system
    meaning: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody by name, and by a code of theirs (Person Identification Macro, PS3.3 10.1)."""

    name: str  # PN string; may be empty where there is a code
    code: Coded | None = None


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """One SOP Instance."""

    sop_instance_uid: str
    sop_class_uid: str
    number: int | None = None  # InstanceNumber
    title: str | None = None  # what ImagingStudy.series.instance.title shows: SR concept, PDF title, image type
    frames: int | None = None  # NumberOfFrames; None for what is not multi-frame
    laterality: str | None = None  # ImageLaterality, of multi-frame images FrameLaterality: L, R or B


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """One series and those of its instances that these facts tell of."""

    uid: str
    modality: str  # "OT" where the instances say nothing (PS3.3 C.7.3.1.1.1 makes it type 1)
    number: int | None = None
    description: str | None = None
    body_part: str | None = None  # BodyPartExamined, as sent
    region: Coded | None = None  # AnatomicRegionSequence of the image that was read
    laterality: str | None = None  # Laterality: L or R
    started: datetime | date | None = None
    step_ids: tuple[str, ...] = ()  # ScheduledProcedureStepID of the Request Attributes, PerformedProcedureStepID
    specimens: tuple[tuple[str, str | None], ...] = ()  # SpecimenIdentifier of each, and its issuer
    performers: tuple[Person, ...] = ()  # performing physicians, then operators
    instances: tuple[InstanceFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """One study as the archive holds it now: all of it (``whole``) or what is new since the last facts."""

    study_uid: str
    patient_id: str | None = None  # PatientID, trimmed; None when empty
    issuer: str | None = None  # IssuerOfPatientID
    patient_name: str | None = None  # the PN as it stands, all component groups
    birth_date: str | None = None  # YYYY-MM-DD
    sex: str | None = None  # PatientSex: M F O
    accession: str | None = None  # AccessionNumber, trimmed
    accession_issuer: str | None = None  # IssuerOfAccessionNumberSequence: universal or local entity id
    study_id: str | None = None
    description: str | None = None
    started: datetime | date | None = None  # aware; a date where StudyTime is missing
    referrer: Person | None = None
    readers: tuple[Person, ...] = ()  # physicians reading the study
    procedures: tuple[Coded, ...] = ()  # ProcedureCodeSequence, else RequestedProcedureCodeSequence
    reasons: tuple[Coded, ...] = ()  # ReasonForRequestedProcedureCodeSequence
    reason: str | None = None  # ReasonForTheRequestedProcedure
    institution: str | None = None
    department: str | None = None  # InstitutionalDepartmentName, else PerformedLocation
    station: str | None = None  # AE title that sent the images
    series: tuple[SeriesFacts, ...] = ()
    removed_series: tuple[str, ...] = field(default=())  # UIDs that were here and are gone from the archive
    whole: bool = False  # these facts list every series and instance there is; what they lack is gone
    moved: bool = False  # the archive has it under another PatientID than it had, and under the former one no more
    quiet: bool = False  # no image came for half a second: the burst is over
