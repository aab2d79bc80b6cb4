"""Worklist items as a careless console takes them over: what is stored for them names another order or patient."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from uuid import uuid4

from pydicom.dataset import Dataset

from interop.dicom.uids import uid_of
from interop.errors import InvalidContentError
from interop.testing.defects import DEFECTS, Labels, Means

_KEYWORDS = {
    "study_uid": "StudyInstanceUID",
    "patient_id": "PatientID",
    "issuer": "IssuerOfPatientID",
    "patient_name": "PatientName",
    "accession": "AccessionNumber",
}
_EXCLUSIVE = {"missing-accession", "typo-in-accession"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What a study got."""

    defects: tuple[str, ...] = ()  # by their names in DEFECTS
    changed: tuple[str, ...] = ()  # keyword, what stands there and what should


NO_FAULT = Fault()


class Faults:
    """Gives studies their defects; one after another, by a seeded chance."""

    def __init__(self, names: Sequence[str] = (), rate: float | None = None, seed: int | None = None) -> None:
        """Every study all of ``names``; or, with a ``rate`` from 0 to 1, that share of them one: of ``names``, or any.

        ``seed``: the same again, but for UIDs, which are always new. InvalidContentError for a name that is none, or a
        number that is no rate.
        """
        unknown = [name for name in names if name not in DEFECTS]
        if unknown:
            raise InvalidContentError(f"{unknown[0]!r} is no defect; there are {', '.join(DEFECTS)}")
        if rate is not None and not 0 <= rate <= 1:
            raise InvalidContentError(f"{rate:g} is no rate: 0 to 1")
        if rate is None and set(names) >= _EXCLUSIVE:
            raise InvalidContentError(f"{' and '.join(sorted(_EXCLUSIVE))} exclude each other")
        self.seed = random.SystemRandom().randrange(10**6) if seed is None else seed
        self._names, self._rate = tuple(dict.fromkeys(names)), rate
        self._means = Means(random.Random(self.seed), lambda: uid_of(uuid4()))  # noqa: S311 - values to test with

    @classmethod
    def read(cls, text: str, seed: int | None = None) -> Faults:
        """From names and a rate, separated by commas: ``missing-accession,typo-in-id``, ``0.1``, ``0.5,typo-in-id``."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        rates = [number for part in parts if (number := _number(part)) is not None]
        if not parts or len(rates) > 1:
            raise InvalidContentError(f"{text!r} are no defects: names, or one rate, or both, separated by commas")
        return cls([part for part in parts if _number(part) is None], rates[0] if rates else None, seed)

    def of(self, item: Dataset) -> tuple[Dataset, Fault]:
        """The item as it is taken over, and what is wrong with it; the very item where nothing is."""
        names = self._drawn()
        right = Labels(*(str(item.get(_KEYWORDS[one.name]) or "") or None for one in fields(Labels)))  # type: ignore[arg-type]
        wrong = right
        for name in names:
            wrong = DEFECTS[name](wrong, self._means)
        if wrong == right:
            return item, Fault(names)
        return _labelled(item, right, wrong), Fault(names, _changes(right, wrong))

    def _drawn(self) -> tuple[str, ...]:
        if self._rate is None:
            return self._names
        chance = self._means.chance
        return (chance.choice(self._names or tuple(DEFECTS)),) if chance.random() < self._rate else ()


def _labelled(item: Dataset, right: Labels, wrong: Labels) -> Dataset:
    item = copy.deepcopy(item)
    for field, keyword in _KEYWORDS.items():
        if getattr(wrong, field) != getattr(right, field):
            setattr(item, keyword, getattr(wrong, field) or "")
    if not wrong.accession and "IssuerOfAccessionNumberSequence" in item:
        del item.IssuerOfAccessionNumberSequence
    if wrong.study_uid != right.study_uid:  # typed at the console: of no scheduled step
        item.RequestedProcedureID = ""
        item.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID = ""
    return item


def _changes(right: Labels, wrong: Labels) -> tuple[str, ...]:
    return tuple(
        f"{keyword} {getattr(wrong, field) or 'empty'}, not {getattr(right, field) or 'empty'}"
        for field, keyword in _KEYWORDS.items()
        if getattr(wrong, field) != getattr(right, field)
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
