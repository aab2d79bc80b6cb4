"""What goes wrong with images before they are stored: they name another order or patient than they are of.

Values in, values out, by a chance that is given. The set for measuring (``matching_set``) and the simulated modality
(``faulty``) are both made with these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Labels:
    """Whose the images say that they are, and of which order."""

    study_uid: str
    patient_id: str | None
    issuer: str | None  # IssuerOfPatientID
    patient_name: str | None
    accession: str | None


@dataclass(frozen=True, slots=True)
class Means:
    """What a defect needs beside the labels."""

    chance: Random
    new_uid: Callable[[], str]
    elsewhere: str = "ELSEWHERE"  # the issuer that counts other people by the same numbers


Defect = Callable[[Labels, Means], Labels]


def own_study_uid(labels: Labels, means: Means) -> Labels:
    """The modality numbers its studies itself."""
    return replace(labels, study_uid=means.new_uid())


def missing_accession(labels: Labels, means: Means) -> Labels:
    """Typed at the console, and the accession number left out."""
    return own_study_uid(replace(labels, accession=None), means)


def typo_in_accession(labels: Labels, means: Means) -> Labels:
    """Typed at the console, with a slip."""
    labels = own_study_uid(labels, means)
    return replace(labels, accession=labels.accession and mistyped(labels.accession, means.chance))


def typo_in_id(labels: Labels, means: Means) -> Labels:
    """Another PatientID, with the worklist's StudyInstanceUID or without."""
    labels = replace(labels, patient_id=labels.patient_id and mistyped(labels.patient_id, means.chance))
    return _perhaps_by_hand(labels, means)


def swapped_name(labels: Labels, means: Means) -> Labels:
    """The given name stands where the family name should; with the worklist's StudyInstanceUID or without."""
    groups = [_swapped(group) for group in (labels.patient_name or "").split("=")]
    return _perhaps_by_hand(replace(labels, patient_name="=".join(groups)), means)


def other_issuer(labels: Labels, means: Means) -> Labels:
    """A device that states its own hospital's issuer for everybody."""
    return replace(labels, issuer=means.elsewhere)


DEFECTS: Mapping[str, Defect] = MappingProxyType(
    {
        "missing-accession": missing_accession,
        "typo-in-accession": typo_in_accession,
        "typo-in-id": typo_in_id,
        "swapped-name": swapped_name,
        "other-issuer": other_issuer,
        "own-study-uid": own_study_uid,
    }
)


def mistyped(text: str, chance: Random) -> str:
    """Two neighbours exchanged, or another digit, near the end: often somebody else's number."""
    if len(text) < 2:
        return str((int(text) + chance.randrange(1, 10)) % 10) if text.isdecimal() else f"{text}0"
    position = chance.randrange(max(len(text) - 3, 0), len(text) - 1)
    one, other = text[position], text[position + 1]
    if one != other and chance.random() < 0.5:
        return text[:position] + other + one + text[position + 2 :]
    digit = (int(other) + chance.randrange(1, 10)) % 10 if other.isdecimal() else chance.randrange(10)
    return text[: position + 1] + str(digit) + text[position + 2 :]


def _perhaps_by_hand(labels: Labels, means: Means) -> Labels:
    return own_study_uid(labels, means) if means.chance.random() < 0.5 else labels


def _swapped(group: str) -> str:
    family, _, rest = group.partition("^")
    given, mark, rest = rest.partition("^")
    return f"{given}^{family}{mark}{rest}" if group else ""
