"""The table of types in docs/reference/fhir.md, written from the same statement that /fhir/metadata answers."""

from __future__ import annotations

from typing import Any

from interop.fhir.capability import capability

_INTRODUCTION = """\
# FHIR: types, interactions, searches

Written by `interop.fhir.capability_page.as_markdown()` from the CapabilityStatement that `/fhir/metadata` answers
(`make pages` writes it anew). How requests, errors and paging work is in [api.md](api.md).

| type | interactions | conditional create | search parameters |
|---|---|---|---|
"""


def as_markdown() -> str:
    """The page."""
    statement = capability(base_url="http://127.0.0.1:8000", version="", date="")
    return _INTRODUCTION + "".join(_row(resource) for resource in statement["rest"][0]["resource"])


def _row(resource: dict[str, Any]) -> str:
    interactions = ", ".join(interaction["code"] for interaction in resource["interaction"])
    searches = " ".join(f"`{parameter['name']}`" for parameter in resource.get("searchParam", []))
    conditional = "yes" if resource.get("conditionalCreate") else ""
    return f"| {resource['type']} | {interactions} | {conditional} | {searches} |\n"
