"""C-ECHO of a station, and what its answer means (PS3.4 A, PS3.8 9.3.4)."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, evt

from interop.dicom.requesting import prepare
from interop.dicom.stations import Station
from interop.dicom.worklist import IMPLEMENTATION

VERIFICATION = "1.2.840.10008.1.1"
PATIENCE = 5.0

_REASONS = {
    (1, 1): "no reason given",
    (1, 3): "it does not know our AE title",
    (1, 7): "it has another AE title",
    (3, 1): "it is busy",
    (3, 2): "it has as many associations as it takes",
}


@dataclass(frozen=True, slots=True)
class Echo:
    """What came of it; ``remedy`` is empty where all is well."""

    ok: bool
    seen: str
    remedy: str = ""


def echo(station: Station, calling: str, patience: float = PATIENCE) -> Echo:
    """Ask the station whether it is there, as this AE title."""
    place = f"{station.host}:{station.port}"
    try:
        socket.create_connection((station.host, station.port), timeout=patience).close()
    except TimeoutError:
        return Echo(False, f"{place}: silent", "check its address, its network cable and the firewalls between")
    except OSError as error:
        text = f"{place}: {error.strerror or error}"
        return Echo(False, text, "start its DICOM service, and check its port in the list of modalities")
    entity = AE(ae_title=calling)
    entity.implementation_class_uid = UID(IMPLEMENTATION)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = patience
    entity.add_requested_context(VERIFICATION)
    association = entity.associate(
        station.host, station.port, ae_title=station.aet, evt_handlers=[(evt.EVT_CONN_OPEN, prepare)]
    )
    if not association.is_established:
        return _not_associated(association, station, calling, place)
    try:
        status = association.send_c_echo()
    finally:
        association.release()
    if "Status" in status and status.Status == 0:
        return Echo(True, f"{place} answers C-ECHO to {calling}")
    said = f"{status.Status:#06x}" if "Status" in status else "nothing"
    return Echo(False, f"{place} answers C-ECHO with {said}", "see the station's own log")


def _not_associated(association: Any, station: Station, calling: str, place: str) -> Echo:
    if not association.is_rejected:
        primitive = association.acceptor.primitive
        if primitive is not None and getattr(primitive, "result", None) == 0:
            return Echo(False, f"{place} offers no verification", "it is there, but as no C-ECHO provider: send to it")
        return Echo(False, f"{place} is no DICOM application, or broke off", "check the port in the list of modalities")
    primitive = association.acceptor.primitive
    reason = (int(primitive.result_source), int(primitive.diagnostic))
    seen = f"{place} refuses the association: {_REASONS.get(reason, primitive.reason_str)}"
    if reason == (1, 3):
        return Echo(False, seen, f"enter the AE title {calling}, with this server's address and port, at the station")
    if reason == (1, 7):
        return Echo(False, seen, f"{station.aet} is not its AE title: set aet in the list of modalities as it has it")
    return Echo(False, seen, "see the station's own log")
