"""capabilities: GET [base]/metadata — https://hl7.org/fhir/R4/http.html#capabilities

Open to anyone, without a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache

from interop import __version__
from interop.fhir.capability import capability
from interop.fhir.json import dumps
from interop.fhir.profile import accepted_types
from interop.fhir_api.bulk import EXPORT
from interop.fhir_api.operations import OPERATIONS, Operation
from interop.fhir_api.operations.binding_token import BINDING_TOKEN


@cache
def statement(base_url: str, delete_multiple: bool = False, websocket: str | None = None) -> bytes:
    """The CapabilityStatement as bytes; its date is that of the first request after the start."""
    today = datetime.now(UTC).date().isoformat()
    return dumps(
        capability(
            base_url=base_url,
            version=__version__,
            date=today,
            operations=_offered(websocket is not None),
            delete_multiple=delete_multiple,
            websocket=websocket,
        )
    )


def _offered(websocket: bool) -> list[tuple[str, str, frozenset[str]]]:
    """Each operation with the types it is offered for; "" is the system."""
    offered = [one for one in OPERATIONS.values() if websocket or one is not BINDING_TOKEN]
    return [
        ("export", EXPORT, frozenset(("", "Patient"))),
        *map(_one, offered),
    ]


def _one(operation: Operation) -> tuple[str, str, frozenset[str]]:
    return operation.name, operation.definition, frozenset(_places(operation))


def _places(operation: Operation) -> Iterator[str]:
    if "system" in operation.levels:
        yield ""
    if {"type", "instance"} & operation.levels:
        yield from filter(operation.of, accepted_types())
