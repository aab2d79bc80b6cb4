"""A modality: it asks the worklist by C-FIND, takes a picture, and stores it by C-STORE (PS3.4 annexes B and K)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from interop.dicom.worklist import IMPLEMENTATION, MODALITY_WORKLIST_FIND
from interop.errors import NotFoundError, UnavailableError
from interop.testing.images import KINDS, SECONDARY_CAPTURE, study_images

Progress = Callable[[str], None]

_PENDING = (0xFF00, 0xFF01)
_TAKEN = (0x0000, 0xB000, 0xB006, 0xB007)  # success, and the warnings of PS3.4 table B.2-1
SOP_CLASSES = (SECONDARY_CAPTURE, *(kind.sop_class for kind in KINDS.values()))
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
    """What was stored."""

    study_uid: str
    series_uid: str
    accession: str
    patient_id: str
    modality: str
    instances: int
    frames: int  # all of them: images, or frames of one object
    sop_instance_uids: tuple[str, ...]
    seconds: float  # from the first C-STORE to the answer to the last


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
) -> Acquired:
    """Take the worklist item of an accession number and store a study for it: images, or one object of so many frames.

    NotFoundError if the worklist has no such item; of several, the one of this station is taken.
    """
    tell = progress or (lambda _text: None)
    items = query_worklist(host=host, port=port, called_aet=called_aet, calling_aet=calling_aet, accession=accession)
    item = _taken(items, calling_aet)
    if item is None:
        raise NotFoundError(f"the worklist of {called_aet} has no item of accession {accession}")
    step = item.ScheduledProcedureStepSequence[0]
    tell(f"worklist: {step.Modality} of accession {accession}, step {step.ScheduledProcedureStepID}")
    moment = now or datetime.now().astimezone()
    made = study_images(item, aet=calling_aet, images=images, now=moment)
    stored = store(made, host=host, port=port, called_aet=called_aet, calling_aet=calling_aet, progress=progress)
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
    )


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
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    entity.connection_timeout = 5
    for sop_class in sop_classes:
        entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
    peer = entity.associate(host, port, ae_title=called_aet, evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay)])
    if not peer.is_established:
        raise AssociationError(_why_not(peer, called_aet, calling_aet, host, port))
    try:
        yield peer
    except BaseException:
        peer.abort()
        raise
    else:
        peer.release()


def _no_delay(event: Any) -> None:
    """Each C-STORE is a few small writes: Nagle's algorithm would hold the last of them until an acknowledgement."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


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
