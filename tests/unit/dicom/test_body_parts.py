"""Body parts have the codes that PS3.16 gives them."""

import pytest
from pydicom.sr.codedict import codes

from interop.dicom.body_parts import _CODES, body_part_code


def test_every_code_is_one_of_cid_4031() -> None:
    known = {(code.value, code.meaning) for code in codes.CID4031.concepts.values()}
    assert set(_CODES.values()) <= known


@pytest.mark.parametrize("term", ["CHEST", "chest ", "Chest"])
def test_a_term_has_its_code(term: str) -> None:
    assert body_part_code(term) == ("816094009", "Chest")


@pytest.mark.parametrize("term", ["", "THORAX", "CHEST, ABDOMEN"])
def test_what_is_no_defined_term_has_none(term: str) -> None:
    assert body_part_code(term) is None
