"""A message's structure as a tree of segments and groups, and a list of segments laid along it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from interop.hl7.message import Value

Missing = tuple[str, str]  # a segment, and the group that it is missing in ("" for the message itself)


def _shared(message: str, structure: str, events: str) -> dict[str, str]:
    return {f"{message}_{event}": f"{message}_{structure}" for event in events.split()}


# Table 0354: events that share the structure of another, for senders that leave MSH-9.3 out.
_SHARED = {
    **_shared("ADT", "A01", "A04 A08 A13"),
    **_shared("ADT", "A05", "A14 A28 A31"),
    **_shared("ADT", "A06", "A07"),
    **_shared("ADT", "A09", "A10 A11 A12"),
    **_shared("ADT", "A21", "A22 A23 A25 A26 A27 A29 A32 A33"),
    **_shared("ADT", "A30", "A34 A35 A36 A46 A47 A48 A49"),
    **_shared("ADT", "A39", "A40 A41 A42"),
    **_shared("ADT", "A43", "A44"),
    **_shared("ADT", "A50", "A51"),
    **_shared("MDM", "T01", "T03 T05 T07 T09 T11"),
    **_shared("MDM", "T02", "T04 T06 T08 T10"),
    **_shared("SIU", "S12", "S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S26"),
}


def structure_name(type_: Value, known: Container[str]) -> str | None:
    """The structure of MSH-9: its third component, else what the event's is; None for one that is not known."""
    stated, event = type_.text(3).strip(), f"{type_.text(1).strip()}_{type_.text(2).strip()}"
    for name in (stated, event, _SHARED.get(event, ""), type_.text(1).strip()):
        if name and name in known:
            return name
    return None


@dataclass(slots=True)
class _Walk:
    """One attempt to lay the segments along the structure."""

    names: Sequence[str]
    at: int = 0
    missing: list[Missing] = field(default_factory=list)

    def next(self) -> str | None:
        return self.names[self.at] if self.at < len(self.names) else None


class Structure:
    """A structure of hl7apy's: ``(sequence|choice, ((name, reference, (least, most), SEG|GRP), …))``."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference
        self.names = _names(reference)

    def match(self, names: Sequence[str]) -> tuple[set[int], list[Missing]]:
        """The indexes of the segments that stand where they may not, and the segments that are missing.

        Segments that are nowhere in the structure are passed over. One that has no place is taken out, and the rest
        laid along again: so one fault does not make all that follows wrong.
        """
        left = [index for index, name in enumerate(names) if name in self.names]
        misplaced: set[int] = set()
        while True:
            walk = _Walk([names[index] for index in left])
            _lay(walk, self._reference, "")
            if walk.at >= len(left):
                return misplaced, walk.missing
            misplaced.add(left.pop(walk.at))


def _lay(walk: _Walk, reference: Any, group: str) -> None:
    shape, children = reference[0], reference[1]
    if shape == "choice":
        children = [child for child in children if _begins(child, walk.next(), expected=False)][:1]
    for child in children:
        name, inner, (least, most), kind = child
        count = 0
        while (most < 0 or count < most) and _begins(child, walk.next(), expected=count < least):
            before = walk.at
            if kind == "SEG":
                walk.at += 1
            else:
                _lay(walk, inner, name)
            if walk.at == before:
                break
            count += 1
        if count < least:
            walk.missing.append((_first_name(child), group))


def _begins(child: Any, name: str | None, *, expected: bool) -> bool:
    """Whether a segment of this name begins the child; an expected group may lack its first segment."""
    if name is None:
        return False
    if child[3] == "SEG":
        return bool(child[0] == name)
    if expected and name in _names(child[1]):
        return True
    shape, children = child[1][0], child[1][1]
    for inner in children:
        if _begins(inner, name, expected=False):
            return True
        if shape == "sequence" and inner[2][0] > 0:
            return False
    return False


def _names(reference: Any) -> frozenset[str]:
    found: set[str] = set()
    for name, inner, _, kind in reference[1]:
        found |= {name} if kind == "SEG" else _names(inner)
    return frozenset(found)


def _first_name(child: Any) -> str:
    while child[3] != "SEG":
        child = child[1][1][0]
    return str(child[0])
