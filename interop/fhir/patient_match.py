"""How likely two Patient resources are the same person: a score with its reasons, for people to reconcile by.

The weights are chosen so that only a shared identifier makes a match certain, and that nothing makes it certain while
something contradicts: demographics alone are never more than probable (R4 patient-operation-match.html asks of a server
that "certain" can be trusted).
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from interop.fhir.parameters import fold

Json = dict[str, Any]

CERTAIN, PROBABLE, POSSIBLE = 0.95, 0.75, 0.5
_ALIKE = 0.85  # of SequenceMatcher.ratio, from which two names may be one misspelt
_WEIGHTS = {"family": 0.3, "given": 0.2, "birthDate": 0.35, "gender": 0.05, "telecom": 0.1}


@dataclass(frozen=True, slots=True)
class Likeness:
    """A score from 0 to 1, its grade (value set match-grade), and what it rests on."""

    score: float
    grade: str  # certain | probable | possible | certainly-not
    agrees: tuple[str, ...]
    differs: tuple[str, ...]


def likeness(asked: Json, candidate: Json) -> Likeness:
    """How much of what is asked the candidate says too; what one of them does not say counts neither way."""
    parts = {
        "family": _names(asked, candidate, "family"),
        "given": _names(asked, candidate, "given"),
        "birthDate": _birth(asked.get("birthDate"), candidate.get("birthDate")),
        "gender": _same(asked.get("gender"), candidate.get("gender")),
        "telecom": _telecom(asked, candidate),
    }
    known = {name: value for name, value in parts.items() if value is not None}
    shared, other = _identifiers(asked, candidate)
    agrees = [name for name, value in known.items() if value >= _ALIKE]
    differs = [name for name, value in known.items() if value < 0.5]
    if shared:
        agrees.insert(0, "identifier")
    elif other:
        differs.insert(0, "identifier")
    score = _score(known, shared=shared, other=other and not shared)
    return Likeness(score, _grade(score), tuple(agrees), tuple(differs))


def _score(known: dict[str, float], *, shared: bool, other: bool) -> float:
    weight = sum(_WEIGHTS[name] for name in known)
    demographics = sum(_WEIGHTS[name] * value for name, value in known.items()) / weight if weight else 0.0
    if shared:
        contradicted = bool(weight) and (known.get("birthDate", 1.0) < 0.5 or demographics < 0.5)
        return round(0.6 * demographics + 0.2 if contradicted else 0.95 + 0.05 * demographics, 3)
    enough = weight / sum(_WEIGHTS.values())  # a family name alone says little, however well it agrees
    score = 0.94 * demographics * min(1.0, 0.4 + enough)
    for contradiction in (other, known.get("birthDate", 1.0) < 0.5):
        score *= 0.7 if contradiction else 1
    return round(score, 3)


def _grade(score: float) -> str:
    if score >= CERTAIN:
        return "certain"
    if score >= PROBABLE:
        return "probable"
    return "possible" if score >= POSSIBLE else "certainly-not"


def _identifiers(asked: Json, candidate: Json) -> tuple[bool, bool]:
    """Whether they share a number of one authority, and whether they have different numbers of one."""
    mine, theirs = _numbers(asked), _numbers(candidate)
    return bool(mine & theirs), bool({system for system, _ in mine} & {system for system, _ in theirs})


def _numbers(patient: Json) -> set[tuple[str, str]]:
    return {
        (identifier["system"], identifier["value"])
        for identifier in patient.get("identifier", ())
        if "system" in identifier and "value" in identifier and identifier.get("use") != "old"
    }


def _names(asked: Json, candidate: Json, part: str) -> float | None:
    mine, theirs = _folded(asked, part), _folded(candidate, part)
    if not mine or not theirs:
        return None
    best = max(SequenceMatcher(None, one, other).ratio() for one in mine for other in theirs)
    return best if best >= _ALIKE else best / 2


def _folded(patient: Json, part: str) -> set[str]:
    found = set()
    for name in patient.get("name", ()):
        value = name.get(part, "")
        found.add(fold(" ".join(filter(None, value)) if isinstance(value, list) else value))
    return found - {""}


def _birth(mine: str | None, theirs: str | None) -> float | None:
    """1 the same day; 0.6 a slip of one digit, or day and month exchanged; 0.7 one that is less exact and agrees."""
    if mine is None or theirs is None:
        return None
    size = min(len(mine), len(theirs))
    if mine[:size] == theirs[:size]:
        return 1.0 if size == 10 else 0.7
    if len(mine) == len(theirs) == 10:
        exchanged = mine[:4] == theirs[:4] and mine[5:7] == theirs[8:] and mine[8:] == theirs[5:7]
        if exchanged or sum(a != b for a, b in zip(mine, theirs, strict=True)) == 1:
            return 0.6
    return 0.0


def _same(mine: str | None, theirs: str | None) -> float | None:
    if mine is None or theirs is None or "unknown" in (mine, theirs):
        return None
    return 1.0 if mine == theirs else 0.0


def _telecom(asked: Json, candidate: Json) -> float | None:
    mine, theirs = _reachable(asked), _reachable(candidate)
    if not mine or not theirs:
        return None
    return 1.0 if mine & theirs else 0.5  # people have several numbers


def _reachable(patient: Json) -> set[str]:
    return {
        "".join(char for char in contact["value"].casefold() if char.isalnum() or char == "@")
        for contact in patient.get("telecom", ())
        if "value" in contact
    }
