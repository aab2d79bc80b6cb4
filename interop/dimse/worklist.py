"""C-FIND of the Modality Worklist, answered from the database (PS3.4 K)."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from interop.access.agent import Agent
from interop.audit.event import Event
from interop.dicom.stations import Station
from interop.dicom.worklist import completed
from interop.dicom.worklist_answer import AnswerWriter
from interop.dicom.worklist_query import STEP, WorklistQuery, read_query
from interop.dimse.items import Items
from interop.dimse.responses import Responses
from interop.dimse.units import Units
from interop.errors import InteropError, InvalidContentError, UnavailableError

log = logging.getLogger(__name__)

CANCEL, OUT_OF_RESOURCES, NOT_OF_THE_CLASS, UNABLE = 0xFE00, 0xA700, 0xA900, 0xC001
AUDIT_WINDOW = 300.0  # seconds in which the same question of a station is written down once: they ask every minute

Answer = tuple[Any, Dataset | None]


class Worklist:
    """Answers queries; thread-safe."""

    def __init__(self, units: Units, items: Items, supported: frozenset[str], *, fold: bool) -> None:
        self._units = units
        self._items = items
        self._supported = supported
        self._fold = fold
        self._writers: dict[tuple[str, bool], AnswerWriter] = {}
        self._guard = threading.Lock()

    def find(self, event: Any, station: Station, agent: Agent) -> Iterator[Answer]:
        """The final response; the pending ones are sent as they are found."""
        syntax = event.context.transfer_syntax
        implicit = str(syntax) == "1.2.840.10008.1.2"
        raw = event.request.Identifier.getvalue() if event.request.Identifier is not None else b""
        try:
            query = read_query(
                raw, implicit=implicit, charset=station.charset, supported=self._supported, fold=self._fold
            )
            self._record(agent, query, "0", "")
            if not self._answer(event, query, self._writer(station.charset, implicit)):
                yield CANCEL, None
        except InvalidContentError as error:
            self._refused(agent, error)
            yield _status(NOT_OF_THE_CLASS, error.text), None
        except UnavailableError as error:
            log.warning("the worklist cannot be answered: %s", error.text)
            yield _status(OUT_OF_RESOURCES, error.text), None
        except InteropError as error:
            yield _status(UNABLE, error.text), None

    def _answer(self, event: Any, query: WorklistQuery, writer: AnswerWriter) -> bool:
        """Send every match; False where the station had enough of them (C-CANCEL)."""
        responses = Responses(event, warns=bool(query.unsupported))
        for item in self._items.matching(query):
            try:
                identifier = writer.answer(item, query.wanted)
            except InvalidContentError as error:
                log.warning("an item is left out of the worklist: %s", error.text)
                continue
            if responses.pending(identifier) and event.is_cancelled:
                return False
        responses.flush()
        return not event.is_cancelled

    def _writer(self, charset: str, implicit: bool) -> AnswerWriter:
        with self._guard:
            return self._writers.setdefault((charset, implicit), AnswerWriter(charset, implicit=implicit))

    def _record(self, agent: Agent, query: WorklistQuery, outcome: str, detail: str) -> None:
        """Before the first answer leaves (PS3.15 A.5.3.10)."""
        asked = "&".join(f"{key.keyword}={chr(92).join(key.values)}" for key in (*query.keys, *query.step_keys))
        digest = hashlib.sha256(f"{agent.who}\0{agent.address}\0{asked}".encode()).hexdigest()[:32]
        key = f"dimse:find:{digest}:{int(time.time() // AUDIT_WINDOW)}"
        event = Event("dicom-query", "c-find-mwl", "E", outcome, query=asked, detail=detail or None, dedupe_key=key)
        self._units.unit(agent, lambda tx: tx.audit(event))

    def _refused(self, agent: Agent, error: InvalidContentError) -> None:
        event = Event("dicom-query", "c-find-mwl", "E", "4", detail=error.text)
        try:
            self._units.unit(agent, lambda tx: tx.audit(event))
        except UnavailableError:
            log.warning("a refused query was not audited: the database does not answer")


def supported_keys(targets: Iterator[str]) -> frozenset[str]:
    """What can be matched: the attributes that the mapping gives, and those that are returned empty."""
    names = {part for target in targets for part in target.removesuffix("[]").split(".")}
    placeholder = dict.fromkeys(
        ("PatientName", "PatientID", "RequestedProcedureID", "StudyInstanceUID", "RequestedProcedureDescription"), "x"
    )
    step = dict.fromkeys(
        (
            "ScheduledStationAETitle",
            "ScheduledProcedureStepStartDate",
            "Modality",
            "ScheduledProcedureStepID",
            "ScheduledProcedureStepDescription",
        ),
        "x",
    )
    item = completed({**placeholder, STEP: [step]})
    return frozenset(names | set(item) | set(item[STEP][0]))


def _status(code: int, text: str) -> Dataset:
    status = Dataset()
    status.Status = code
    status.ErrorComment = text[:64]
    return status
