"""Telling the same order from another one, and joining what two doors say of one."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from interop.errors import InvalidContentError, Issue
from interop.fhir import names
from interop.workflow import numbers
from interop.workflow.site import Site

Resource = dict[str, Any]

_NOT_CONTENT = ("id", "meta", "authoredOn")  # when it was written down is not what is asked for
_NOT_JOINED = frozenset(
    {"resourceType", "id", "meta", "status", "intent", "subject", "identifier", "extension", "text"}
)


def digest(resource: Resource) -> str:
    """A fingerprint of what a client said."""
    content = {name: value for name, value in resource.items() if name not in _NOT_CONTENT}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def same_content(site: Site, first: Resource, told: Resource) -> bool:
    """Whether what is told now is what was told when the order's first version was made of it."""
    again = {**told, "identifier": list(told.get("identifier", ()))}
    try:
        numbers.keep(site, first, again)
    except InvalidContentError:
        return False
    return _content(again) == _content(first)


def _content(resource: Resource) -> Resource:
    content = {name: value for name, value in resource.items() if name not in _NOT_CONTENT}
    extensions = [item for item in resource.get("extension", ()) if item.get("url") != names.EXT_STEP]
    content.pop("extension", None)
    return content | ({"extension": extensions} if extensions else {})


def joined_identifiers(before: Resource, other: Resource) -> list[Resource]:
    """What is known, and identifiers of kinds that were not."""
    known = list(before.get("identifier", ()))
    kinds = {numbers.kind_of(item) for item in known} - {None}
    values = {(item.get("system"), item.get("value")) for item in known}
    for item in other.get("identifier", ()):
        if numbers.kind_of(item) not in kinds and (item.get("system"), item.get("value")) not in values:
            known.append(item)
    return known


def filled(before: Resource, other: Resource) -> tuple[Resource, list[Issue]]:
    """The order with its blanks filled by what the other door says of it, and the differences, which change nothing."""
    after = dict(before)
    issues: list[Issue] = []
    for name, value in other.items():
        if name in _NOT_JOINED or before.get(name) == value:
            continue
        if name not in before:
            after[name] = value
        elif name != "authoredOn":
            text = f"{name} differs from ServiceRequest/{before['id']}; what is on record stays"
            issues.append(Issue("conflict", text, (f"ServiceRequest.{name}",), None, "warning"))
    after["identifier"] = joined_identifiers(before, other)
    fresh = [item for item in other.get("extension", ()) if item.get("url") != names.EXT_STEP]
    present = {item.get("url") for item in before.get("extension", ())}
    extensions = [*before.get("extension", ()), *(item for item in fresh if item.get("url") not in present)]
    if extensions:
        after["extension"] = extensions
    return after, issues
