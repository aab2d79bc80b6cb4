"""A modality: it asks the worklist by C-FIND, takes a picture, and stores it by C-STORE (PS3.4 annexes B and K)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from interop.dicom.requesting import prepare
from interop.dicom.worklist import IMPLEMENTATION, MODALITY_WORKLIST_FIND
from interop.errors import NotFoundError, UnavailableError
from interop.testing.faulty import NO_FAULT, Fault, Faults
from interop.testing.images import paced, study_images
from interop.testing.kinds import BASIC_TEXT_SR, KINDS, SECONDARY_CAPTURE

Progress = Callable[[str], None]

VERIFICATION = "1.2.840.10008.1.1"
_PENDING = (0xFF00, 0xFF01)
_TAKEN = (0x0000, 0xB000, 0xB006, 0xB007)  # success, and the warnings of PS3.4 table B.2-1
SOP_CLASSES = (SECONDARY_CAPTURE, BASIC_TEXT_SR, *(kind.sop_class for kind in KINDS.values()))
_RETURNED = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientSize",
    "PatientWeight",
    "ReferringPhysicianName",
    "RequestingPhysician",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedurePriority",
    "StudyInstanceUID",
)
_RETURNED_OF_STEP = (
    "Modality",
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "ScheduledPerformingPhysicianName",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepID",
    "ScheduledStationName",
    "ScheduledProcedureStepLocation",
)


class AssociationError(UnavailableError):
    """The archive refuses this modality, or is not there."""


class StoreRefusedError(UnavailableError):
    """The archive did not take an image."""


@dataclass(frozen=True, slots=True)
class Acquired:
    """What was stored, and for which accession number."""

    study_uid: str
    series_uid: str
    accession: str  # of the item; where the fault says so, not the one in the images
    patient_id: str
    modality: str
    instances: int
    frames: int  # all of them: images, or frames of one object
    sop_instance_uids: tuple[str, ...]
    seconds: float  # from the first C-STORE to the answer to the last
    fault: Fault = NO_FAULT


@dataclass(frozen=True, slots=True)
class Peer:
    """An application entity to call."""

    aet: str
    host: str
    port: int


class Report(Protocol):
    """Who is told when the work begins and ends: an MPPS provider."""

    def begin(self, item: Dataset, now: datetime) -> None: ...

    def end(
        self, now: datetime, series_uid: str = "", instances: tuple[str, ...] = (), sop_class: str = ""
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """What one association carried."""

    series_uids: tuple[str, ...]
    sop_instance_uids: tuple[str, ...]
    seconds: float


def query_worklist(
    *, host: str, port: int, called_aet: str, calling_aet: str, accession: str = "", station: str = ""
) -> list[Dataset]:
    """The worklist's items by C-FIND, of an accession number and a station's AE title where they are given."""
    key = Dataset()
    key.SpecificCharacterSet = "ISO_IR 192"
    step = Dataset()
    for keyword in _RETURNED:
        setattr(key, keyword, None)
    for keyword in _RETURNED_OF_STEP:
        setattr(step, keyword, None)
    key.RequestedProcedureCodeSequence = [_empty_code()]
    step.ScheduledProtocolCodeSequence = [_empty_code()]
    key.AccessionNumber = accession
    step.ScheduledStationAETitle = station
    key.ScheduledProcedureStepSequence = [step]
    with association(host, port, called_aet, calling_aet, [MODALITY_WORKLIST_FIND]) as peer:
        items = []
        for status, item in peer.send_c_find(key, MODALITY_WORKLIST_FIND):
            if "Status" not in status:
                raise AssociationError(f"{called_aet} ended the association during the worklist query")
            if status.Status in _PENDING and item is not None:
                item.decode()  # here, where it knows its character set: parts of it are copied into other data sets
                items.append(item)
            elif status.Status != 0:
                raise AssociationError(f"{called_aet} answered the worklist query with status {status.Status:#06x}")
        return items


def acquire(
    *,
    host: str,
    port: int,
    called_aet: str,
    calling_aet: str,
    accession: str,
    images: int = 60,
    progress: Progress | None = None,
    now: datetime | None = None,
    worklist: Peer | None = None,
    report: Report | None = None,
    rate: float = 0.0,
    patience: float = 0.0,
    faults: Faults | None = None,
) -> Acquired:
    """Take the worklist item of an accession number and store a study for it: images, or one object of so many frames.

    ``worklist``: who is asked, if not the archive; ``report``: who is told of the work; ``rate``: images a second, 0 as
    fast as they are taken; ``patience``: seconds in which the worklist is asked again for an item that it does not
    have, as somebody at the console does; ``faults``: what goes wrong on the way into the images, and into what is
    reported. Work that fails is reported as discontinued. NotFoundError if the worklist has no such item; of several,
    the one of this station is taken.
    """
    tell = progress or (lambda _text: None)
    asked = worklist or Peer(called_aet, host, port)
    echo(Peer(called_aet, host, port), calling_aet)
    tell(f"C-ECHO: {called_aet} answers")
    item = _awaited(asked, calling_aet, accession, patience)
    step = item.ScheduledProcedureStepSequence[0]
    tell(f"worklist: {step.Modality} of accession {accession}, step {step.ScheduledProcedureStepID}")
    item, fault = faults.of(item) if faults is not None else (item, NO_FAULT)
    moment = now or datetime.now().astimezone()
    if report is not None:
        report.begin(item, moment)
        tell("MPPS: in progress")
    made = paced(study_images(item, aet=calling_aet, images=images, now=moment), rate)
    try:
        stored = store(made, host=host, port=port, called_aet=called_aet, calling_aet=calling_aet, progress=progress)
    except UnavailableError:
        if report is not None:
            report.end(datetime.now().astimezone())
        raise
    if report is not None:
        kind = KINDS.get(str(step.Modality))
        sop_class = kind.sop_class if kind else SECONDARY_CAPTURE
        report.end(datetime.now().astimezone(), stored.series_uids[0], stored.sop_instance_uids, sop_class)
        tell("MPPS: completed")
    return Acquired(
        study_uid=str(item.StudyInstanceUID),
        series_uid=stored.series_uids[0],
        accession=accession,
        patient_id=str(item.PatientID),
        modality=str(step.Modality),
        instances=len(stored.sop_instance_uids),
        frames=images,
        sop_instance_uids=stored.sop_instance_uids,
        seconds=stored.seconds,
        fault=fault,
    )


def _awaited(asked: Peer, calling_aet: str, accession: str, patience: float) -> Dataset:
    deadline = time.monotonic() + patience
    while True:
        items = query_worklist(
            host=asked.host, port=asked.port, called_aet=asked.aet, calling_aet=calling_aet, accession=accession
        )
        item = _taken(items, calling_aet)
        if item is not None:
            return item
        if time.monotonic() >= deadline:
            raise NotFoundError(f"the worklist of {asked.aet} has no item of accession {accession}")
        time.sleep(0.25)


def echo(peer: Peer, calling_aet: str) -> None:
    """C-ECHO; AssociationError where it is not answered with success."""
    with association(peer.host, peer.port, peer.aet, calling_aet, [VERIFICATION]) as connection:
        status = connection.send_c_echo()
        if "Status" not in status or status.Status != 0:
            raise AssociationError(f"{peer.aet} does not answer C-ECHO")


def store(
    datasets: Iterable[Dataset],
    *,
    host: str,
    port: int,
    called_aet: str,
    calling_aet: str,
    sop_classes: Sequence[str] = SOP_CLASSES,
    progress: Progress | None = None,
) -> Stored:
    """C-STORE objects on one association, one in memory at a time. StoreRefusedError at the first that is not taken."""
    series: dict[str, None] = {}
    instances: list[str] = []
    with association(host, port, called_aet, calling_aet, sop_classes) as peer:
        began = time.monotonic()
        for number, dataset in enumerate(datasets, 1):
            status = peer.send_c_store(dataset, msg_id=number % 65535 + 1)
            if "Status" not in status or status.Status not in _TAKEN:
                said = f"{status.Status:#06x}" if "Status" in status else "nothing"
                raise StoreRefusedError(f"{called_aet} answered object {number} with {said}")
            series[str(dataset.SeriesInstanceUID)] = None
            instances.append(str(dataset.SOPInstanceUID))
            if progress is not None and number % 20 == 0:
                progress(f"stored {number}")
        return Stored(tuple(series), tuple(instances), time.monotonic() - began)


@contextmanager
def association(host: str, port: int, called_aet: str, calling_aet: str, sop_classes: Sequence[str]) -> Iterator[Any]:
    """An association for these SOP classes; AssociationError says why there is none."""
    entity = AE(ae_title=calling_aet)
    entity.implementation_class_uid = UID(IMPLEMENTATION)
    entity.implementation_version_name = "INTEROP"
    entity.maximum_pdu_size = 131072
    entity.acse_timeout = 30
    # An archive writes to its disk before it answers, and the disk may have others to serve first.
    entity.dimse_timeout = entity.network_timeout = 90
    entity.connection_timeout = 5
    for sop_class in sop_classes:
        entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
    peer = entity.associate(host, port, ae_title=called_aet, evt_handlers=[(evt.EVT_CONN_OPEN, prepare)])
    if not peer.is_established:
        raise AssociationError(_why_not(peer, called_aet, calling_aet, host, port))
    try:
        yield peer
    except BaseException:
        peer.abort()
        raise
    else:
        peer.release()


def _why_not(peer: Any, called_aet: str, calling_aet: str, host: str, port: int) -> str:
    if peer.is_rejected:
        primitive = peer.acceptor.primitive
        reason = primitive.reason_str if primitive is not None else "no reason given"
        return f"{called_aet} at {host}:{port} rejects {calling_aet}: {reason}"
    return f"no DICOM association with {called_aet} at {host}:{port}"


def _taken(items: Sequence[Dataset], aet: str) -> Dataset | None:
    own = [item for item in items if item.ScheduledProcedureStepSequence[0].ScheduledStationAETitle == aet]
    return next(iter([*own, *items]), None)


def _empty_code() -> Dataset:
    code = Dataset()
    for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"):
        setattr(code, keyword, None)
    return code
