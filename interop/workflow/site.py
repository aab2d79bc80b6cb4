"""What the rules need to know of the site they run at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta, tzinfo

from interop.access.endpoints import EndpointPrefix
from interop.dicom.stations import Station
from interop.mapping.peers import Receiver
from interop.mapping.tables import Tables


@dataclass(frozen=True, slots=True)
class Site:
    """Read once at start by the composition root."""

    facility: str  # at most 4 characters A-Z 0-9
    zone: tzinfo  # of DICOM and HL7 times that state none
    stations: tuple[Station, ...]
    receivers: tuple[Receiver, ...]
    tables: Tables
    public_url: str  # how clients reach the HTTP server, without a trailing slash
    early: timedelta = timedelta(hours=4)  # how long before its scheduled start an order's images may begin
    late: timedelta = timedelta(hours=24)  # and how long after
    worklist_days: int = 0  # how long after its planned time an order that nobody began is shown; 0: for ever
    archive: str = "orthanc"  # the default archive: new images go there
    rewritable: frozenset[str] = frozenset({"orthanc"})  # the archives whose files can be fetched and stored anew
    archive_reports: bool = False  # whether the PDFs of final reports are kept in the archive too
    endpoints: tuple[EndpointPrefix, ...] = ()  # where notifications may go

    def stations_of(self, modality: str) -> tuple[str, ...]:
        """The AE titles of all stations of a modality."""
        return tuple(station.aet for station in self.stations if station.modality == modality)

    def station(self, aet: str) -> Station | None:
        """The station of that AE title."""
        return next((station for station in self.stations if station.aet == aet), None)
