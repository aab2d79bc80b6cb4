"""Validation of R4 resources: own checks, compiled once from the definitions.

Structure, cardinality, formats, choice types, primitive extensions, required codes, Reference targets, contained
resources and the invariants of ``invariants``. A check walks the JSON once and returns None when all is well; only a
fault builds a path (see ``findings``). Measured against the alternatives in docs/decisions/0030-fhir-validation.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from interop.errors import InvalidContentError, Issue, MalformedError
from interop.fhir.constraints import check_of, claimed
from interop.fhir.definitions import code_sets, resource_types, type_definitions
from interop.fhir.extensions import extension_is_right
from interop.fhir.findings import Check, Finding, fault
from interop.fhir.invariants import INVARIANTS, Invariant
from interop.fhir.primitives import OPEN_CODES, PRIMITIVES, code_of

MAX_ISSUES = 50  # an answer names this many faults at most


def validate(resource: Any, *, type: str | None = None, profile: str | None = None) -> None:
    """Refuse what is no correct R4 resource (of the given type): InvalidContentError (422) with an issue per fault.

    A resource that claims a profile of ours in ``meta.profile`` is held to it, and to ``profile`` if one is named;
    profiles that are not ours are carried unread.
    """
    if not isinstance(resource, dict):
        raise MalformedError("a resource is a JSON object")
    name = resource.get("resourceType")
    if name is None:
        raise MalformedError("the resource has no resourceType", expression="resourceType")
    if type is not None and name != type:
        raise MalformedError(f"the resource is not a {type}", expression="resourceType", issue_code="invalid")
    found = _resource(resource) or _profiled(resource, profile)
    if found:
        root = name if isinstance(name, str) and name in resource_types() else "Resource"
        raise InvalidContentError(
            f"the {root} breaks the rules of FHIR R4", issues=tuple(f.issue(root) for f in found[:MAX_ISSUES])
        )


def _profiled(resource: dict[str, Any], profile: str | None) -> list[Finding]:
    """What a correct resource lacks of the profiles that it claims, and of the one that is asked for."""
    held = [] if "meta" not in resource else list(claimed(resource))
    asked = check_of(profile) if profile is not None else None
    found: list[Finding] = []
    for type, check in [*held, *([asked] if asked else [])]:
        if type != resource["resourceType"]:
            found.append(Finding("value", f"a profile of {type} is claimed", "meta.profile"))
        else:
            found += check(resource) or ()
    return found


def issues_of(resource: dict[str, Any]) -> tuple[Issue, ...]:
    """The faults of a resource as issues; empty when there are none."""
    try:
        validate(resource)
    except InvalidContentError as error:
        return error.issues
    return ()


class _Shape:
    """The compiled check of one object: a datatype, a resource or a backbone element."""

    __slots__ = ("allows_bare", "choices", "fields", "invariants", "many", "name", "required", "steps")

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: dict[str, Check] = {}
        self.many: set[str] = set()  # repeating primitives: their nulls are matched with _name
        self.steps: dict[str, str] = {}  # JSON name -> FHIRPath step, where they differ
        self.required: tuple[tuple[str, tuple[str, ...]], ...] = ()
        self.choices: tuple[tuple[str, frozenset[str]], ...] = ()
        self.invariants: tuple[Invariant, ...] = ()
        self.allows_bare = False  # a resource may hold nothing but its id

    def __call__(self, value: Any) -> list[Finding] | None:
        if type(value) is not dict:
            return fault("structure", f"must be one {self.name} object")
        found = self._members(value)
        if not value or (len(value) == 1 and "id" in value and not self.allows_bare):
            found.append(Finding("structure", "an element has a value or children (ele-1)"))
        if self.choices:
            self._one_choice_each(value, found)
        if self.invariants and all(finding.local is not None for finding in found):
            found += [finding for invariant in self.invariants if (finding := invariant(value)) is not None]
        return found or None

    def _members(self, value: dict[str, Any]) -> list[Finding]:
        found: list[Finding] = []
        fields = self.fields
        beside = False
        for name, item in value.items():
            check = fields.get(name)
            if check is None:
                found.append(Finding("structure", f"{self.name} has no such element", _plain(name)))
                continue
            faults = check(item)
            if faults:
                step = self.steps.get(name, name)
                found += [finding.below(step) for finding in faults]
            if name[0] == "_":
                beside = True
        for first, others in self.required:
            if first not in value and not any(name in value for name in others):
                found.append(Finding("required", f"{self.name} needs this element", self.steps.get(first, first)))
        if not beside:
            return found
        self._extended(value, found)
        return self._matched_nulls(value, found)

    def _extended(self, value: dict[str, Any], found: list[Finding]) -> None:
        """ele-1 of a primitive: what stands beside it may be only an id where there is a value."""
        for name, extra in value.items():
            if name[0] == "_" and name[1:] not in value and isinstance(extra, dict) and extra.keys() == {"id"}:
                step = self.steps.get(name, name)
                found.append(Finding("structure", "an element has a value or children (ele-1)", step))

    def _one_choice_each(self, value: dict[str, Any], found: list[Finding]) -> None:
        for step, names in self.choices:
            present = value.keys() & names
            if len(present) > 1 and len({name.removeprefix("_") for name in present}) > 1:
                found.append(Finding("structure", "only one type of this element may be given", step))

    def _matched_nulls(self, value: dict[str, Any], found: list[Finding]) -> list[Finding]:
        """R4 json.html#primitive: nulls fill the places where only the other of the two arrays has something."""
        excused: set[str] = set()
        for name in self.many:
            items, extras = value.get(name), value.get(f"_{name}")
            if extras is None or not isinstance(extras, list):
                continue
            if items is None:
                items = [None] * len(extras)
            elif not isinstance(items, list) or len(items) != len(extras):
                found.append(Finding("structure", f"{name} and _{name} must be of the same length", name))
                continue
            for index, (item, extra) in enumerate(zip(items, extras, strict=True)):
                if item is None and (extra is None or (isinstance(extra, dict) and extra.keys() <= {"id"})):
                    found.append(Finding("structure", "neither a value nor an extension", f"{name}[{index}]"))
                excused.add(f"{name}[{index}]")
        return [finding for finding in found if not (finding.null and finding.path in excused)]


def _plain(name: str) -> str:
    """An unknown element's name as it may stand in an expression."""
    return name if re.fullmatch(r"\w{1,64}", name) else "(unreadable name)"


def _list_of(check: Check, *, primitive: bool) -> Check:
    def checked(value: Any) -> list[Finding] | None:
        if type(value) is not list:
            return fault("structure", "may repeat, so it is an array")
        if not value:
            return fault("structure", "an array is never empty")
        found: list[Finding] | None = None
        for index, item in enumerate(value):
            if item is None and primitive:
                faults: list[Finding] | None = [Finding("structure", "null without an extension beside it", null=True)]
            else:
                faults = check(item)
            if faults:
                found = (found or []) + [finding.below(f"[{index}]") for finding in faults]
        return found

    return checked


def _compile(shape: _Shape, path: str, elements: dict[str, Any]) -> None:
    required, choices = [], []
    for name, spec in elements.items():
        names = []
        for key, check, primitive in _variants(path, name, spec):
            shape.fields[key] = _list_of(check, primitive=primitive) if spec.get("many") else check
            names.append(key)
            if primitive:
                beside = _list_of(_element_or_null, primitive=False) if spec.get("many") else _shape("Element")
                shape.fields[f"_{key}"] = beside
                shape.steps[f"_{key}"] = key
                names.append(f"_{key}")
                if spec.get("many"):
                    shape.many.add(key)
        if name.endswith("[x]"):
            step = name[:-3]
            choices.append((step, frozenset(names)))
            shape.steps.update(dict.fromkeys(names, step))
        if spec.get("min"):
            required.append((names[0], tuple(names[1:])))
    shape.required, shape.choices = tuple(required), tuple(choices)
    shape.invariants = INVARIANTS.get(path, ())


def _variants(path: str, name: str, spec: dict[str, Any]) -> Iterator[tuple[str, Check, bool]]:
    """Each JSON name of an element, its check, and whether it is primitive."""
    if "parts" in spec:
        part = _Shape(f"{path}.{name}")
        _PARTS[part.name] = part
        _compile(part, part.name, spec["parts"])
        yield name, part, False
    elif "like" in spec:
        yield name, _Later(spec["like"]), False
    else:
        for kind in spec["types"]:
            key = name[:-3] + kind[0].upper() + kind[1:] if name.endswith("[x]") else name
            check = _contained if name == "contained" else _typed(kind, spec)
            attribute = name == "id" or (path == "Extension" and name == "url")  # attributes in XML: no extensions
            yield key, check, kind in PRIMITIVES and kind != "xhtml" and not attribute


def _typed(kind: str, spec: dict[str, Any]) -> Check:
    if kind in PRIMITIVES:
        bound = spec.get("codes")
        if bound in OPEN_CODES:
            return OPEN_CODES[bound]
        if bound and kind == "code":
            return code_of(frozenset(code for codes in code_sets()[bound].values() for code in codes), bound)
        return PRIMITIVES[kind]
    if kind == "Resource":
        return _resource
    if kind == "Reference":
        return _reference(tuple(spec.get("targets", ())))
    if spec.get("codes") and kind in ("CodeableConcept", "Coding"):
        return _bound_concept(kind, spec["codes"])
    return _shape(kind)


class _Later:
    """A check by the path of a backbone element that is still being compiled (contentReference)."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, value: Any) -> list[Finding] | None:
        return _PARTS[self.path](value)


_PARTS: dict[str, _Shape] = {}
_SHAPES: dict[str, _Shape] = {}
_ELEMENT = {"id": {"types": ["element-id"]}, "extension": {"many": True, "types": ["Extension"]}}


def _shape(name: str) -> _Shape:
    """The check of a datatype or resource, compiled at first use; recursive types meet themselves here."""
    shape = _SHAPES.get(name)
    if shape is not None:
        return shape
    shape = _SHAPES[name] = _Shape(name)
    if name == "Element":  # what stands beside a primitive
        _compile(shape, name, _ELEMENT)
        shape.allows_bare = True
        return shape
    definition = type_definitions()[name]
    _compile(shape, name, definition["elements"])
    if definition["kind"] == "resource":
        shape.fields["resourceType"] = PRIMITIVES["code"]
        shape.allows_bare = True
    elif name == "Extension":
        shape.invariants = (extension_is_right,)
    return shape


def _element_or_null(value: Any) -> list[Finding] | None:
    return None if value is None else _shape("Element")(value)


def _bound_concept(kind: str, bound: str) -> Check:
    allowed = {(system, code) for system, codes in code_sets()[bound].items() for code in codes}

    def check(value: Any) -> list[Finding] | None:
        faults = _shape(kind)(value)
        codings = [value] if kind == "Coding" else [] if faults else value.get("coding", [])
        if faults or not codings or any((c.get("system"), c.get("code")) in allowed for c in codings):
            return faults
        return fault("code-invalid", f"no code of the required value set {bound}")

    return check


# R4 references.html#literal: relative or absolute, a type, an id, perhaps a version.
_LITERAL = re.compile(r"(https?://\S+/|)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")


@cache
def _reference(targets: tuple[str, ...]) -> Check:
    allowed = frozenset(targets) or resource_types()
    listed = " or ".join(targets) if len(targets) <= 12 else "resource of the types allowed here"

    def check(value: Any) -> list[Finding] | None:
        faults = _shape("Reference")(value)
        if faults:
            return faults
        kind = value.get("type")
        if kind is not None and kind in resource_types() and kind not in allowed:
            return fault("value", f"must point to a {listed}, not a {kind}", "type")
        literal = value.get("reference")
        return None if literal is None else _literal(literal, allowed, listed)

    return check


def _literal(literal: str, allowed: frozenset[str], listed: str) -> list[Finding] | None:
    match = _LITERAL.fullmatch(literal)
    if match:
        kind = match[2]
        if kind in allowed:
            return None
        if kind in resource_types():
            return fault("value", f"must point to a {listed}, not a {kind}", "reference")
        if match[1]:
            return None
    elif literal[0] == "#":
        return [Finding("value", "no contained resource has this id (ref-1)", "reference", local=literal[1:])]
    elif _ABSOLUTE.fullmatch(literal):
        return None
    return fault("value", "a reference is Type/id, an absolute URL, or #id of a contained resource", "reference")


def _resource(value: Any) -> list[Finding] | None:
    """A resource that stands alone (or in a Bundle): its shape, its contained resources and the links to them."""
    found = _contained(value)
    if not isinstance(value, dict) or (not found and "contained" not in value):
        return found
    contained = value.get("contained")
    inside = [part for part in contained if isinstance(part, dict)] if isinstance(contained, list) else []
    ids = {part["id"] for part in inside if isinstance(part.get("id"), str)} | ({""} if inside else set())
    found = [finding for finding in found or () if finding.local is None or finding.local not in ids]
    if not found:
        _contained_rules(value, inside, found)
    return found or None


def _contained(value: Any) -> list[Finding] | None:
    """A resource as its own shape says; its links to contained resources are left to the root."""
    if type(value) is not dict:
        return fault("structure", "must be a resource object")
    name = value.get("resourceType")
    if not isinstance(name, str) or name not in resource_types():
        return fault("structure", "no R4 resource type", "resourceType")
    if name not in type_definitions():
        return None  # a type whose elements we do not know can only be carried (contained, Bundle entries)
    return _shape(name)(value)


def _contained_rules(resource: dict[str, Any], inside: list[dict[str, Any]], found: list[Finding]) -> None:
    """dom-2 … dom-5 of DomainResource (R4 domainresource.html)."""
    used = set(_local_links(resource))
    for index, part in enumerate(inside):
        path = f"contained[{index}]"
        meta = part.get("meta", {})
        if "contained" in part:
            found.append(Finding("invariant", "a contained resource contains none itself (dom-2)", path))
        if not _is_used(part, used):
            found.append(Finding("invariant", "nothing refers to this contained resource (dom-3)", path))
        if "versionId" in meta or "lastUpdated" in meta:
            found.append(Finding("invariant", "a contained resource has no version (dom-4)", f"{path}.meta"))
        if "security" in meta:
            found.append(Finding("invariant", "a contained resource has no security labels (dom-5)", f"{path}.meta"))


def _is_used(part: dict[str, Any], used: set[str]) -> bool:
    return part.get("id") in used or "" in set(_local_links(part))


def _local_links(value: Any) -> Iterator[str]:
    """The ids of all internal links: any string of the form #id that a Reference, uri or canonical could be."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _local_links(item)
    elif isinstance(value, list):
        for item in value:
            yield from _local_links(item)
    elif isinstance(value, str) and value[:1] == "#":
        yield value[1:]
