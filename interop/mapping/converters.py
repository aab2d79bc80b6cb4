"""The register of named functions that rows of ``mappings/segments`` may call, and what they share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from interop.hl7.message import Value
from interop.mapping.context import Context

Converter = Callable[[Value, Context], Any]
CONVERTERS: dict[str, Converter] = {}
NEEDS: dict[str, tuple[str, ...]] = {}  # converter -> code tables that it reads
# The same for a text of letters and digits alone, which can have no components, escapes or blanks; None: ask the other.
PLAIN: dict[str, Callable[[str, Context], Any]] = {}


def converter(*tables: str) -> Callable[[Converter], Converter]:
    """Make a function known to the rows by its name."""

    def register(function: Converter) -> Converter:
        CONVERTERS[function.__name__] = function
        NEEDS[function.__name__] = tables
        return function

    return register


def plain(name: str) -> Callable[[Callable[[str, Context], Any]], Callable[[str, Context], Any]]:
    """Make a function known as what the converter of that name does with letters and digits alone."""

    def register(function: Callable[[str, Context], Any]) -> Callable[[str, Context], Any]:
        PLAIN[name] = function
        return function

    return register


_UNSAID = re.compile(r"[\s\x00-\x1f]+")


def code_of(text: str) -> str:
    """The text as a FHIR code: no blanks around it, single ones inside (R4 datatypes.html#code)."""
    if text.isalnum():
        return text
    code = _UNSAID.sub(" ", text).strip()
    return text if code == text else code


def compact(**elements: Any) -> dict[str, Any]:
    """The elements that have a value; FHIR has no empty ones (R4 json.html)."""
    return {name: value for name, value in elements.items() if value or value == 0}
