"""How likely two patients are one: certain only by number, never against the evidence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.fhir.patient_match import likeness

Json = dict[str, Any]


def person(
    family: str | None = "Papadopoulos",
    given: str | None = "Nikos",
    birth: str | None = "1960-04-12",
    gender: str | None = "male",
    number: str | None = None,
    phone: str | None = None,
) -> Json:
    name = {"family": family, "given": [given] if given else None}
    made: Json = {
        "name": [{key: value for key, value in name.items() if value}],
        "birthDate": birth,
        "gender": gender,
        "identifier": [{"system": "urn:a", "value": number}] if number else None,
        "telecom": [{"system": "phone", "value": phone}] if phone else None,
    }
    return {"resourceType": "Patient", **{key: value for key, value in made.items() if value}}


@pytest.mark.parametrize(
    ("asked", "candidate", "grade"),
    [
        (person(number="1"), person(number="1"), "certain"),
        (person(number="1", family=None, given=None, birth=None, gender=None), person(number="1"), "certain"),
        (person(), person(), "probable"),  # no number: never certain
        (person(family="ΠΑΠΑΔΟΠΟΥΛΟΣ"), person(family="Παπαδόπουλος"), "probable"),
        (person(family="Papadopulos"), person(), "probable"),
        (person(birth="1960-12-04"), person(), "probable"),  # day and month exchanged
        (person(birth="1961-04-12"), person(), "probable"),  # a slip of one digit
        (person(number="1"), person(number="2"), "possible"),  # all the same but the number
        (person(birth="1985-09-30"), person(), "certainly-not"),
        (person(family="Ioannou", given="Maria", gender="female"), person(), "certainly-not"),
        (person(number="1"), person(number="1", family="Ioannou", given="Maria", birth="1985-09-30"), "certainly-not"),
        (person(given=None, birth=None, gender=None), person(), "possible"),  # a family name alone
        (person(birth="1960"), person(), "probable"),
    ],
)
def test_grades(asked: Json, candidate: Json, grade: str) -> None:
    assert likeness(asked, candidate).grade == grade, likeness(asked, candidate)


def test_a_match_says_what_it_rests_on() -> None:
    found = likeness(person(number="1", phone="+357 22 1"), person(number="2", birth="1985-09-30", phone="00357221"))
    assert found.agrees == ("family", "given", "gender")
    assert found.differs == ("identifier", "birthDate")


def test_a_number_that_is_no_longer_used_proves_nothing() -> None:
    old = person(number="1", family=None, given=None, birth=None, gender=None)
    old["identifier"][0]["use"] = "old"
    assert likeness(old, person(number="1")).grade == "certainly-not"


PEOPLE = st.builds(
    person,
    family=st.sampled_from([None, "A", "Papadopoulos", "Papadopulos", "Ioannou", "Ωμέγα"]),
    given=st.sampled_from([None, "Nikos", "Maria"]),
    birth=st.sampled_from([None, "1960", "1960-04", "1960-04-12", "1960-12-04", "1985-09-30"]),
    gender=st.sampled_from([None, "male", "female", "unknown"]),
    number=st.sampled_from([None, "1", "2"]),
    phone=st.sampled_from([None, "1", "+357 22"]),
)


@given(PEOPLE, PEOPLE)
def test_a_score_is_a_probability_and_certainty_needs_a_number(asked: Json, candidate: Json) -> None:
    found = likeness(asked, candidate)
    assert 0 <= found.score <= 1
    if found.grade == "certain":
        assert "identifier" in found.agrees
        assert "birthDate" not in found.differs
