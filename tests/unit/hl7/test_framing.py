"""MLLP framing: the decided behaviour of every deviation, and independence of how the bytes were cut."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop.errors import InvalidContentError
from interop.hl7.framing import Frame, FrameDecoder, FramingFault, frame

MSG = b"MSH|^~\\&|A|B|C|D|20260709||ADT^A01|1|P|2.5\rPID|1||9\r"
TWO = MSG.replace(b"|1|P", b"|2|P")
LIMIT = 400_000


def decode(data: bytes, size: int = 0, limit: int = LIMIT) -> list[Frame | FramingFault]:
    decoder = FrameDecoder(limit)
    found: list[Frame | FramingFault] = []
    for start in range(0, len(data), size or len(data) or 1):
        found += decoder.feed(data[start : start + (size or len(data))])
    return found + decoder.eof()


def summary(found: list[Frame | FramingFault]) -> list[tuple[str, bytes | int]]:
    return [("frame", one.data) if isinstance(one, Frame) else (one.reason, one.size) for one in found]


CASES: list[tuple[str, bytes, list[tuple[str, bytes | int]]]] = [
    ("one", b"\x0b" + MSG + b"\x1c\r", [("frame", MSG)]),
    ("pipelined", frame(MSG) + frame(TWO), [("frame", MSG), ("frame", TWO)]),
    ("fs-without-cr", b"\x0b" + MSG + b"\x1c" + frame(TWO), [("frame", MSG), ("frame", TWO)]),
    ("fs-without-cr-last", b"\x0b" + MSG + b"\x1c", [("frame", MSG)]),
    ("lf-after-fs", b"\x0b" + MSG + b"\x1c\n" + frame(TWO), [("frame", MSG), ("frame", TWO)]),
    ("crlf-after-fs", b"\x0b" + MSG + b"\x1c\r\n" + frame(TWO), [("frame", MSG), ("frame", TWO)]),
    ("other-trailer", b"\x0b" + MSG + b"\x1c\xff" + frame(TWO), [("frame", MSG), ("unframed", 1), ("frame", TWO)]),
    ("no-last-cr", b"\x0b" + MSG[:-1] + b"\x1c\r" + frame(TWO), [("frame", MSG[:-1]), ("frame", TWO)]),
    ("no-last-cr-no-cr", b"\x0b" + MSG[:-1] + b"\x1c" + frame(TWO), [("frame", MSG[:-1]), ("frame", TWO)]),
    ("no-last-cr-then-end", b"\x0b" + MSG[:-1] + b"\x1c", [("frame", MSG[:-1])]),
    ("fs-in-text", b"\x0b" + MSG + b"OBX|1|TX|a \x1c b\r\x1c\r", [("frame", MSG + b"OBX|1|TX|a \x1c b\r")]),
    ("blanks-between", b"\r\n \t" + frame(MSG) + b"\x00\x00\r\n" + frame(TWO), [("frame", MSG), ("frame", TWO)]),
    ("double-fs", b"\x0b" + MSG + b"\x1c\x1c\r" + frame(TWO), [("frame", MSG), ("frame", TWO)]),
    ("empty", b"\x0b\x1c\r" + frame(MSG), [("frame", MSG)]),
    ("blank-frame", b"\x0b \r\x1c\r", []),
    ("double-vt", b"\x0b" + frame(MSG), [("frame", MSG)]),
    ("torn", b"\x0b" + MSG[:20] + frame(TWO), [("torn", 20), ("frame", TWO)]),
    ("torn-twice", b"\x0babc\x0bde" + frame(TWO), [("torn", 3), ("torn", 2), ("frame", TWO)]),
    ("missing-vt", MSG + b"\x1c\r" + frame(TWO), [("unframed", len(MSG)), ("frame", TWO)]),
    ("unframed-then-end", MSG, [("unframed", len(MSG))]),
    ("unframed-then-frame", b"GET / HTTP/1.1\r\n\r\n" + frame(MSG), [("unframed", 18), ("frame", MSG)]),
    ("commit-block", b"\x0b\x06\x1c\r\x0b\x15\x1c\r", [("commit-block", 1), ("commit-block", 1)]),
    ("unfinished", frame(MSG) + b"\x0b" + TWO, [("frame", MSG), ("unfinished", len(TWO))]),
    ("probe", b"", []),
    ("probe-with-vt", b"\x0b", []),
    ("probe-with-nul", b"\x00\r\n", []),
]


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_deviation_has_its_decided_outcome_however_it_is_cut(
    data: bytes, expected: list[tuple[str, bytes | int]]
) -> None:
    assert summary(decode(data)) == expected
    assert summary(decode(data, 1)) == expected
    for cut in range(1, len(data)):
        decoder = FrameDecoder(LIMIT)
        found = decoder.feed(data[:cut]) + decoder.feed(data[cut:]) + decoder.eof()
        assert summary(found) == expected, cut


BYTES = [b"\x0b", b"\x1c", b"\r", b"\n", b"\x1c\r", b"\x00", b" ", b"x", b"\x06", b"\xff"]
PIECES = st.sampled_from([*BYTES, b"MSH|^~\\&|", b"PID|1\r", b"a" * 30])
STREAMS = st.lists(PIECES, max_size=40).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 200), max_size=12), st.sampled_from([20, LIMIT]))
@settings(max_examples=1500, deadline=None)
def test_any_chunking_gives_the_same_frames_and_faults(data: bytes, cuts: list[int], limit: int) -> None:
    decoder = FrameDecoder(limit)
    found: list[Frame | FramingFault] = []
    edges = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    for start, end in pairwise(edges):
        found += decoder.feed(data[start:end])
    assert found + decoder.eof() == decode(data, 0, limit)


@given(st.lists(st.binary(max_size=60), max_size=6), st.integers(1, 9))
@settings(deadline=None)
def test_what_was_framed_comes_out_again(payloads: list[bytes], size: int) -> None:
    messages = [b"MSH|" + one.replace(b"\x0b", b"").replace(b"\x1c", b"") + b"\r" for one in payloads]
    assert decode(b"".join(frame(one) for one in messages), size) == [Frame(one) for one in messages]


def test_beyond_the_limit_the_stream_stays_in_step() -> None:
    big = MSG + b"OBX|1|TX|" + b"x" * 5000 + b"\r"
    for size in (0, 1, 7, 1000, 5000):
        found = decode(frame(MSG) + frame(big) + frame(TWO), size, limit=1000)
        assert summary(found) == [("frame", MSG), ("too-large", len(big)), ("frame", TWO)]
        fault = found[1]
        assert isinstance(fault, FramingFault)
        assert fault.head.startswith(MSG)
        assert str(len(big)) in fault.text


def test_an_endless_frame_is_not_kept_in_memory() -> None:
    decoder = FrameDecoder(1000)
    decoder.feed(b"\x0bMSH|")
    for _ in range(100):
        assert decoder.feed(b"y" * 10_000) == []
    assert decoder.pending == 1_000_004
    assert len(decoder._buffer) < 20_000


def test_a_silent_sender_without_final_cr_gets_its_frame() -> None:
    decoder = FrameDecoder(LIMIT)
    assert decoder.feed(b"\x0b" + MSG[:-1] + b"\x1c") == []
    assert decoder.quiet() == [Frame(MSG[:-1])]
    assert decoder.quiet() == []
    assert decoder.feed(b"\r" + frame(TWO)) == [Frame(TWO)]


def test_a_megabyte_in_small_reads_costs_time_in_proportion() -> None:
    data = frame(MSG + b"OBX|1|ED|x||" + b"QUJD" * 1_000_000 + b"\r")
    started = time.perf_counter()
    assert len(decode(data, 4096, limit=10_000_000)) == 1
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("byte", [b"\x0b", b"\x1c"])
def test_a_message_that_mllp_cannot_carry_is_refused(byte: bytes) -> None:
    with pytest.raises(InvalidContentError):
        frame(b"MSH|" + byte)


CORPUS = Path(os.environ["INTEROP_CORPUS"]) / "hl7/derived-mllp-frames" if "INTEROP_CORPUS" in os.environ else None
DECIDED = {
    "00": ["frame"], "01": ["frame", "frame"], "02": ["frame", "frame"], "03": ["frame"], "04": ["frame", "frame"],
    "05": ["unframed"], "06": ["frame"], "07": ["frame", "frame"], "08": [], "09": ["torn", "frame"],
    "10": ["unfinished"], "11": ["frame"], "12": ["frame"], "13": ["frame"], "14": ["unframed"], "15": ["frame"],
    "16": ["frame"], "17": ["frame"], "18": ["frame"], "19": ["frame", "unframed"], "20": ["commit-block"],
    "21": ["commit-block"], "22": ["frame", "unframed"], "23": ["frame"], "24": ["frame"],
}  # fmt: skip

if CORPUS is not None:

    @pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
    def test_every_frame_of_the_corpus_has_its_decided_outcome(path: Path) -> None:
        data = path.read_bytes()
        whole = decode(data)
        assert [kind for kind, _ in summary(whole)] == DECIDED[path.name[:2]]
        assert decode(data, 1 if len(data) < 10_000 else 777) == whole
        for cut in range(1, min(len(data), 1000)):
            decoder = FrameDecoder(LIMIT)
            assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) + decoder.eof() == whole
