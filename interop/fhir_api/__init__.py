"""The FHIR R4 door: plain Starlette routes under /fhir, one module for each interaction."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from interop.fhir_api.bulk import BulkExport
from interop.fhir_api.calls import Bindings, HasZone, Surroundings, Writer
from interop.fhir_api.door import FhirDoor
from interop.store import Store

__all__ = ["HasZone", "Writer", "fhir_routes"]


def fhir_routes(
    store: Store,
    site: HasZone,
    *,
    writer: Writer,
    base_url: str,
    max_bytes: int = 20_000_000,
    delete_multiple: bool = False,
    bindings: Bindings | None = None,
) -> list[BaseRoute]:
    """The routes of the door, ``/fhir`` and all below. ``base_url`` is how clients reach it, e.g. https://x/fhir.

    ``bindings``: who gives out tokens for websockets, where there is a door for those beside this one.
    """
    around = Surroundings(site, writer, base_url.rstrip("/"), delete_multiple, bindings)
    door = FhirDoor(store, around, max_bytes)
    return [*BulkExport(store, around).routes(), Route("/fhir", door), Route("/fhir/{path:path}", door)]
