"""Narrative XHTML (R4 narrative.html, invariants txt-1 and txt-2): a ``div`` with formatting and nothing active.

Allowed are the elements and attributes of the official fhir-xhtml.xsd; no script, style element, form, event
attribute or document type, and no URL that runs code.
"""

from __future__ import annotations

from html.entities import name2codepoint
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from interop.fhir.findings import Finding, fault


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_XHTML = "http://www.w3.org/1999/xhtml"
_ELEMENTS = _words(
    "a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4"
    " h5 h6 hr i img kbd li map ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt u ul"
    " var"
)
_ATTRIBUTES = _words(
    "abbr accesskey align alt axis border bgcolor cellhalign cellpadding cellspacing cellvalign char charoff charset"
    " cite class colspan coords dir frame headers height href hreflang id ismap lang longdesc name nohref noshade"
    " nowrap rel rev rowspan rules scope shape size span src start style summary tabindex target title type usemap"
    " valign value width xml:lang xml:base xml:space xmlns"
)
_LINKS = frozenset(("href", "src", "cite", "longdesc", "usemap"))
_SAFE_SCHEMES = ("http:", "https:", "mailto:", "tel:", "ftp:", "data:image/", "urn:", "cid:")
_ENTITIES = frozenset(name2codepoint)


class _Reader:
    """Collects the first fault while expat walks the fragment."""

    def __init__(self) -> None:
        self.problem = ""
        self.depth = 0
        self.content = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.depth == 0 and not _is_root(name, attributes):
            self.problem = self.problem or f'the narrative is a <div xmlns="{_XHTML}">'
        self.depth += 1
        if name.rpartition(":")[2] not in _ELEMENTS:
            self.problem = self.problem or f"<{name[:40]}> is not allowed in a narrative"
        if name.endswith("img"):
            self.content = True
        for attribute, value in attributes.items():
            if attribute not in _ATTRIBUTES and not attribute.startswith("xmlns:"):
                self.problem = self.problem or f"the attribute {attribute[:40]} is not allowed in a narrative"
            elif attribute in _LINKS and not _is_safe_link(value):
                self.problem = self.problem or f"the {attribute} in the narrative is not a plain link"

    def end(self, _name: str) -> None:
        self.depth -= 1

    def text(self, data: str) -> None:
        if not self.content and not data.isspace():
            self.content = True

    def doctype(self, *_: Any) -> None:
        self.problem = self.problem or "a narrative has no document type"

    def entity(self, name: str, _is_parameter: bool) -> None:
        self.content = True
        if name not in _ENTITIES:
            self.problem = self.problem or f"the entity &{name[:20]}; is not known"


def _is_root(name: str, attributes: dict[str, str]) -> bool:
    prefix, _, local = name.rpartition(":")
    return local == "div" and attributes.get(f"xmlns:{prefix}" if prefix else "xmlns") == _XHTML


def _is_safe_link(link: str) -> bool:
    compact = "".join(char for char in link if char > " ").lower()
    head = compact.split("/", 1)[0].split("?", 1)[0].split("#", 1)[0]
    return ":" not in head or compact.startswith(_SAFE_SCHEMES)


def check_xhtml(value: Any) -> list[Finding] | None:
    """The check of the primitive type xhtml."""
    if type(value) is not str:
        return fault("structure", "a narrative is a string that holds XHTML")
    reader = _Reader()
    parser = ParserCreate()
    parser.buffer_text = True
    parser.UseForeignDTD(True)  # lets HTML's named entities pass to entity(); nothing is ever fetched
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.SkippedEntityHandler = reader.entity
    try:
        parser.Parse(value, True)
    except ExpatError as error:
        return fault("invalid", f"the narrative is not well-formed XHTML (line {error.lineno})")
    if not reader.problem and not reader.content:
        reader.problem = "the narrative has no content"
    return fault("invalid", reader.problem) if reader.problem else None
