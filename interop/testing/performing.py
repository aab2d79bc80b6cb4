"""A modality says what it performs: N-CREATE when it begins, N-SET when it ends (PS3.4 F.7.2)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from pydicom.dataset import Dataset

from interop.dicom.uids import uid_of
from interop.errors import UnavailableError
from interop.testing.modality import association

PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"


class PerformedStepRefusedError(UnavailableError):
    """The MPPS provider does not take what it is told."""


class Performing:
    """One performed procedure step, from its beginning to its end; an association each time."""

    def __init__(self, *, host: str, port: int, called_aet: str, calling_aet: str) -> None:
        self.uid = uid_of(uuid4())
        self._where = {"host": host, "port": port, "called_aet": called_aet, "calling_aet": calling_aet}
        self._station = calling_aet

    def begin(self, item: Dataset, now: datetime) -> None:
        """IN PROGRESS, for a worklist item. PerformedStepRefusedError if it is not taken."""
        step = Dataset()
        step.SpecificCharacterSet = "ISO_IR 192"
        step.ScheduledStepAttributesSequence = [_scheduled(item)]
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
            setattr(step, keyword, str(item.get(keyword) or ""))
        step.PerformedProcedureStepID = f"P{now:%H%M%S}"
        step.PerformedStationAETitle = self._station
        step.PerformedProcedureStepStartDate = now.strftime("%Y%m%d")
        step.PerformedProcedureStepStartTime = now.strftime("%H%M%S")
        step.PerformedProcedureStepStatus = "IN PROGRESS"
        step.Modality = str(item.ScheduledProcedureStepSequence[0].Modality)
        for keyword in ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime", "PerformedSeriesSequence"):
            setattr(step, keyword, None)
        with association(sop_classes=[PERFORMED_STEP], **self._where) as peer:  # type: ignore[arg-type]
            _taken(peer.send_n_create(step, PERFORMED_STEP, self.uid)[0], "the beginning")

    def end(self, now: datetime, series_uid: str = "", instances: tuple[str, ...] = (), sop_class: str = "") -> None:
        """COMPLETED, with what was made; DISCONTINUED where nothing was."""
        change = Dataset()
        change.PerformedProcedureStepStatus = "COMPLETED" if series_uid else "DISCONTINUED"
        change.PerformedProcedureStepEndDate = now.strftime("%Y%m%d")
        change.PerformedProcedureStepEndTime = now.strftime("%H%M%S")
        if series_uid:
            change.PerformedSeriesSequence = [_series(series_uid, instances, sop_class)]
        with association(sop_classes=[PERFORMED_STEP], **self._where) as peer:  # type: ignore[arg-type]
            _taken(peer.send_n_set(change, PERFORMED_STEP, self.uid)[0], "the end")


def _series(uid: str, instances: tuple[str, ...], sop_class: str) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = uid
    series.ProtocolName = "Simulated"
    images = []
    for instance in instances:
        image = Dataset()
        image.ReferencedSOPClassUID = sop_class
        image.ReferencedSOPInstanceUID = instance
        images.append(image)
    series.ReferencedImageSequence = images
    return series


def _scheduled(item: Dataset) -> Dataset:
    scheduled, step = Dataset(), item.ScheduledProcedureStepSequence[0]
    for source, keywords in (
        (item, ("StudyInstanceUID", "AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription")),
        (step, ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription")),
    ):
        for keyword in keywords:
            setattr(scheduled, keyword, str(source.get(keyword) or ""))
    return scheduled


def _taken(status: Any, what: str) -> None:
    if "Status" not in status or status.Status != 0:
        said = f"{status.Status:#06x}" if "Status" in status else "nothing"
        comment = f" ({status.ErrorComment})" if "ErrorComment" in status else ""
        raise PerformedStepRefusedError(f"{what} of the performed procedure step was answered with {said}{comment}")
