"""Body parts have codes that are in the context groups of PS3.16, under the meaning they have there."""

import pytest
from pydicom.sr._concepts_dict import concepts

from interop.dicom.body_parts import _CODES, body_part_code


def test_every_code_is_one_of_dicoms_with_its_meaning() -> None:
    known = {(value, meaning) for one in concepts["SCT"].values() for value, (meaning, groups) in one.items() if groups}
    assert set(_CODES.values()) <= known


@pytest.mark.parametrize("term", ["CHEST", "chest ", "Chest"])
def test_a_term_has_its_code(term: str) -> None:
    assert body_part_code(term) == ("816094009", "Chest")


@pytest.mark.parametrize(
    ("term", "code"),
    [("BRAIN", ("12738006", "Brain")), ("KIDNEY", ("64033007", "Kidney")), ("LIVER", ("10200004", "Liver"))],
)
def test_organs_have_theirs(term: str, code: tuple[str, str]) -> None:
    assert body_part_code(term) == code


@pytest.mark.parametrize("term", ["", "THORAX", "CHEST, ABDOMEN"])
def test_what_is_no_defined_term_has_none(term: str) -> None:
    assert body_part_code(term) is None
