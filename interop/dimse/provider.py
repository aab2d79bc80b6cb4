"""The listening application entity: associations, their limits, and which handler answers what.

pynetdicom serves each association in a thread of its own. Those threads parse and encode; what touches the database is
handed to the store's event loop (see ``units``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt

from interop.access.agent import Agent
from interop.dicom.worklist import IMPLEMENTATION, MODALITY_WORKLIST_FIND
from interop.dimse.admission import Admission
from interop.dimse.items import Items
from interop.dimse.procedure_steps import ProcedureSteps
from interop.dimse.responses import send_at_once
from interop.dimse.units import Units
from interop.dimse.worklist import Worklist, supported_keys
from interop.errors import InteropError, UnavailableError
from interop.store import Store
from interop.workflow.site import Site

log = logging.getLogger(__name__)

VERIFICATION, PERFORMED_STEP = "1.2.840.10008.1.1", "1.2.840.10008.3.1.2.3.3"
Answer = tuple[Any, Dataset | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may take up."""

    associations: int = 64  # at once; one more gets A-ASSOCIATE-RJ, transient, local limit exceeded
    acse_seconds: float = 10.0  # from the connection to the A-ASSOCIATE-RQ
    dimse_seconds: float = 30.0  # for the rest of a message that has begun
    idle_seconds: float = 60.0  # without any PDU: the association is aborted
    database_seconds: float = 30.0  # for a unit of work
    pdu_bytes: int = 65536  # that are taken at once


class DimseProvider:
    """Answers modalities. ``start`` and ``stop`` belong to the store's event loop."""

    def __init__(
        self,
        store: Store,
        site: Site,
        host: str,
        port: int,
        aet: str,
        *,
        fold: bool = True,
        limits: Limits | None = None,
    ) -> None:
        """``fold``: whether names match without their accents."""
        self._store, self._site = store, site
        self._host, self._port, self._aet, self._fold = host, port, aet, fold
        self._limits = limits or Limits()
        self._admission = Admission(site.stations, aet)
        self._entity: AE | None = None
        self._server: Any = None
        self._warming: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; the one that was found where 0 was asked for."""
        return self._port if self._server is None else int(self._server.socket.getsockname()[1])

    def ready(self) -> bool:
        """Whether associations are accepted."""
        return self._server is not None

    async def start(self) -> None:
        """Listen; OSError if the port is taken."""
        units = Units(self._store, asyncio.get_running_loop(), self._limits.database_seconds)
        self._units = units
        items = Items(units, self._site)
        keys = supported_keys(row.target for row in self._site.tables.worklist)
        self._worklist = Worklist(units, items, keys, fold=self._fold)
        self._steps = ProcedureSteps(units, self._site)
        _keep_names_out_of_logs()
        self._entity = self._made()
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, send_at_once, [int(self._limits.idle_seconds)]),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_C_FIND, self._found),
            (evt.EVT_N_CREATE, self._created),
            (evt.EVT_N_SET, self._changed),
        ]
        self._server = self._entity.start_server((self._host, self._port), block=False, evt_handlers=handlers)
        self._warming = asyncio.create_task(_warmed(items), name="dimse-items")
        log.info("DIMSE %s on %s:%d", self._aet, self._host, self.port)

    async def stop(self) -> None:
        """Listen no more and end the associations."""
        if self._entity is None:
            return
        entity, self._entity, self._server = self._entity, None, None
        await asyncio.to_thread(entity.shutdown)
        if self._warming is not None:
            await asyncio.gather(self._warming, return_exceptions=True)

    def _made(self) -> AE:
        entity = AE(ae_title=self._aet)
        entity.implementation_class_uid = UID(IMPLEMENTATION)
        entity.implementation_version_name = "INTEROP"
        entity.maximum_associations = self._limits.associations
        entity.acse_timeout = self._limits.acse_seconds
        entity.dimse_timeout = self._limits.dimse_seconds
        entity.network_timeout = self._limits.idle_seconds
        entity.maximum_pdu_size = self._limits.pdu_bytes
        for sop_class in (VERIFICATION, MODALITY_WORKLIST_FIND, PERFORMED_STEP):
            entity.add_supported_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        return entity

    def _requested(self, event: Any) -> None:
        peer = event.assoc.requestor
        calling, called = str(peer.primitive.calling_ae_title), str(peer.primitive.called_ae_title)
        refusal = self._admission.refusal(calling, called, str(peer.address))
        if refusal is None:
            return
        note = self._admission.event(refusal, calling, str(peer.address))
        if note is not None:
            log.warning("association refused from %s: %s", peer.address, refusal.text)
            try:
                self._units.unit(_agent(calling, peer.address), lambda tx: tx.audit(note))
            except InteropError as error:
                log.warning("a refused association was not audited: %s", error.text)
        event.assoc.acse.send_reject(0x01, 0x01, refusal.reason)
        event.assoc.kill()

    def _found(self, event: Any) -> Iterator[Answer]:
        station, agent = self._who(event)
        if event.request.AffectedSOPClassUID != MODALITY_WORKLIST_FIND:
            return iter([(0x0122, None)])
        return self._worklist.find(event, station, agent)

    def _created(self, event: Any) -> Answer:
        return self._steps.create(event, *self._who(event))

    def _changed(self, event: Any) -> Answer:
        return self._steps.change(event, *self._who(event))

    def _who(self, event: Any) -> Any:
        peer = event.assoc.requestor
        station = self._admission.station(str(peer.primitive.calling_ae_title))
        assert station is not None  # else there were no association
        return station, _agent(station.aet, peer.address)


def _agent(calling: str, address: Any) -> Agent:
    return Agent(calling.strip()[:16] or "unnamed", "peer", client="dimse", address=str(address))


async def _warmed(items: Items) -> None:
    """Make what is planned at the start: the first query need not wait for all of it."""
    try:
        planned = await asyncio.to_thread(items.warm)
        log.info("DIMSE worklist: %d orders planned", planned)
    except UnavailableError as error:
        log.warning("the worklist is not in memory yet: %s", error.text)


def _keep_names_out_of_logs() -> None:
    """The libraries would write them: every identifier that is asked for, every value that its VR does not allow."""
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.ERROR)
    config.settings.reading_validation_mode = config.IGNORE
