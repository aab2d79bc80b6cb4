"""Orders and studies as departments really have them, for measuring how studies find their orders. Seeded: same again.

Two hospitals count patients and accession numbers from the same start. Each study says which order it is of, or none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from interop.dicom.study import InstanceFacts, SeriesFacts, StudyFacts
from interop.testing import defects
from interop.testing.defects import Defect, Labels, Means

HOSPITAL, CLINIC = "HOSP", "CLINIC"  # issuers
_FAMILIES = ("Georgiou", "Christou", "Ioannou", "Andreou", "Nicolaou", "Constantinou", "Kyriakou", "Antoniou", "Savva")
_GIVEN = ["Maria", "Andreas", "Eleni", "Georgios", "Panagiotis", "Anna", "Christos", "Katerina", "Nikos", "Sofia"]
_STATIONS = {"CT": ("CT1", "CT2"), "MR": ("MR1",), "US": ("US1",)}
_CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4", "US": "1.2.840.10008.5.1.4.1.1.6.1"}
_FIRST = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)

# What befalls studies, in a thousand of them.
DEFECTS = {
    "as the worklist says": 554,
    "own StudyInstanceUID": 150,
    "missing accession number": 60,
    "swapped names": 60,
    "second order of the day": 40,
    "accession number of two issuers": 40,
    "walk-in without an order": 60,
    "walk-in on a day with an order": 10,
    "typo in the accession number": 8,
    "typo in the patient's number": 6,
    "neither number, two orders": 6,
    "other issuer of the patient's number": 6,
}
_OF_ONE_ORDER: dict[str, Defect] = {
    "own StudyInstanceUID": defects.own_study_uid,
    "missing accession number": defects.missing_accession,
    "swapped names": defects.swapped_name,
    "typo in the accession number": defects.typo_in_accession,
    "typo in the patient's number": defects.typo_in_id,
    "other issuer of the patient's number": defects.other_issuer,
}


@dataclass(frozen=True, slots=True)
class Person:
    """A patient of one of the two hospitals."""

    issuer: str
    number: str
    family: str
    given: str
    birth_date: str


@dataclass(frozen=True, slots=True)
class Order:
    """An imaging order."""

    placer: str
    person: Person
    accession: str
    accession_issuer: str
    study_uid: str
    modality: str
    start: datetime


@dataclass(frozen=True, slots=True)
class Study:
    """What a modality made, and the placer number of the order that it was made for."""

    facts: StudyFacts
    of: str | None
    defect: str


@dataclass(frozen=True, slots=True)
class MatchingSet:
    """All of them; studies in the order in which they come."""

    orders: tuple[Order, ...]
    studies: tuple[Study, ...]


def matching_set(studies: int = 1000, seed: int = 20260302) -> MatchingSet:
    """So many studies with their orders, with every defect in its share."""
    return _Department(random.Random(seed)).make(studies)  # noqa: S311 - values to test with, no secrets


class _Department:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._orders: list[Order] = []
        self._studies: list[Study] = []
        self._people = 0

    def make(self, studies: int) -> MatchingSet:
        total = sum(DEFECTS.values())
        for defect, share in DEFECTS.items():
            for _ in range(max(1, round(studies * share / total))):
                self._one(defect)
        self._chance.shuffle(self._studies)
        return MatchingSet(tuple(self._orders), tuple(self._studies))

    def _one(self, defect: str) -> None:
        order = self._order(self._person())
        made = self._made(order)
        if defect == "as the worklist says":
            self._keep(made, order, defect)
        elif defect in _OF_ONE_ORDER:
            self._keep(self._with(_OF_ONE_ORDER[defect], made), order, defect)
        elif defect.startswith("walk-in"):
            self._walk_in(order, made, defect)
        else:
            self._two(order, made, defect)

    def _with(self, defect: Defect, made: StudyFacts) -> StudyFacts:
        elsewhere = HOSPITAL if made.issuer == CLINIC else CLINIC
        right = Labels(made.study_uid, made.patient_id, made.issuer, made.patient_name, made.accession)
        wrong = defect(right, Means(self._chance, self._uid, elsewhere))
        return replace(
            made,
            study_uid=wrong.study_uid,
            patient_id=wrong.patient_id,
            issuer=wrong.issuer,
            patient_name=wrong.patient_name,
            accession=wrong.accession,
            series=_series(wrong.study_uid, made.series[0].modality),
        )

    def _two(self, order: Order, made: StudyFacts, defect: str) -> None:
        if defect == "accession number of two issuers":
            other = HOSPITAL if order.accession_issuer == CLINIC else CLINIC
            self._order(self._person(other), accession=order.accession)
            stated = order.accession_issuer if self._chance.random() < 0.5 else None
            self._keep(replace(self._own(made), accession_issuer=stated), order, defect)
            return
        sibling = self._order(order.person, start=order.start + timedelta(minutes=40), modality=order.modality)
        if defect == "neither number, two orders":
            made = replace(made, accession=None)
        self._keep(self._own(made), order, defect)
        if defect == "second order of the day":
            self._keep_sibling(sibling)

    def _keep_sibling(self, sibling: Order) -> None:
        if self._chance.random() < 0.1:
            self._keep(self._made(sibling), sibling, "second order of the day")

    def _walk_in(self, order: Order, made: StudyFacts, defect: str) -> None:
        nobodys = self._own(replace(made, accession=None))
        if defect == "walk-in without an order":
            self._orders.remove(order)
        else:  # an emergency on another machine, the same day
            other = self._chance.choice([one for one in _STATIONS if one != order.modality])
            nobodys = replace(nobodys, series=_series(nobodys.study_uid, other), station=_STATIONS[other][0])
        self._keep(nobodys, None, defect)

    def _keep(self, facts: StudyFacts, order: Order | None, defect: str) -> None:
        self._studies.append(Study(facts, order.placer if order else None, defect))

    def _person(self, issuer: str | None = None) -> Person:
        self._people += 1
        birth = datetime(1930, 1, 1, tzinfo=UTC) + timedelta(days=self._chance.randrange(30_000))
        return Person(
            issuer or (CLINIC if self._chance.random() < 0.2 else HOSPITAL),
            f"{100_000 + self._people // 2}",  # both hospitals give most numbers, to different people
            self._chance.choice(_FAMILIES),
            self._chance.choice(_GIVEN),
            birth.date().isoformat(),
        )

    def _order(
        self,
        person: Person,
        *,
        accession: str | None = None,
        start: datetime | None = None,
        modality: str | None = None,
    ) -> Order:
        person = self._distinct(person)
        number = len({order.placer for order in self._orders}) + self._people
        order = Order(
            placer=f"P{number:06d}-{len(self._orders)}-{self._people}",
            person=person,
            accession=accession or f"A{len(self._orders) + self._people:06d}",
            accession_issuer=person.issuer,
            study_uid=self._uid(),
            modality=modality or self._chance.choice(list(_STATIONS)),
            start=start or _FIRST + timedelta(minutes=15 * self._chance.randrange(40 * 24 * 4)),
        )
        self._orders.append(order)
        return order

    def _distinct(self, person: Person) -> Person:
        """Nobody shares both issuer and number with somebody else."""
        taken = {order.person for order in self._orders if order.person.number == person.number}
        clash = any(other != person and other.issuer == person.issuer for other in taken)
        return replace(person, number=f"{500_000 + self._people}") if clash else person

    def _made(self, order: Order) -> StudyFacts:
        station = self._chance.choice(_STATIONS[order.modality])
        return StudyFacts(
            study_uid=order.study_uid,
            patient_id=order.person.number,
            issuer=order.person.issuer,
            patient_name=f"{order.person.family}^{order.person.given}",
            birth_date=order.person.birth_date,
            accession=order.accession,
            started=order.start + timedelta(minutes=self._chance.randrange(-60, 6 * 60)),
            series=_series(order.study_uid, order.modality),
            station=station,
            quiet=True,
        )

    def _own(self, facts: StudyFacts) -> StudyFacts:
        return self._with(defects.own_study_uid, facts)

    def _uid(self) -> str:
        return f"2.25.{self._chance.getrandbits(100)}"


def _series(study_uid: str, modality: str) -> tuple[SeriesFacts, ...]:
    instance = InstanceFacts(f"{study_uid}.1.1", _CLASSES[modality], 1)
    return (SeriesFacts(f"{study_uid}.1", modality, 1, instances=(instance,)),)
