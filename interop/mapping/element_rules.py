"""What tables may make by FHIR R4's definitions: elements that there are, and codes of the value sets they require.

A row that puts something where R4 has no place, or a code that a required binding does not know (R4
terminologies.html#required), would make resources that every reader refuses. So both are refused when tables are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from interop.fhir.definitions import code_sets
from interop.fhir.elements import Element, Elements, by_key, chosen, definition_of, elements_of, resource_elements
from interop.mapping.codes import Code, CodeTable
from interop.mapping.rows import Row, TableError
from interop.mapping.targets import parsed
from interop.mapping.uris import is_uri

_TEXTS = ("code", "string", "markdown", "uri")  # the primitives that a code alone can be
_MADE = {  # by code converters; of any other the code alone is put there
    "code_to_codeableconcept": "CodeableConcept",
    "code_to_modality": "CodeableConcept",
    "code_to_coding": "Coding",
}
# Tables that converters read by themselves: the element that the code becomes.
_ELEMENTS = {
    "name_use": ("HumanName", "use"),
    "address_use": ("Address", "use"),
    "address_type": ("Address", "type"),
    "telecom_use": ("ContactPoint", "use"),
    "telecom_system": ("ContactPoint", "system"),
}
# Tables whose targets are words that this server acts on.
WORDS: Mapping[str, tuple[str, ...]] = {
    "order_control": ("new", "change", "cancel", "discontinue", "hold", "release", "refuse", "status"),
    "order_status": (
        "change", "cancel", "discontinue", "hold", "release", "arrived", "start", "complete", "entered-in-error"
    ),
    "report_part": ("conclusion", "study"),
    "refused_message": ("refuse",),
    "name_representation": ("ABC", "IDE", "SYL"),
    "patient_fact": ("weight", "size", "pregnancy"),
    "pregnancy_dicom": ("1", "2", "3", "4"),
}  # fmt: skip
_FACTOR = re.compile(r"[0-9]+(?:\.[0-9]+)?\Z")
_CS = re.compile(r"[A-Z0-9_ ]{1,16}\Z")  # PS3.5 6.2, code string


def check_rows(type: str, rows: Iterable[Row], codes: Mapping[str, CodeTable]) -> None:
    """TableError for a row whose target is no element of the resource type, or whose codes the element does not take.

    Unknown tables and converters are left to whoever compiles the row.
    """
    for row in rows:
        try:
            element, spec = element_at(type, row.target)
        except ValueError as error:
            raise row.error(str(error)) from error
        if row.codes not in codes:
            continue
        made = _MADE.get(row.convert, "")
        if made != element.kind if made else element.kind not in _TEXTS:
            what = f"a {made}" if made else "a code alone"
            raise row.error(f"{type}.{row.target} is a {element.kind or 'BackboneElement'}, not {what}")
        for code in _wrong(codes[row.codes], *_allowed(spec, element.kind)):
            words = f"which {code.code!r} becomes in {code.place}"
            raise row.error(f"{type}.{row.target} does not take {code.target!r}, {words}{_choice(spec)}")


def check_codes(codes: Mapping[str, CodeTable]) -> None:
    """TableError for a code of the tables that converters read by themselves which becomes what there is not."""
    for table, (type, name) in _ELEMENTS.items():
        spec = resource_elements(type)[name]
        _hold(codes, table, _allowed(spec, "code"), f"{type}.{name} does not take{_choice(spec)}")
    for table, words in WORDS.items():
        _hold(codes, table, [_one_of(words)], f"is none of {', '.join(words)}")
    _hold(codes, "coding_system", [lambda found: is_uri(found.target)], "is no absolute URI")
    for table in ("mass_unit", "length_unit"):
        _hold(codes, table, [lambda found: _FACTOR.match(found.target) is not None], "is no factor")
    for table in ("modality", "procedure_modality"):
        _hold(codes, table, [_is_code_string], "is no DICOM modality (a code string, PS3.5 6.2)")


def element_at(type: str, target: str) -> tuple[Element, Mapping[str, Any]]:
    """The element that a target leads to, with its definition; ValueError where R4 has none, or not so many."""
    name, slot, many, tail = parsed(target)
    listed = slot is not None or many
    element, spec = _below(type, resource_elements(type), name)
    if element.many and not listed:
        form = "extension[birthPlace].valueAddress" if name == "extension" else f"{name}[] for one of each value"
        raise ValueError(f"{type}.{name} repeats; say {form}")
    if listed and not element.many:
        raise ValueError(f"{type}.{name} does not repeat")
    if listed and len(tail) > 1:
        raise ValueError(f"{target!r} goes further than one element below {name}")
    where = f"{type}.{name}"
    for step in tail:
        element, spec = _below(where, elements_of(element), step)
        where = f"{where}.{step}"
        if element.many:
            raise ValueError(f"{where} repeats, and a target has one place for it")
    return element, spec


def _below(where: str, elements: Elements, name: str) -> tuple[Element, Mapping[str, Any]]:
    if name.startswith("_"):  # what stands beside a primitive value (R4 json.html#primitive)
        found = by_key(elements).get(name[1:])
        if found is not None and found[1].can_extend and not found[1].many:
            return Element(name, "Element", False), {}
    else:
        found = by_key(elements).get(name)
        if found is not None:
            spec = next(spec for key, spec in elements.items() if _is_of(key, name))
            return found[1], spec
    choice = definition_of(elements, name)
    if choice is not None and choice[0].endswith("[x]"):
        forms = ", ".join(chosen(choice[0], choice[1], kind).key for kind in choice[1]["types"][:4])
        raise ValueError(f"{where}.{name} has a type in its name, such as {forms}")
    raise ValueError(f"R4 has no {where}.{name}")


def _is_of(key: str, name: str) -> bool:
    return key == name or (key.endswith("[x]") and name.startswith(key[:-3]) and name[len(key) - 3 :][:1].isupper())


def _wrong(table: CodeTable, *allowed: Callable[[Code], bool]) -> Sequence[Code]:
    """The first row of the table, if any, with a target that is not allowed; a row without one says so on purpose."""
    return [code for code in table.rows.values() if code.target and not all(one(code) for one in allowed)][:1]


def _allowed(spec: Mapping[str, Any], kind: str) -> list[Callable[[Code], bool]]:
    """The condition of a required binding; none where there is no such binding, or an open one."""
    systems = code_sets().get(spec.get("codes", ""))
    if systems is None:
        return []
    if kind in ("Coding", "CodeableConcept"):
        return [lambda code: code.target in systems.get(code.system, ())]
    known = {code for codes in systems.values() for code in codes}
    return [lambda code: code.target in known]


def _choice(spec: Mapping[str, Any]) -> str:
    known = sorted({code for codes in code_sets()[spec["codes"]].values() for code in codes})
    return f"; it is one of {', '.join(known)}"


def _hold(codes: Mapping[str, CodeTable], table: str, allowed: Sequence[Callable[[Code], bool]], why: str) -> None:
    for code in _wrong(codes[table], *allowed) if table in codes else ():
        raise TableError(f"{code.place}: {code.code!r} becomes {code.target!r}, which {why}")


def _one_of(words: Sequence[str]) -> Callable[[Code], bool]:
    return lambda code: code.target in words


def _is_code_string(code: Code) -> bool:
    return _CS.match(code.target) is not None
