"""Every interaction that is carried out in a unit of work, by its FHIR code."""

from __future__ import annotations

from collections.abc import Callable

from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.create import create
from interop.fhir_api.delete import delete
from interop.fhir_api.history import history_instance, history_type
from interop.fhir_api.read import read
from interop.fhir_api.search import search
from interop.fhir_api.update import update
from interop.fhir_api.vread import vread
from interop.store import Tx

INTERACTIONS: dict[str, Callable[[Tx, Surroundings, Call], Answer]] = {
    "read": read,
    "vread": vread,
    "create": create,
    "update": update,
    "delete": delete,
    "search-type": search,
    "history-instance": history_instance,
    "history-type": history_type,
}
