"""Writing messages: data never becomes structure."""

from __future__ import annotations

import hl7
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interop.errors import InvalidContentError
from interop.hl7.charsets import UTF8
from interop.hl7.framing import Frame, FrameDecoder, frame
from interop.hl7.message import parse
from interop.hl7.writing import UnwritableError, segment, write

MSH = ("MSH", {3: "A", 4: "B", 9: ("ORU", "R01"), 10: "1"})
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(
    st.sampled_from('|^~\\&\r\n\x0b\x1c\x00\u2028\x85\t"#TSFRE.br X0D'), max_size=20
)


@given(text=TEXT, number=st.integers(1, 30))
@settings(max_examples=1000, deadline=None)
@example(text='""', number=5)
@example(text="\r\n\x0b\x1c\x00|^~\\&\u2028\x85\x7f", number=3)
@example(text="\\.br\\", number=3)
@example(text="\\X0D\\", number=3)
def test_any_text_in_any_field_comes_back_equal(text: str, number: int) -> None:
    raw = write([MSH, ("ZZZ", {number: text, 31: "end"}), ("ZZY", {1: "x"})])
    found = FrameDecoder(10_000).feed(frame(raw))
    assert found == [Frame(raw)]
    message = parse(raw)
    assert message.issues == ()
    assert [one.name for one in message.segments] == ["MSH", "ZZZ", "ZZY"]
    assert message.get(f"ZZZ-{number}") == text
    assert message.get("ZZZ-31") == "end"


@given(repetitions=st.lists(st.tuples(TEXT, st.tuples(TEXT, TEXT), TEXT), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_components_subcomponents_and_repetitions_come_back_equal(
    repetitions: list[tuple[str, tuple[str, str], str]],
) -> None:
    message = parse(write([MSH, ("ZZZ", {3: [*repetitions], 4: "end"})]))
    for at, (first, (left, right), third) in enumerate(repetitions, 1):
        assert message.get(f"ZZZ-3[{at}].1") == first
        assert message.get(f"ZZZ-3[{at}].2.1") == left
        assert message.get(f"ZZZ-3[{at}].2.2") == right
        assert message.get(f"ZZZ-3[{at}].3") == third
    assert message.get("ZZZ-4") == "end"


def test_trailing_emptiness_is_not_written() -> None:
    assert segment("PID", {3: ("1", "", ("", "")), 5: "", 7: ()}) == "PID|||1"
    assert segment("MSH", {3: "A"}) == "MSH|^~\\&|A"


@pytest.mark.parametrize("charset", ["8859/7", "UNICODE UTF-8", "~ISO IR87".strip("~"), "GB 18030-2000"])
def test_other_character_sets_are_written(charset: str) -> None:
    message = parse(write([MSH, ("ZZZ", {1: "Ωμέγα" if "IR87" not in charset else "患者"})], charset))
    assert message.charset == charset
    assert message.get("ZZZ-1") in ("Ωμέγα", "患者")


SETS = ["8859/1", "8859/7", "ISO IR87", "GB 18030-2000", "KS X 1001", "BIG-5", "WINDOWS-31J", "ASCII", UTF8]
SETS += ["UNICODE UTF-16", "UNICODE UTF-32"]


@given(
    text=TEXT | st.text(st.sampled_from("許功蓋患者홍길동王ΆΩ¥‾ｶé|^~\\&\r\x1b\x0e"), max_size=20),
    charset=st.sampled_from(SETS),
)
@settings(max_examples=1500, deadline=None)
def test_in_other_sets_too_text_comes_back_equal_or_is_refused(text: str, charset: str) -> None:
    try:
        raw = write([MSH, ("ZZZ", {3: text, 4: "end"}), ("ZZY", {1: "x"})], charset)
    except InvalidContentError as error:
        refused = error.issues[0].location
    else:
        refused = None
    if refused:
        assert refused == "ZZZ"
        return
    assert FrameDecoder(10_000).feed(frame(raw)) == [Frame(raw)]
    message = parse(raw)
    if message.charset != charset:
        assert charset in ("8859/1", "8859/7", "ASCII")  # a reader takes what is valid UTF-8 for UTF-8
        return
    assert [one.name for one in message.segments] == ["MSH", "ZZZ", "ZZY"]
    assert message.get("ZZZ-3") == text
    assert message.get("ZZZ-4") == "end"


@pytest.mark.parametrize("name", ["Миша", "Ћирић", "“Zoë”", "\U0001000b", "ଅ"])
def test_a_wide_character_with_a_byte_of_the_framing_is_refused_with_its_segment(name: str) -> None:
    """In UTF-16 half of it would begin or end the frame: the receiver would have part of the message."""
    with pytest.raises(UnwritableError, match="cannot go through MLLP in UNICODE UTF-16") as caught:
        write([MSH, ("PID", {5: name})], "UNICODE UTF-16")
    assert caught.value.issues[0].location == "PID"
    assert write([MSH, ("PID", {5: name})])


def test_japanese_is_stated_as_the_standard_has_it() -> None:
    raw = write([MSH, ("ZZZ", {1: "患者"})], "ISO IR87")
    assert raw.split(b"\r")[0].endswith(b"|~ISO IR87||ISO 2022-1994")
    assert parse(raw).issues == ()


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidContentError, match="U\\+D800"):
        write([MSH, ("PID", {5: "\ud800"})])


def test_a_character_without_a_place_in_the_set_is_refused_with_its_segment() -> None:
    with pytest.raises(InvalidContentError) as caught:
        write([MSH, ("PID", {5: "Νίκος"})], "8859/1")
    assert caught.value.issues[0].location == "PID"
    assert "Νίκος" not in caught.value.text


def test_what_is_no_name_or_set_is_a_programming_error() -> None:
    with pytest.raises(ValueError):
        segment("pid", {})
    with pytest.raises(ValueError):
        write([MSH], "KLINGON")


def test_python_hl7_reads_what_we_write() -> None:
    raw = write([MSH, ("PID", {3: [("1", "", "", ("NS", "1.2", "ISO")), ("2",)], 5: ("Πα|πα", "Ν&ίκος")})])
    theirs = hl7.parse(raw.decode())
    assert theirs.unescape(str(theirs["PID.F5.R1.C1"])) == "Πα|πα"
    assert str(theirs["PID.F3.R1.C4.S2"]) == "1.2"
    assert str(theirs["PID.F3.R2.C1"]) == "2"
