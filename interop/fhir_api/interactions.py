"""Every interaction that is carried out in a unit of work, by its FHIR code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from interop.fhir.profile import CONFORMANCE_TYPES
from interop.fhir_api.binaries import require_all
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.compartment import search_compartment
from interop.fhir_api.conformance import defined
from interop.fhir_api.create import create
from interop.fhir_api.delete import delete
from interop.fhir_api.history import history_instance, history_system, history_type
from interop.fhir_api.operations import OPERATIONS
from interop.fhir_api.patch import patch
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
    "patch": patch,
    "delete": delete,
    "search-type": search,
    "search-system": search_compartment,
    "history-instance": history_instance,
    "history-type": history_type,
    "history-system": history_system,
}


def perform(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """What comes of the call, to be shown as it asks."""
    answer = _performed(tx, around, call)
    return answer if call.view is None else replace(answer, view=call.view)


def _performed(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """An operation, a look at our definitions, or an interaction with what is stored."""
    if call.interaction == "operation":
        return OPERATIONS[call.operation].perform(tx, around, call)
    if call.interaction == "search-type":
        require_all(tx, call.type)
    if call.type in CONFORMANCE_TYPES:
        return defined(tx, around, call)
    return INTERACTIONS[call.interaction](tx, around, call)
