"""What becomes of a code that was looked up in a table: named functions that rows with ``codes`` may call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interop.fhir import names
from interop.hl7.message import Value
from interop.mapping.codes import Code

CodeConverter = Callable[[Code | None, Value | None], Any]


def code_to_code(found: Code | None, value: Value | None) -> str | None:
    """The code alone."""
    return found.target or None if found else None


def code_to_codeableconcept(found: Code | None, value: Value | None) -> dict[str, Any] | None:
    """A coding of the table's system, with the text as sent; of an unknown code the text alone."""
    code, sent = value.texts(2) if value else ("", "")
    if found is None or not found.target:
        return {"text": sent or code} if sent or code else None
    return {"coding": [found.coding()], "text": sent} if sent else {"coding": [found.coding()]}


def code_to_coding(found: Code | None, value: Value | None) -> dict[str, Any] | None:
    """A Coding alone."""
    if found is None or not found.target:
        return None
    return found.coding()


def code_to_modality(found: Code | None, value: Value | None) -> dict[str, Any] | None:
    """A DICOM modality as an order detail (PS3.16 CID 29)."""
    if found is None or not found.target:
        return None
    return {"coding": [{**found.coding(), "system": names.DCM}]}


CODE_CONVERTERS: dict[str, CodeConverter] = {
    function.__name__: function
    for function in (code_to_code, code_to_codeableconcept, code_to_coding, code_to_modality)
}
