"""Person names keep their parts, and data never becomes structure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.dicom.person_names import checked_person_name, name_parts, person_name
from interop.errors import InvalidContentError


def test_prefix_comes_before_suffix() -> None:
    assert person_name("Adams", "John Robert Quincy", "", "Rev.", "B.A. M.Div.") == (
        "Adams^John Robert Quincy^^Rev.^B.A. M.Div."
    )
    parts = name_parts("Adams^John^^Rev.^B.A.")
    assert (parts.prefix, parts.suffix) == ("Rev.", "B.A.")
    assert parts.readable == "Rev. John Adams B.A."


def test_trailing_components_and_groups_are_left_out() -> None:
    assert person_name("Παπαδόπουλος", "Νίκος") == "Παπαδόπουλος^Νίκος"
    assert person_name("Yamada", "Tarou", ideographic="山田^太郎", phonetic="やまだ^たろう") == (
        "Yamada^Tarou=山田^太郎=やまだ^たろう"
    )
    assert person_name(ideographic="山田^太郎") == "=山田^太郎"
    assert person_name() == ""


def test_a_name_is_taken_apart_in_all_its_groups() -> None:
    parts = name_parts("Yamada^Tarou=山田^太郎=やまだ^たろう")
    assert (parts.family, parts.given, parts.ideographic, parts.phonetic) == (
        "Yamada",
        "Tarou",
        "山田^太郎",
        "やまだ^たろう",
    )
    assert name_parts("=山田^太郎").readable == "山田 太郎"
    assert name_parts("A^B^C^D^E^F").suffix == "E F"
    assert name_parts("").readable == ""


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_part_breaks_out_of_its_component(family: str, given_name: str) -> None:
    parts = name_parts(person_name(family, given_name))
    assert (parts.middle, parts.prefix, parts.suffix, parts.ideographic) == ("", "", "", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=b=c=d", "three"),
        ("a\\b", "backslash"),
        ("a\nb", "control"),
        ("a\x1b$Bb", "control"),
        ("A" * 65, "64"),
        ("a^b^c^d^e^f", "five"),
    ],
)
def test_what_dicom_does_not_allow_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidContentError, match=said):
        checked_person_name(text)
