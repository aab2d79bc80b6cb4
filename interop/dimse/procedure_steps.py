"""N-CREATE and N-SET of the Modality Performed Procedure Step (PS3.4 F.7.2, PS3.7 10.1.3 and 10.1.5)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pydicom.dataset import Dataset

from interop.access.agent import Agent
from interop.audit.event import Event
from interop.dicom.performed_step import (
    InvalidDateError,
    MissingAttributeError,
    PerformedStep,
    StepStatusError,
    read_performed_step,
)
from interop.dicom.stations import Station
from interop.dimse.units import Units
from interop.errors import InteropError, InvalidContentError, NotFoundError, UnavailableError
from interop.store import PerformedRow, Tx
from interop.workflow import performed_steps
from interop.workflow.performed_steps import ClosedStepError, DuplicateStepError, OtherStationError
from interop.workflow.site import Site

log = logging.getLogger(__name__)

SUCCESS, INVALID_VALUE, PROCESSING_FAILURE, DUPLICATE, NO_SUCH_INSTANCE = 0x0000, 0x0106, 0x0110, 0x0111, 0x0112
INVALID_INSTANCE, MISSING_ATTRIBUTE, MISSING_VALUE, NOT_AUTHORIZED = 0x0117, 0x0120, 0x0121, 0x0124  # PS3.7 annex C
NO_LONGER_UPDATED = 0xA710  # Error ID of PS3.4 F.7.2.2.2

Answer = tuple[Any, Dataset | None]
_Work = Callable[[Tx, Site, str, PerformedStep], PerformedRow]


class ProcedureSteps:
    """Takes what stations perform; thread-safe."""

    def __init__(self, units: Units, site: Site) -> None:
        self._units = units
        self._site = site

    def create(self, event: Any, station: Station, agent: Agent) -> Answer:
        """The response to N-CREATE, once it is committed."""
        request = event.request
        uid, content = request.AffectedSOPInstanceUID, request.AttributeList
        return self._done(event, station, agent, "n-create", uid, content, performed_steps.begin)

    def change(self, event: Any, station: Station, agent: Agent) -> Answer:
        """The response to N-SET, once it is committed."""
        request = event.request
        uid, content = request.RequestedSOPInstanceUID, request.ModificationList
        return self._done(event, station, agent, "n-set", uid, content, performed_steps.change)

    def _done(
        self, event: Any, station: Station, agent: Agent, verb: str, uid: Any, content: Any, work: _Work
    ) -> Answer:
        if not uid:  # PS3.4 F.7.2.1.2: the modality names its step
            missing = InvalidContentError("the SOP Instance UID is missing")
            self._refused(agent, verb, "without a UID", missing)
            return _status(INVALID_INSTANCE, missing.text), None
        implicit = str(event.context.transfer_syntax) == "1.2.840.10008.1.2"
        try:
            raw = content.getvalue() if content is not None else b""
            step = read_performed_step(raw, implicit=implicit, charset=station.charset)
            self._units.unit(agent, lambda tx: work(tx, self._site, str(uid), step))
        except UnavailableError as error:
            log.warning("a performed step is not taken: %s", error.text)
            return _status(PROCESSING_FAILURE, error.text), None
        except InteropError as error:
            self._refused(agent, verb, str(uid), error)
            return _refusal(error), None
        return SUCCESS, None

    def _refused(self, agent: Agent, verb: str, uid: str, error: InteropError) -> None:
        event = Event("performed-step", verb, "U", "4", detail=f"MPPS {uid}: {error.text}")
        try:
            self._units.unit(agent, lambda tx: tx.audit(event))
        except UnavailableError:
            log.warning("a refused performed step was not audited: the database does not answer")


def _refusal(error: InteropError) -> Dataset:
    if isinstance(error, DuplicateStepError):
        return _status(DUPLICATE, error.text)
    if isinstance(error, ClosedStepError):
        status = _status(PROCESSING_FAILURE, error.text)
        status.ErrorID = NO_LONGER_UPDATED
        return status
    if isinstance(error, MissingAttributeError):
        return _status(MISSING_VALUE if error.empty else MISSING_ATTRIBUTE, error.text)
    if isinstance(error, (StepStatusError, InvalidDateError)):
        return _status(INVALID_VALUE, error.text)
    if isinstance(error, OtherStationError):
        return _status(NOT_AUTHORIZED, error.text)
    if isinstance(error, NotFoundError):
        return _status(NO_SUCH_INSTANCE, error.text)
    return _status(PROCESSING_FAILURE, error.text)


def _status(code: int, text: str) -> Dataset:
    status = Dataset()
    status.Status = code
    status.ErrorComment = text[:64]
    return status
