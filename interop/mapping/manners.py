"""The ``[acknowledgement]`` table of a site file: how that sender's messages are answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interop.hl7.acknowledgement_mode import ANSWER_TYPES, BY_MESSAGE, MODES, WAYS, Manner
from interop.mapping.rows import TableError, check_keys

_CHOICES: Mapping[str, tuple[str, ...]] = {"mode": MODES, "answer": ANSWER_TYPES, "application": WAYS}


def manner_of(document: Mapping[str, Any], file: str) -> Manner:
    """What a site file says, the defaults where it says nothing; TableError names what is wrong."""
    table = document.get("acknowledgement")
    if table is None:
        return BY_MESSAGE
    if not isinstance(table, dict):
        raise TableError(f"{file}: acknowledgement has to be a table, with {', '.join(_CHOICES)}")
    check_keys(table, tuple(_CHOICES), f"{file} acknowledgement")
    for key, choices in _CHOICES.items():
        if table.get(key, choices[0]) not in choices:
            raise TableError(f"{file} acknowledgement: {key} has to be one of {', '.join(choices)}")
    return Manner(**table)


def in_words(manner: Manner) -> str:
    """The same for people: ``enhanced, answers order``."""
    answers = f", {manner.answer} answers" if manner.answer != BY_MESSAGE.answer else ""
    way = f", application acknowledgements to its {manner.application}" if manner.application != "connection" else ""
    return f"{manner.mode}{answers}{way}"
