"""The search parameters of each served type, compiled from data into readers of index rows.

A row of the definitions (ours or the standard's) names a code, a type and element paths such as
``telecom[system=email]`` or ``series.modality``. A parameter that others already have the rows for is read from
theirs (``Source``): ``patient`` from those of ``subject``, ``phone`` from ``telecom``, ``name`` from ``family``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from interop.fhir.definitions import code_sets, type_definitions
from interop.fhir.folding import fold
from interop.fhir.index_readers import ADDRESS, HUMAN_NAME, READERS, Reader, is_true, logical, split_reference, texts
from interop.fhir.profile import accepted_types, defined_searches, extension_rules

__all__ = ["Component", "Parameter", "Source", "fold", "parameters", "source_of", "split_reference"]

Step = tuple[str, str | None, str | None]  # name, and the child that must have a value
Reading = tuple[tuple[Step, ...], Reader]


@dataclass(frozen=True, slots=True)
class Source:
    """Whose rows answer a parameter, and of them only those of this system (a target's type, a contact's kind)."""

    params: tuple[str, ...]
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Component:
    """One half of a composite."""

    type: str
    readers: tuple[Reading, ...]
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter of one type."""

    code: str
    type: str  # token | reference | date | string | uri | quantity | composite | special
    definition: str
    targets: tuple[str, ...] = ()  # of a reference; empty: any
    only: str | None = None  # only references to this type: "where(resolve() is Patient)"
    implied_system: str | None = None  # of an element of type code: its one code system
    computed: bool = False  # true or false of every resource; only what is true has a row
    paths: tuple[str, ...] = ()
    datatypes: tuple[str, ...] = ()  # at the ends of the paths
    readers: tuple[Reading, ...] = ()  # what is indexed under its own code
    components: tuple[Component, ...] = ()
    source: Source = Source(())


@cache
def parameters(type: str) -> dict[str, Parameter]:
    """The parameters that are indexed and searched for a type, by code; ``_id`` and ``_lastUpdated`` not among them."""
    accepted = accepted_types().get(type)
    if accepted is None:
        return {}
    rows = defined_searches(type)
    compiled = {code: _compile(type, rows[code]) for code in accepted.search}
    return {code: _shared(parameter, compiled) for code, parameter in compiled.items()}


def source_of(type: str, code: str) -> Source:
    """Whose rows answer this parameter of the type; ``code:text`` and such go with their parameter."""
    plain, colon, suffix = code.partition(":")
    parameter = parameters(type).get(plain)
    if parameter is None or suffix == "identifier":
        return Source((code,))
    if colon:
        return Source(tuple(f"{param}:{suffix}" for param in parameter.source.params))
    return parameter.source


# compiling

_STEP = re.compile(r"(\w+)(?:\[(\w+)=([^\]]*)\])?(?:\.|$)")
_WHERE = re.compile(r"\.where\((\w+)='([^']*)'\)")
_TYPED = re.compile(r"\.where\(type\.coding\.exists\(code = '(\w+)'\)\)")
_CONTACT = re.compile(r"(.+)\[system=(\w+)\]")


def _compile(type: str, row: dict[str, Any]) -> Parameter:
    if "expression" in row:
        row = {**row, "paths": [_path_of(row["expression"])], "definition": row["url"]}
    if row["type"] == "composite":
        return _composite(type, row)
    readers: list[Reading] = []
    datatypes: list[str] = []
    implied: str | None = None
    for path in row["paths"]:
        steps, reader, spec, datatype = _reading(type, path, row["type"])
        datatypes.append(datatype)
        readers.append((steps, is_true if "computed" in row else reader))
        if datatype == "code" and spec.get("codes"):
            systems = list(code_sets().get(spec["codes"], ()))
            implied = systems[0] if len(systems) == 1 else None
    return Parameter(
        row["code"],
        row["type"],
        row["definition"],
        tuple(row.get("target", ())),
        row.get("only"),
        implied,
        "computed" in row,
        tuple(row["paths"]),
        tuple(dict.fromkeys(datatypes)),
        tuple(readers),
    )


def _composite(type: str, row: dict[str, Any]) -> Parameter:
    """Its readers give the nodes at which both components are read."""
    at = tuple(row["at"])
    components = []
    for part in row["components"]:
        read = [_reading(type, f"{at[-1]}.{path}" if at[-1] else path, part["type"])[:2] for path in part["paths"]]
        within = tuple((steps[1:] if at[-1] else steps, reader) for steps, reader in read)
        components.append(Component(part["type"], within, tuple(part.get("target", ()))))
    nodes = tuple((_steps(path), _no_reader) for path in at)
    return Parameter(row["code"], "composite", row["definition"], paths=at, readers=nodes, components=tuple(components))


def _no_reader(*_: Any) -> None:
    """A node of a composite is read by its components."""


def _shared(parameter: Parameter, every: dict[str, Parameter]) -> Parameter:
    """The parameter with its source, and without readers of what others index already."""
    own = replace(parameter, source=Source((parameter.code,)))
    others = [other for other in every.values() if other.code != parameter.code and other.type == parameter.type]
    if parameter.only:
        same = next((other for other in others if other.paths == parameter.paths and not other.only), None)
        if same:
            left = tuple((steps, logical) for steps, _ in parameter.readers)
            return replace(own, source=Source((same.code,), parameter.only), readers=left)
    contact = _CONTACT.fullmatch(parameter.paths[0]) if len(parameter.paths) == 1 else None
    if contact and any(other.paths == (contact[1],) for other in others):
        whole = next(other.code for other in others if other.paths == (contact[1],))
        return replace(own, source=Source((whole,), contact[2]), readers=())
    united = [
        other.code
        for other in others
        if set(other.paths) < set(parameter.paths) and other.components == parameter.components
    ]
    if not parameter.only and {path for code in united for path in every[code].paths} == set(parameter.paths):
        return replace(own, source=Source(tuple(united)), readers=())
    return _without_parts(own, others) if parameter.type == "string" else own


def _without_parts(parameter: Parameter, others: list[Parameter]) -> Parameter:
    """A whole name or address, whose parts have parameters of their own."""
    if len(parameter.paths) != 1:
        return parameter
    path = parameter.paths[0]
    parts = {other.paths[0].rpartition(".")[2]: other.code for other in others if other.paths[0].startswith(path + ".")}
    names = HUMAN_NAME if "family" in parts else ADDRESS if "city" in parts else ()
    if not names:
        return parameter
    left = texts(*(name for name in names if name not in parts))
    source = Source((parameter.code, *(parts[name] for name in names if name in parts)))
    return replace(parameter, source=source, readers=((parameter.readers[0][0], left),))


def _path_of(expression: str) -> str:
    """The element path of one of our own parameters.

    ``Type.a.where(b='c').d`` and ``Type.a.where(type.coding.exists(code = 'X'))`` only; of extensions their parts, too.
    """
    path = _WHERE.sub(r"[\1=\2]", _TYPED.sub(r"[type=\1]", expression.partition(".")[2]))
    extension = re.fullmatch(r"extension\[url=([^\]]*)\](?:\.extension\[url=([^\]]*)\])?\.value", path)
    if extension:
        rule = extension_rules()[extension[1]]
        value_type = (rule.parts[extension[2]] if extension[2] else rule).value_type
        path += value_type[0].upper() + value_type[1:]
    return path


def _steps(path: str) -> tuple[Step, ...]:
    return tuple((m[1], m[2], m[3]) for m in _STEP.finditer(path)) if path else ()


def _reading(type: str, path: str, kind: str) -> tuple[tuple[Step, ...], Reader, dict[str, Any], str]:
    steps = _steps(path)
    datatype, spec = _datatype(type, [step[0] for step in steps])
    return steps, READERS[kind](datatype), spec, datatype


def _datatype(type: str, names: list[str]) -> tuple[str, dict[str, Any]]:
    """The datatype at the end of a path, and the element's definition."""
    elements = type_definitions()[type]["elements"]
    datatype: str = type
    spec: dict[str, Any] = {}
    for name in names:
        datatype, spec = _element(elements, name)
        elements = spec["parts"] if "parts" in spec else type_definitions().get(datatype, {}).get("elements", {})
    return datatype, spec


def _element(elements: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    if name in elements:
        spec = elements[name]
        return spec.get("types", ["BackboneElement"])[0], spec
    for key, spec in elements.items():
        if key.endswith("[x]") and name.startswith(key[:-3]):
            for datatype in spec["types"]:
                if name == key[:-3] + datatype[0].upper() + datatype[1:]:
                    return datatype, spec
    raise KeyError(f"no element {name}")
