"""The DICOM JSON model (PS3.18 F.2) as the flat tags that facts are read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_REPRESENTATIONS = ("Alphabetic", "Ideographic", "Phonetic")  # of a PN, in the order of its component groups


def tags_of(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """``"gggg,eeee"`` to text, to a list of items for a sequence, or to None for what has no value here.

    What is no element of the model is left out; nothing is raised for it, an archive may send anything.
    """
    found: dict[str, Any] = {}
    for tag, element in dataset.items():
        if len(tag) == 8 and isinstance(element, Mapping):
            found[f"{tag[:4]},{tag[4:]}".lower()] = _value(element)
    return found


def _value(element: Mapping[str, Any]) -> Any:
    values = element.get("Value")
    if not isinstance(values, list):
        return None
    if element.get("vr") == "SQ":
        return [tags_of(item) for item in values if isinstance(item, Mapping)]
    return "\\".join(_text(value) for value in values)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        groups = [str(value.get(name) or "") for name in _REPRESENTATIONS]
        return "=".join(groups).rstrip("=")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)
