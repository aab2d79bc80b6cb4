"""JSON as FHIR has it: what is read can be written and is the same; what is not JSON is refused."""

from __future__ import annotations

import json as plain
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.errors import MalformedError
from interop.fhir.json import MAX_DEPTH, DecimalText, dumps, indented, loads

NUMBERS = [
    "1.10",
    "0.0",
    "-0.5",
    "1E5",
    "1.0e-3",
    "123456789012345678901234567890",
    "-0",
    "100",
    "12345678901234567890",
]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_written_as_they_were_read(text: str) -> None:
    assert dumps(loads(text)) == text.encode()
    assert loads(text) == Decimal(text)


def test_a_decimal_is_a_decimal() -> None:
    value = loads("1.10")
    assert isinstance(value, DecimalText)
    assert value == Decimal("1.1")
    assert dumps({"a": Decimal("2.50")}) == b'{"a":2.50}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "{'a':1}",
        "NaN",
        "Infinity",
        "-Infinity",
        '{"a":1,"a":2}',
        '{"a":{"b":1,"b":1}}',
        "01",
        "+1",
        "1.",
        '"\\ud800"',
        '"\\udc00x"',
        '"\\u0000"',
        '"\\\\\\u0000"',
        '"a\x00"',
        "1e400",
        "-1e400",
        "9" * 400,
        "1e99999999999999999999",
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 1_000_000,
        '{"a":' * 1_000_000,
        "1" + "0" * 5000,
    ],
)
def test_what_is_not_json_or_cannot_be_written_is_refused(text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        loads(text.encode())
    assert caught.value.status == 400


@pytest.mark.parametrize("data", [b"\xff", b"\xc3\x28", b'"\xed\xa0\x80"', "{}".encode("utf-16")])
def test_what_is_not_utf8_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        loads(data)


@pytest.mark.parametrize(
    "text",
    [
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        plain.dumps("[" * 500),
        plain.dumps({'"[{\\': ['\\"[[[' * 60] * 70}),
        plain.dumps([[]] * 500),
        '"\\ud83d\\ude00"',
        '"\\\\ud800 \\\\u0000"',
        '\ufeff{"a":1}',
    ],
)
def test_what_only_looks_deep_or_broken_is_read(text: str) -> None:
    assert loads(text.encode()) == plain.loads(text.removeprefix("\ufeff"))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_written_is_read_as_the_same(value: object) -> None:
    try:
        written = dumps(value)
    except TypeError:  # an integer beyond 64 bits that never was text
        return
    if b"\\u0000" in written:
        return
    assert loads(written) == value
    assert dumps(loads(written)) == written
    assert loads(indented(written)) == value


@given(st.binary() | st.text().map(str.encode) | st.text(alphabet='{}[]",:\\u0d8e1-.').map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = loads(data)
    except MalformedError:
        return
    assert loads(dumps(value)) == value
