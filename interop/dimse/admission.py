"""Who may open an association: the stations of the one list, each from its own address (PS3.8 9.3.4)."""

from __future__ import annotations

import hashlib
import ipaddress
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from interop.audit.event import Event
from interop.dicom.stations import Station

WINDOW = 300.0  # seconds in which the same refusal is written down once
MOST = 100  # different refusals in that time; whoever makes up names fills no audit trail

CALLING_UNKNOWN, CALLED_UNKNOWN = 0x03, 0x07  # reasons of a permanent refusal by the service user


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no association: the reason of A-ASSOCIATE-RJ, and for the audit trail."""

    reason: int
    text: str


class Admission:
    """Decides on associations; thread-safe."""

    def __init__(self, stations: Iterable[Station], aet: str) -> None:
        self._stations = {station.aet: station for station in stations}
        self._aet = aet
        self._told: dict[str, float] = {}
        self._guard = threading.Lock()

    def station(self, calling: str) -> Station | None:
        """The station of this AE title."""
        return self._stations.get(calling.strip())

    def refusal(self, calling: str, called: str, address: str) -> Refusal | None:
        """Why this caller gets no association, None where it may have one."""
        station = self.station(calling)
        if station is None:
            return Refusal(CALLING_UNKNOWN, "the calling AE title is not in the list of modalities")
        if not _same(station.host, address):
            return Refusal(CALLING_UNKNOWN, "the calling AE title belongs to another address")
        if called.strip() != self._aet:
            return Refusal(CALLED_UNKNOWN, "the called AE title is not ours")
        return None

    def event(self, refusal: Refusal, calling: str, address: str) -> Event | None:
        """What to write down of a refusal; None where it was a moment ago, or there have been too many."""
        digest = hashlib.sha256(f"{calling}\0{address}\0{refusal.reason}".encode()).hexdigest()[:32]
        now = time.time()
        with self._guard:
            self._told = {key: until for key, until in self._told.items() if until > now}
            if digest in self._told or len(self._told) >= MOST:
                return None
            self._told[digest] = now + WINDOW
        key = f"dimse:refused:{digest}:{int(now // WINDOW)}"
        return Event("alert", "association-refused", "E", outcome="4", detail=refusal.text, dedupe_key=key)


def _same(listed: str, address: str) -> bool:
    try:
        seen = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(seen, ipaddress.IPv6Address) and seen.ipv4_mapped is not None:
        seen = seen.ipv4_mapped
    return seen == ipaddress.ip_address(listed)
