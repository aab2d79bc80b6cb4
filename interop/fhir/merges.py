"""Links of a Patient that make two records one person's: ``replaces`` and ``replaced-by`` (R4 patient.html#link)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interop.fhir.references import split_reference

REPLACES, REPLACED_BY = "replaces", "replaced-by"
Link = tuple[str, str]  # its kind, and the id of the other Patient


def merge_of(link: Mapping[str, Any]) -> Link | None:
    """The merge that a link tells of; None for seealso, refer, and links to what is no Patient."""
    target = split_reference(str(link.get("other", {}).get("reference", "")))
    kind = link.get("type")
    return (kind, target[1]) if kind in (REPLACES, REPLACED_BY) and target and target[0] == "Patient" else None


def merges_in(patient: Mapping[str, Any]) -> list[Link]:
    """Each once, in the order of the links."""
    return list(dict.fromkeys(found for link in patient.get("link", ()) if (found := merge_of(link)) is not None))


def new_merges(patient: Mapping[str, Any], before: Mapping[str, Any]) -> list[Link]:
    """Those that this version tells of and the one before does not."""
    known = merges_in(before)
    return [link for link in merges_in(patient) if link not in known]
