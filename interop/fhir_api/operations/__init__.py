"""Every operation (R4 operations.html), by its name without the $; the same table makes routes and /fhir/metadata."""

from __future__ import annotations

from interop.fhir_api.operations.binding_token import BINDING_TOKEN
from interop.fhir_api.operations.everything import EVERYTHING
from interop.fhir_api.operations.lastn import LASTN
from interop.fhir_api.operations.match import MATCH
from interop.fhir_api.operations.operation import Operation
from interop.fhir_api.operations.subscription_events import EVENTS
from interop.fhir_api.operations.subscription_status import STATUS
from interop.fhir_api.operations.timeline import TIMELINE
from interop.fhir_api.operations.validate import VALIDATE

__all__ = ["OPERATIONS", "Operation"]

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (VALIDATE, EVERYTHING, MATCH, LASTN, TIMELINE, STATUS, EVENTS, BINDING_TOKEN)
}
