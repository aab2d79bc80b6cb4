"""The stations that an order means by its performers and places, told in words that the list of modalities has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interop.store import Tx
from interop.workflow.site import Site

Resource = dict[str, Any]

_KEPT = frozenset({"Device", "Location"})


def named_places(tx: Tx | None, order: Resource) -> frozenset[str]:
    """What the order calls its performers and places, as it is compared: names, identifiers, codes.

    Of ServiceRequest.performer, locationReference and locationCode (R4); a Device or Location that is stored or
    contained is known by its own names and identifiers, too; without a ``tx`` nothing is stored.
    """
    found: set[str] = set()
    for reference in (*order.get("performer", ()), *order.get("locationReference", ())):
        found.update(_words(reference))
        found.update(_words(_meant(tx, order, str(reference.get("reference", "")))))
    for concept in order.get("locationCode", ()):
        found.update(_words({"name": concept.get("text", "")}))
        for coding in concept.get("coding", ()):
            found.update(_words({"name": coding.get("display", ""), "display": coding.get("code", "")}))
    return frozenset(found)


def chosen(site: Site, stations: tuple[str, ...], named: frozenset[str]) -> tuple[str, ...]:
    """Those of the stations that are named by AE title or location; all of them where none is."""
    if not named:
        return stations
    listed = [(aet, site.station(aet)) for aet in stations]
    found = tuple(
        aet
        for aet, station in listed
        if compared(aet) in named or (station is not None and station.location and compared(station.location) in named)
    )
    return found or stations


def compared(text: str) -> str:
    """A name without its case and its doubled spaces."""
    return " ".join(text.split()).casefold()


def _meant(tx: Tx | None, order: Resource, reference: str) -> Resource:
    if reference.startswith("#"):
        return next((one for one in order.get("contained", ()) if one.get("id") == reference[1:]), {})
    type_, _, id = reference.partition("/")
    stored = tx.read(type_, id) if tx is not None and type_ in _KEPT and id else None
    return {} if stored is None or stored.deleted else stored.resource()


def _words(named: Resource) -> Iterator[str]:
    identifiers = named.get("identifier", [])
    device_names = [one.get("name", "") for one in named.get("deviceName", ())]
    several = identifiers if isinstance(identifiers, list) else [identifiers]  # a Reference has one
    texts = [named.get("display", ""), named.get("name", ""), *named.get("alias", ()), *device_names]
    for text in (*texts, *(one.get("value", "") for one in several)):
        if isinstance(text, str) and text.strip():
            yield compared(text)
