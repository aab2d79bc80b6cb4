"""What is written for a station can be read with the character set that it is said to be in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings
from pydicom.valuerep import PersonName

from interop.dicom.character_sets import CharacterSet, checked_character_set
from interop.errors import InvalidContentError

GREEK, RUSSIAN = "Παπαδόπουλος^Νίκος", "Иванова^Анна"
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"


def read(raw: bytes, charset: str) -> str:
    return str(PersonName(raw, list(convert_encodings(charset.split("\\")))).decode())


@pytest.mark.parametrize(
    ("charset", "name", "shown"),
    [
        ("ISO_IR 192", JAPANESE, JAPANESE),
        ("ISO_IR 126", GREEK, GREEK),
        ("ISO_IR 100", GREEK, "Papadopoulos^Nikos"),
        ("ISO_IR 100", "Μπούρας^Οὐρανία", "Mpouras^Ourania"),
        ("ISO_IR 144", RUSSIAN, RUSSIAN),
        ("ISO_IR 100", RUSSIAN, "Ivanova^Anna"),
        ("ISO_IR 100", "Müller^Łukasz", "Müller^Lukasz"),
        ("", "Müller^Jörg", "Muller^Jorg"),
        ("\\ISO 2022 IR 87", JAPANESE, JAPANESE),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        ("\\ISO 2022 IR 149", KOREAN, KOREAN),
        ("GB18030", "Wang^XiaoDong=王^小东", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 100", JAPANESE, "Yamada^Tarou"),
        ("ISO_IR 100", "=山田^太郎", "=??^??"),
        ("\\ISO 2022 IR 87", GREEK, "Papadopoulos^Nikos"),
    ],
)
def test_names(charset: str, name: str, shown: str) -> None:
    assert read(CharacterSet(charset).encode_name(name), charset) == shown


@given(
    st.sampled_from(["", "ISO_IR 100", "ISO_IR 126", "ISO_IR 144", "ISO_IR 192", "\\ISO 2022 IR 87", "GB18030"]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\^="), min_size=1, max_size=12),
)
def test_any_text_can_be_written_and_what_fits_comes_back(charset: str, text: str) -> None:
    written = CharacterSet(charset)
    raw = written.encode(text)
    if written.fits(text) and "2022" not in charset:
        (codec,) = convert_encodings([charset]) if charset else ("ascii",)
        assert raw.decode(codec) == text


@pytest.mark.parametrize("charset", ["ISO_IR 999", "UTF-8", "ISO_IR 192\\ISO 2022 IR 87", "\\ISO_IR 100"])
def test_what_dicom_has_not_is_refused(charset: str) -> None:
    with pytest.raises(InvalidContentError):
        checked_character_set(charset)
