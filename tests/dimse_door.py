"""A modality at the DIMSE door: who may call, and how it asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from interop.dicom.requesting import prepare
from interop.dicom.stations import Station

MWL, MPPS, ECHO = "1.2.840.10008.5.1.4.31", "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.1.1"
STATIONS = (
    Station("CT1", "127.0.0.1", 104, "CT", charset="ISO_IR 192"),
    Station("MR1", "127.0.0.1", 104, "MR", charset="ISO_IR 126"),
    Station("US1", "127.0.0.1", 104, "US", charset="\\ISO 2022 IR 87"),
    Station("XA1", "127.0.0.1", 104, "XA", charset="ISO_IR 100"),
    Station("FAR", "10.9.8.7", 104, "CR"),
)


@contextmanager
def associated(port: int, calling: str = "CT1", called: str = "INTEROP") -> Iterator[Any]:
    entity = AE(ae_title=calling)
    for sop_class in (MWL, MPPS, ECHO):
        entity.add_requested_context(sop_class)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    association = entity.associate("127.0.0.1", port, ae_title=called, evt_handlers=[(evt.EVT_CONN_OPEN, prepare)])
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def asked(**keys: Any) -> Dataset:
    """A worklist query; what begins with ``Scheduled`` or is Modality stands in the step."""
    query, step = Dataset(), Dataset()
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID", "RequestedProcedureDescription"):
        setattr(query, keyword, keys.pop(keyword, None))
    for keyword in ("Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate"):
        setattr(step, keyword, keys.pop(keyword, None))
    for keyword in ("ScheduledProcedureStepStartTime", "ScheduledProcedureStepID"):
        setattr(step, keyword, keys.pop(keyword, None))
    query.ScheduledProcedureStepSequence = [step]
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query
