"""XML documents as resources (R4 xml.html), by the definitions, in one pass over expat.

There is no document type, so no entity of anybody's making and nothing to fetch; nesting is bounded, and an element
that no definition has ends the reading at once. Every refusal says the line, and the element as an expression.
"""

from __future__ import annotations

from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from interop.errors import MalformedError
from interop.fhir.elements import Element, Elements, by_key, elements_of, resource_elements
from interop.fhir.json import MAX_DEPTH, number

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
_NUMBERS = frozenset(("integer", "positiveInt", "unsignedInt", "decimal"))
_ROOT = Element("", "Resource", False)
_SCHEMA_LOCATION = "http://www.w3.org/2001/XMLSchema-instance schemaLocation"


def from_xml(document: bytes) -> dict[str, Any]:
    """The resource that the document says; MalformedError (400) with its line where it says none."""
    try:
        source = document.decode("utf-8-sig").encode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8 (byte {error.start})") from error
    reader = _Reader(source)
    return reader.read()


class _Frame:
    """An element that has begun: what it is, and what was read of it."""

    __slots__ = ("element", "elements", "place", "said", "step", "value")

    def __init__(self, element: Element, elements: Elements, step: str) -> None:
        self.element = element
        self.elements = elements
        self.step = step
        self.value: dict[str, Any] = {}
        self.said: str | None = None  # the value attribute of a primitive
        self.place = -1  # of the last child, in the definition's order


class _Reader:
    """The frames of the elements that are open, the innermost last."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.frames: list[_Frame] = [_Frame(_ROOT, {}, "")]
        self.div_depth = 0
        self.div_start = 0
        self.parser = ParserCreate("utf-8", " ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.parser.ProcessingInstructionHandler = self.instruction

    def read(self) -> dict[str, Any]:
        try:
            self.parser.Parse(self.source, True)
        except ExpatError as error:
            raise MalformedError(f"not XML: {error}") from error
        resource: dict[str, Any] = self.frames[0].value["resource"]
        return resource

    def refuse(self, words: str, below: str = "") -> MalformedError:
        """The refusal, at the line that is being read."""
        path = ".".join(frame.step for frame in self.frames if frame.step) + below
        line = self.parser.CurrentLineNumber
        return MalformedError(f"line {line}: {words}", expression=path or ())

    def doctype(self, *_: Any) -> None:
        raise self.refuse("a document type is not allowed")

    def instruction(self, *_: Any) -> None:
        raise self.refuse("a processing instruction is not allowed (R4 xml.html)")

    # elements

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.div_depth:
            self.div_depth += 1
            if self.div_depth > MAX_DEPTH:
                raise self.refuse(f"the narrative is nested deeper than {MAX_DEPTH} levels")
            return
        if len(self.frames) > MAX_DEPTH:
            raise self.refuse(f"the XML is nested deeper than {MAX_DEPTH} levels")
        space, _, local = name.rpartition(" ")
        frame = self.frames[-1]
        if frame.element.kind == "Resource" and not frame.elements:
            self._resource(space, local, attributes)
            return
        element = self._child(frame, space, local)
        if element.kind == "xhtml":
            self._begin_narrative()
        else:
            self._open(frame, element, attributes)

    def _resource(self, space: str, local: str, attributes: dict[str, str]) -> None:
        """What stands in contained, in an entry, or at the root: one element named as its type."""
        holder = self.frames[-1]
        elements = resource_elements(local)
        if space != FHIR or "meta" not in elements:
            raise self.refuse(f"<{local[:60]}> is no resource of R4 (in the namespace {FHIR})")
        if holder.value:
            raise self.refuse("one resource has its place here")
        for name in attributes:
            if name != _SCHEMA_LOCATION:
                raise self.refuse(f"a resource has no attribute {name[:60]}")
        self.frames.append(_Frame(Element(local, local, False), elements, local if len(self.frames) == 1 else ""))
        self.frames[-1].value["resourceType"] = local

    def _child(self, frame: _Frame, space: str, local: str) -> Element:
        place, element = by_key(frame.elements).get(local, (0, None))
        wanted = XHTML if element is not None and element.kind == "xhtml" else FHIR
        if element is None or space != wanted or self._is_attribute(frame, element):
            raise self.refuse(f"<{local[:60]}> has no place in {frame.element.key or frame.element.kind}")
        if place < frame.place:
            raise self.refuse(f"<{local}> is out of order", f".{local}")
        if place == frame.place and not element.many:
            raise self.refuse(f"<{local}> may be given once, and in one type", f".{local}")
        frame.place = place
        return element

    @staticmethod
    def _is_attribute(frame: _Frame, element: Element) -> bool:
        return element.kind == "element-id" or (frame.element.kind == "Extension" and element.key == "url")

    def _open(self, frame: _Frame, element: Element, attributes: dict[str, str]) -> None:
        step = element.key
        if element.many:
            step += f"[{_count(frame.value, element)}]"
        opened = _Frame(element, elements_of(element), step)
        self.frames.append(opened)
        for name, text in attributes.items():
            if name == "value" and element.is_primitive:
                opened.said = text
            elif name == "id" and "id" in opened.elements and element.kind != "Resource":
                opened.value["id"] = text
            elif name == "url" and element.kind == "Extension":
                opened.value["url"] = text
            else:
                raise self.refuse(f"<{element.key}> has no attribute {name[:60]}")

    def end(self, _name: str) -> None:
        if self.div_depth:
            self.div_depth -= 1
            if self.div_depth == 0:
                self._end_narrative()
            return
        ended = self.frames.pop()
        parent = self.frames[-1]
        if parent.element.kind == "Resource" and not parent.elements:
            parent.value["resource"] = ended.value
            return
        element = ended.element
        if element.is_primitive:
            self._keep_primitive(parent, ended)
        elif element.kind == "Resource":
            if "resource" not in ended.value:
                raise self.refuse(f"<{element.key}> holds no resource", f".{element.key}")
            _keep(parent.value, element, ended.value["resource"])
        else:
            _keep(parent.value, element, ended.value)

    def _keep_primitive(self, parent: _Frame, ended: _Frame) -> None:
        element, value = ended.element, _plain(ended)
        beside = ended.value or None
        if value is None and beside is None:
            raise self.refuse(f"<{element.key}> has neither a value nor an extension", f".{ended.step}")
        if not element.many:
            if value is not None:
                parent.value[element.key] = value
            if beside is not None:
                parent.value[f"_{element.key}"] = beside
            return
        length = _count(parent.value, element)
        for key, item in ((element.key, value), (f"_{element.key}", beside)):
            if item is not None or key in parent.value:
                parent.value.setdefault(key, [None] * length).append(item)

    def text(self, data: str) -> None:
        if not self.div_depth and data.strip():
            raise self.refuse("text has no place here: a value stands in the attribute value")

    # the narrative, kept as it is written

    def _begin_narrative(self) -> None:
        self.div_depth = 1
        self.div_start = self.parser.CurrentByteIndex

    def _end_narrative(self) -> None:
        end = self.source.find(b">", self.parser.CurrentByteIndex) + 1
        div = self.source[self.div_start : end].decode()
        if not div.endswith("</div>") or f'"{XHTML}"' not in div[: div.find(">")].replace("'", '"'):
            raise self.refuse(f'the narrative is <div xmlns="{XHTML}">…</div>', ".div")
        self.frames[-1].value["div"] = div


def _plain(frame: _Frame) -> Any:
    """The JSON value of a primitive; text that is none of its type is left to validation."""
    text, kind = frame.said, frame.element.kind
    if text is None:
        return None
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if kind in _NUMBERS:
        found = number(text)
        return text if found is None else found
    return text


def _count(value: dict[str, Any], element: Element) -> int:
    return max(len(value.get(key, ())) for key in (element.key, f"_{element.key}"))


def _keep(holder: dict[str, Any], element: Element, value: Any) -> None:
    if element.many:
        holder.setdefault(element.key, []).append(value)
    else:
        holder[element.key] = value
