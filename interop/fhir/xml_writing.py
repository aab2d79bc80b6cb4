"""Resources as XML (R4 xml.html), by the definitions: order, attributes, extensions of primitives, narrative.

Decimals are written with the text that they have. What XML cannot hold (a control character) or what no definition
knows is refused, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from html.entities import name2codepoint
from typing import Any

from interop.errors import UnsupportedError
from interop.fhir.elements import Element, Elements, by_key, elements_of, resource_elements
from interop.fhir.json import DecimalText
from interop.fhir.narrative import check_xhtml

FHIR = "http://hl7.org/fhir"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_ESCAPED = re.compile('[&<>"\n\r\t]')
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_OF_XML = frozenset(("amp", "lt", "gt", "quot", "apos"))


def to_xml(resource: Mapping[str, Any], *, pretty: bool = False) -> bytes:
    """The resource as an XML document; UnsupportedError (406) where it cannot be one."""
    lines = _lines(resource, 0, f' xmlns="{FHIR}"', str(resource.get("resourceType")))
    if not pretty:
        return (_DECLARATION + "".join(line for _, line in lines)).encode()
    return "\n".join([_DECLARATION, *("  " * depth + line for depth, line in lines), ""]).encode()


_Lines = Iterator[tuple[int, str]]


def _lines(resource: Mapping[str, Any], depth: int, attributes: str, path: str) -> _Lines:
    type = resource.get("resourceType")
    elements = resource_elements(type) if isinstance(type, str) else {}
    if not elements:
        raise _refusal(path, "its elements are not known here")
    content = {name: value for name, value in resource.items() if name != "resourceType"}
    yield from _object(str(type), content, elements, depth, attributes, path)


def _object(name: str, value: Any, elements: Elements, depth: int, attributes: str, path: str) -> _Lines:
    if not isinstance(value, Mapping):
        raise _refusal(path, "it is no object")
    known = by_key(elements)
    inner: list[tuple[int, int, Element, Any, Any]] = []
    for key, item in value.items():
        plain = key.removeprefix("_")
        place, element = known.get(plain, (0, None))
        if element is None or (key != plain and not element.can_extend):
            raise _refusal(path, f"{key[:60]} is no element of it")
        if _is_attribute(element, elements):
            attributes += f' {plain}="{_escaped(_text(item, path), path)}"'
        elif key == plain or plain not in value:
            inner += _each(place, element, value.get(plain), value.get(f"_{plain}"), path)
    if not inner:
        yield depth, f"<{name}{attributes}/>"
        return
    yield depth, f"<{name}{attributes}>"
    for _, _, element, item, beside in sorted(inner, key=lambda each: each[:2]):
        yield from _element(element, item, beside, depth + 1, f"{path}.{element.key}")
    yield depth, f"</{name}>"


def _is_attribute(element: Element, elements: Elements) -> bool:
    """An element's id, and the url of an extension; a resource's id is an element."""
    return element.kind == "element-id" or (element.key == "url" and elements is resource_elements("Extension"))


def _each(place: int, element: Element, value: Any, beside: Any, path: str) -> list[tuple[int, int, Element, Any, Any]]:
    if not element.many:
        return [(place, 0, element, value, beside)]
    lists = [each if each is not None else [] for each in (value, beside)]
    if not all(isinstance(each, list) for each in lists):
        raise _refusal(f"{path}.{element.key}", "it repeats, so it is an array")
    length = max(map(len, lists))
    values, extras = ([*each, *[None] * (length - len(each))] for each in lists)
    return [(place, index, element, values[index], extras[index]) for index in range(length)]


def _element(element: Element, value: Any, beside: Any, depth: int, path: str) -> _Lines:
    name = element.key
    if element.kind == "xhtml":
        yield depth, _narrative(value, path)
    elif element.is_primitive:
        yield from _primitive(element, value, beside, depth, path)
    elif element.kind == "Resource":
        yield depth, f"<{name}>"
        if not isinstance(value, Mapping):
            raise _refusal(path, "it is no resource")
        yield from _lines(value, depth + 1, "", path)
        yield depth, f"</{name}>"
    else:
        yield from _object(name, value, elements_of(element), depth, "", path)


def _primitive(element: Element, value: Any, beside: Any, depth: int, path: str) -> _Lines:
    said = "" if value is None else f' value="{_escaped(_text(value, path), path)}"'
    if beside is None:
        yield depth, f"<{element.key}{said}/>"
    else:
        yield from _object(element.key, beside, elements_of(element), depth, said, path)


def _text(value: Any, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, DecimalText):
        return value.text
    if isinstance(value, str | int | Decimal):
        return str(value)
    raise _refusal(path, "it is no plain value")


def _escaped(text: str, path: str) -> str:
    if _NOT_XML.search(text):
        raise _refusal(path, "it holds a character that XML 1.0 has no place for")
    return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], text)


def _narrative(div: Any, path: str) -> str:
    """The XHTML as it stands; only the names that HTML has for characters are unknown to XML."""
    if check_xhtml(div) is not None:
        raise _refusal(path, "it is no XHTML")
    return _NAMED.sub(lambda match: match[0] if match[1] in _OF_XML else f"&#{name2codepoint[match[1]]};", div)


def _refusal(path: str, words: str) -> UnsupportedError:
    return UnsupportedError(f"{path} cannot be written as XML: {words}", expression=path, status=406)
