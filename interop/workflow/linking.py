"""Telling the same order from another one, and joining what two doors say of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from interop.errors import InvalidContentError, Issue
from interop.fhir import names
from interop.fhir.orders import detail_kind
from interop.mapping.context import kind_of
from interop.workflow import numbers
from interop.workflow.site import Site

Resource = dict[str, Any]

_NOT_CONTENT = ("id", "meta", "authoredOn")  # when it was written down is not what is asked for
_PLANNED = (names.EXT_STEP, names.EXT_SCHEDULED_STEP)  # by whoever spoke of the order first
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
    extensions = [_asked(item) for item in resource.get("extension", ()) if item.get("url") != names.EXT_STEP]
    content.pop("extension", None)
    return content | ({"extension": extensions} if extensions else {})


def _asked(extension: Resource) -> Resource:
    """One of several steps without what the server adds to it."""
    if extension.get("url") != names.EXT_SCHEDULED_STEP:
        return extension
    parts = [part for part in extension.get("extension", ()) if part.get("url") not in ("id", "step", "status")]
    return {**extension, "extension": parts}


def joined_identifiers(before: Resource, other: Resource) -> list[Resource]:
    """What is known, and identifiers of kinds that were not."""
    known = list(before.get("identifier", ()))
    kinds = {numbers.kind_of(item) for item in known} - {None}
    values = {(item.get("system"), item.get("value")) for item in known}
    for item in other.get("identifier", ()):
        if numbers.kind_of(item) not in kinds and (item.get("system"), item.get("value")) not in values:
            known.append(item)
    return known


def changed(before: Resource, content: Resource, cleared: Iterable[str] = ()) -> Resource:
    """The order with a change laid over it: what the change does not speak of stays, what it clears goes."""
    after = dict(before)
    for element in cleared:
        if element not in _NOT_JOINED:
            after.pop(element, None)
    after |= {name: value for name, value in content.items() if name not in _NOT_JOINED and name != "contained"}
    if "orderDetail" in content:
        after["orderDetail"] = [*content["orderDetail"], *_details_left(before, content)]
    if "supportingInfo" in content:
        after["supportingInfo"] = [*_supporting_left(before, content), *content["supportingInfo"]]
    after["identifier"] = joined_identifiers(before, content)
    _lay_extensions(after, content)
    return _with_contained(after, {**_contained(before), **_contained(content)})


def _details_left(before: Resource, content: Resource) -> list[Resource]:
    """A change of the step's protocol says nothing of the modality, one of how the patient comes nothing of either."""
    told = {detail_kind(detail) for detail in content["orderDetail"]}
    spoken = told if told == {"transport"} else {*told, "step"}
    return [detail for detail in before.get("orderDetail", ()) if detail_kind(detail) not in spoken]


def _supporting_left(before: Resource, content: Resource) -> list[Resource]:
    """What a change does not tell anew: each measurement for itself, of all else the kinds that it is silent of."""
    told = content["supportingInfo"]
    kinds, references = {kind_of(one) for one in told}, {one.get("reference") for one in told}
    return [
        one
        for one in before.get("supportingInfo", ())
        if (one.get("reference") not in references if kind_of(one) == "Observation" else kind_of(one) not in kinds)
    ]


def filled(before: Resource, other: Resource) -> tuple[Resource, list[Issue]]:
    """The order with its blanks filled by what the other door says of it, and the differences, which change nothing."""
    after = dict(before)
    issues: list[Issue] = []
    for name, value in other.items():
        if name in _NOT_JOINED or name in ("contained", "authoredOn") or before.get(name) == value:
            continue
        if name not in before:
            after[name] = value
        else:
            text = f"{name} differs from ServiceRequest/{before['id']}; what is on record stays"
            issues.append(Issue("conflict", text, (f"ServiceRequest.{name}",), None, "warning"))
    after["identifier"] = joined_identifiers(before, other)
    fresh = [item for item in other.get("extension", ()) if item.get("url") not in _PLANNED]
    if any(item.get("url") == names.EXT_SCHEDULED_STEP for item in other.get("extension", ())):
        text = f"the steps of ServiceRequest/{before['id']} are planned already; what is on record stays"
        issues.append(Issue("conflict", text, ("ServiceRequest.extension",), None, "warning"))
    present = {item.get("url") for item in before.get("extension", ())}
    extensions = [*before.get("extension", ()), *(item for item in fresh if item.get("url") not in present)]
    if extensions:
        after["extension"] = extensions
    return _with_contained(after, {**_contained(other), **_contained(before)}), issues


def _lay_extensions(after: Resource, content: Resource) -> None:
    """A change that names stations names all of them, and so for every other extension."""
    fresh = content.get("extension", [])
    if fresh:
        urls = {item.get("url") for item in fresh}
        after["extension"] = [item for item in after.get("extension", ()) if item.get("url") not in urls] + fresh


def _contained(resource: Resource) -> dict[str, Resource]:
    return {item["id"]: item for item in resource.get("contained", ()) if "id" in item}


def _with_contained(resource: Resource, contained: dict[str, Resource]) -> Resource:
    """The resource with those that it refers to (R4 dom-3: nothing may be contained that nobody refers to)."""
    own = {name: value for name, value in resource.items() if name != "contained"}
    text = json.dumps(own, default=str)
    needed = [item for id, item in contained.items() if f'"#{id}"' in text]
    return own | ({"contained": needed} if needed else {})
