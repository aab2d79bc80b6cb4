"""Profiles: StructureDefinitions that constrain a resource type, compiled from their differentials into checks.

What a differential may say here is what the checker can hold: ``min``, ``max``, ``maxLength``, ``fixed[x]`` and
``pattern[x]``, required bindings to value sets that are known, Reference targets, and slices by value or pattern
(R4 profiling.html#slicing). Anything else that would constrain (``constraint``, other discriminators, …) is refused
when the profile is read, because a rule that nobody holds is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from interop.fhir.definitions import code_sets
from interop.fhir.findings import Check, Finding
from interop.fhir.profile import own_resources, own_value_sets

Json = dict[str, Any]

# Elements of an ElementDefinition that say something without constraining what is written.
_SILENT = frozenset(
    ("id", "path", "sliceName", "short", "definition", "comment", "requirements", "alias", "mustSupport", "mapping")
) | frozenset(("isModifier", "isModifierReason", "isSummary", "example", "base"))
_HELD = frozenset(("min", "max", "maxLength", "binding", "type", "slicing"))


class ProfileError(ValueError):
    """A profile says what this server cannot hold; the text names the element."""


@dataclass(slots=True)
class _Node:
    """One element of a profile: its own rules, and below it other elements and slices."""

    id: str
    rules: list[Check] = field(default_factory=list)  # each takes one value of the element
    least: int = 0
    most: int | None = None
    fixed: Callable[[Any], bool] | None = None  # what fixed[x] or pattern[x] asks, for discriminators too
    children: dict[str, _Node] = field(default_factory=dict)
    slices: dict[str, _Node] = field(default_factory=dict)
    discriminators: tuple[str, ...] = ()
    closed: bool = False


@cache
def constraining() -> dict[str, Json]:
    """Our profiles of resource types, by canonical URL."""
    return {
        resource["url"]: resource
        for resource in own_resources()
        if resource["resourceType"] == "StructureDefinition" and resource["kind"] == "resource"
    }


@cache
def check_of(url: str) -> tuple[str, Check] | None:
    """The type that the profile constrains and the check of a resource of it; None for a profile that is not ours."""
    definition = constraining().get(url.partition("|")[0])
    return None if definition is None else (definition["type"], compiled(definition))


def compiled(definition: Json) -> Check:
    """The check that holds a profile, and the profile of ours that it is based on; ProfileError for what it cannot."""
    type: str = definition["type"]
    root = _Node(type)
    for element in definition["differential"]["element"]:
        _place(root, type, element)
    based = constraining().get(definition["baseDefinition"])
    below = None if based is None else compiled(based)

    def check(resource: Any) -> list[Finding] | None:
        found = list(below(resource) or ()) if below else []
        found += _inside(root, resource)
        return found or None

    return check


def claimed(resource: Json) -> Iterator[tuple[str, Check]]:
    """The profiles of ours that a resource says it keeps (``meta.profile``), with the type each is for."""
    for url in resource.get("meta", {}).get("profile", ()):
        found = check_of(url) if isinstance(url, str) else None
        if found is not None:
            yield found


def _place(root: _Node, type: str, element: Json) -> None:
    """Put one row of the differential where its id says (``Type.identifier:accession.system``)."""
    name, _, rest = element["id"].partition(".")
    if name != type:
        raise ProfileError(f"{element['id']}: ids of elements begin with {type}")
    node = root
    for step in rest.split(".") if rest else ():
        base, _, slice_name = step.partition(":")
        node = node.children.setdefault(base, _Node(f"{node.id}.{base}"))
        if slice_name:
            node = node.slices.setdefault(slice_name, _Node(f"{node.id}:{slice_name}"))
    _rule(node, element)


def _rule(node: _Node, element: Json) -> None:
    for key in element:
        if key not in _SILENT and key not in _HELD and not key.startswith(("fixed", "pattern")):
            raise ProfileError(f"{node.id}: {key} is not held by this server")
    node.least = element.get("min", node.least)
    most = element.get("max", "*")
    node.most = None if most == "*" else int(most)
    if "maxLength" in element:
        node.rules.append(_no_longer(element["maxLength"]))
    for key, value in element.items():
        if key.startswith(("fixed", "pattern")):
            node.fixed = _equal_to(value) if key.startswith("fixed") else _fitting(value)
            node.rules.append(_as_asked(node.fixed, value))
    if "binding" in element and element["binding"]["strength"] == "required":
        node.rules.append(_bound(node.id, element["binding"]["valueSet"]))
    targets = [t.rsplit("/", 1)[-1] for kind in element.get("type", ()) for t in kind.get("targetProfile", ())]
    if targets:
        node.rules.append(_pointing_to(frozenset(targets)))
    if "slicing" in element:
        _sliced(node, element["slicing"])


def _sliced(node: _Node, slicing: Json) -> None:
    for discriminator in slicing["discriminator"]:
        if discriminator["type"] not in ("value", "pattern"):
            raise ProfileError(f"{node.id}: slices are told apart by value or pattern")
    node.discriminators = tuple(discriminator["path"] for discriminator in slicing["discriminator"])
    node.closed = slicing.get("rules") == "closed"


def _inside(node: _Node, holder: Any) -> list[Finding]:
    """What is wrong among the elements of one object."""
    found: list[Finding] = []
    for name, child in node.children.items():
        values = _values_at(holder, name)
        found += _counted(child, len(values), name)
        for step, value in values:
            found += [finding.below(step) for finding in _one(child, value)]
        if child.slices:
            found += _slices(child, values, name)
    return found


def _one(node: _Node, value: Any) -> list[Finding]:
    found = [finding for rule in node.rules for finding in rule(value) or ()]
    return found + _inside(node, value) if node.children else found


def _slices(node: _Node, values: list[tuple[str, Any]], name: str) -> list[Finding]:
    found: list[Finding] = []
    free = list(values)
    for slice_name, piece in node.slices.items():
        mine = [(step, value) for step, value in values if _belongs(node, piece, value)]
        free = [pair for pair in free if pair not in mine]
        found += _counted(piece, len(mine), f"{name}", slice_name)
        for step, value in mine:
            found += [finding.below(step) for finding in _one(piece, value)]
    if node.closed:
        found += [Finding("structure", "the profile has no such element (closed slicing)", step) for step, _ in free]
    return found


def _belongs(node: _Node, piece: _Node, value: Any) -> bool:
    """Whether the value is of this slice: everything its discriminators lead to is as the slice fixes it."""
    for path in node.discriminators:
        at, reached = piece, [value]
        for step in () if path == "$this" else path.split("."):
            if step not in at.children:
                raise ProfileError(f"{piece.id}: {path} tells slices apart and is not fixed")
            at = at.children[step]
            reached = [below for one in reached for _, below in _values_at(one, step)]
        fits = at.fixed
        if fits is None:
            raise ProfileError(f"{piece.id}: {path} tells slices apart and is not fixed")
        if not any(fits(one) for one in reached):
            return False
    return True


def _counted(node: _Node, count: int, name: str, slice_name: str = "") -> list[Finding]:
    what = f"{name}:{slice_name}" if slice_name else name
    if count < node.least:
        return [Finding("required", f"the profile asks for {node.least} or more {what}", name.removesuffix("[x]"))]
    if node.most is not None and count > node.most:
        return [Finding("structure", f"the profile allows at most {node.most} {what}", name.removesuffix("[x]"))]
    return []


def _values_at(holder: Any, name: str) -> list[tuple[str, Any]]:
    """The values of an element with the FHIRPath step of each; of a choice element whichever type is there."""
    if not isinstance(holder, Mapping):
        return []
    if name.endswith("[x]"):
        start = name[:-3]
        return [
            (start, value) for key, value in holder.items() if key.startswith(start) and key[len(start) :][:1].isupper()
        ]
    value = holder.get(name)
    if isinstance(value, list):
        return [(f"{name}[{index}]", one) for index, one in enumerate(value) if one is not None]
    return [] if value is None else [(name, value)]


def _no_longer(limit: int) -> Check:
    def check(value: Any) -> list[Finding] | None:
        if isinstance(value, str) and len(value) > limit:
            return [Finding("value", f"has {len(value)} characters; the profile allows {limit}")]
        return None

    return check


def _as_asked(fits: Callable[[Any], bool], wanted: Any) -> Check:
    def check(value: Any) -> list[Finding] | None:
        return None if fits(value) else [Finding("value", f"the profile asks for {_shown(wanted)}")]

    return check


def _shown(wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return ", ".join(f"{key} {_shown(value)}" for key, value in wanted.items())
    return ", ".join(map(_shown, wanted)) if isinstance(wanted, list) else str(wanted)


def _equal_to(wanted: Any) -> Callable[[Any], bool]:
    return lambda value: bool(value == wanted)


def _fitting(wanted: Any) -> Callable[[Any], bool]:
    return lambda value: _fits(wanted, value)


def _fits(wanted: Any, value: Any) -> bool:
    """Whether the value has everything that the pattern has (R4 elementdefinition.html, pattern[x])."""
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(_fits(part, value.get(key)) for key, part in wanted.items())
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(_fits(part, one) for one in value) for part in wanted)
    return bool(wanted == value)


def _bound(id: str, value_set: str) -> Check:
    codes = _codes_of(id, value_set.partition("|")[0])

    def check(value: Any) -> list[Finding] | None:
        if isinstance(value, str):
            good = any(value in allowed for allowed in codes.values())
        else:
            codings = value.get("coding", ()) if "coding" in value else (value,) if "code" in value else ()
            good = any(coding.get("code") in codes.get(coding.get("system"), ()) for coding in codings)
        return None if good else [Finding("code-invalid", f"no code of the required value set {value_set}")]

    return check


def _codes_of(id: str, value_set: str) -> dict[str, frozenset[str]]:
    """The codes of a value set of ours or of R4, by system."""
    if value_set in own_value_sets():
        return own_value_sets()[value_set]
    name = value_set.rsplit("/", 1)[-1]
    if value_set == f"http://hl7.org/fhir/ValueSet/{name}" and name in code_sets():
        return {system: frozenset(codes) for system, codes in code_sets()[name].items()}
    raise ProfileError(f"{id}: the value set {value_set} is not known")


def _pointing_to(targets: frozenset[str]) -> Check:
    listed = " or ".join(sorted(targets))

    def check(value: Any) -> list[Finding] | None:
        literal = value.get("reference", "") if isinstance(value, Mapping) else ""
        parts = literal.split("/_history/")[0].rsplit("/", 2)
        if len(parts) < 2 or parts[-2] in targets or not parts[-2][:1].isupper():
            return None
        return [Finding("value", f"the profile asks for a reference to {listed}", "reference")]

    return check
