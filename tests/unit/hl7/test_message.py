"""Reading messages: structure, positions, escapes, character sets."""

from __future__ import annotations

import os
import timeit
from pathlib import Path

import hl7apy.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop.errors import InvalidContentError, MalformedError
from interop.hl7.acknowledgement import is_answer
from interop.hl7.batches import batches_in, messages_in
from interop.hl7.message import Message, parse, sender_of

ORM = (
    "MSH|^~\\&|RIS|HOSP^1.2.3^ISO|INTEROP|IMG|20261121100000||ORM^O01^ORM_O01|C1|P|2.5.1||||||UNICODE UTF-8\r"
    "PID|1||123^^^RIS&1.2&ISO^MR~X9^^^CYID^NI||Παπαδόπουλος^Νίκος^^^Dr||19700101|M\r"
    "NTE|1||about the patient\r"
    "PV1|1|O\r"
    "ORC|NW|P1^EMR|F1^RIS\r"
    "TQ1|1||||||20261122100000||R\r"
    "OBR|1|P1^EMR|F1^RIS|CT^CT Chest\\T\\Abdomen & more^L\r"
    "NTE|1||one\\.br\\two\r"
    "OBX|1|NM|8302-2^Height^LN||1.80|m\r"
    "NTE|1||about the height\r"
    "ZDS|1.2.3^ISR^Application^DICOM\r"
    "ORC|CA|P2^EMR\r"
    "OBR|2|P2^EMR\r"
    "ZDS|1.2.4^ISR^Application^DICOM\r"
)


def test_positions_are_those_of_the_standard() -> None:
    message = parse(ORM.encode())
    assert message.type == "ORM^O01"
    assert message.control_id == "C1"
    assert message.version == "2.5.1"
    assert message.sender == ("RIS", "HOSP")
    assert message.receiver == ("INTEROP", "IMG")
    assert message.charset == "UNICODE UTF-8"
    assert message.get("MSH-1") == "|"
    assert message.get("MSH-2") == "^~\\&"
    assert message.get("PID-3.1") == "123"
    assert message.get("PID-3.4") == "RIS&1.2&ISO"
    assert message.get("PID-3.4.2") == "1.2"
    assert message.get("PID-3[2].1") == "X9"
    assert message.get("PID-5.2") == "Νίκος"
    assert message.get("ORC[2]-1") == "CA"
    assert message.get("OBR-4.2") == "CT Chest&Abdomen & more"
    for absent in ("PID-99", "PID-3[9].1", "PID-3.4.9", "IN1-1", "OBX[7]-5"):
        assert message.get(absent) == ""
    with pytest.raises(ValueError):
        message.get("PID.3")


def test_groups_hold_what_follows_their_orc_or_obr() -> None:
    message = parse(ORM.encode())
    first, second = message.order_groups()
    assert set(message.leading()) == {"MSH", "PID", "NTE", "PV1"}
    assert [set(first.segments), set(second.segments)] == [
        {"ORC", "TQ1", "OBR", "NTE", "ZDS"},
        {"ORC", "OBR", "ZDS"},
    ]
    assert [segment.location for segment in first.observations[0]] == ["OBX", "NTE[3]"]
    zds = second.first("ZDS")
    assert zds is not None
    assert zds.value(1).text(1) == "1.2.4"
    assert second.first("TQ1") is None


def test_an_obr_without_orc_begins_a_group_of_its_own() -> None:
    message = parse(b"MSH|^~\\&|A|B|||1||ORU^R01|1|P|2.3\rPID|1\rOBR|1\rOBX|1\rOBR|2\rOBX|1\rOBX|2\r")
    assert [len(group.observations) for group in message.order_groups()] == [1, 2]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_any_segment_end_is_read(end: str, last: bool) -> None:
    text = ORM.replace("\r", end)
    message = parse((text if last else text.removesuffix(end)).encode())
    assert [segment.name for segment in message.segments] == [line[:3] for line in ORM.split("\r") if line]
    assert message.issues == ()


def test_a_line_that_is_no_segment_belongs_to_the_one_before() -> None:
    raw = b"MSH|^~\\&|A|B|||1||ORU^R01|1|P|2.5\rOBX|1|ED|PDF||^application^pdf^Base64^QUJD\nREVG\r\rZZZ\rpid|1\r"
    message = parse(raw)
    assert message.get("OBX-5.5") == "QUJD\nREVG"
    assert [segment.name for segment in message.segments] == ["MSH", "OBX", "ZZZ", "pid"]
    assert [issue.location for issue in message.issues] == ["OBX"]


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("\\E\\T\\E\\", "\\T\\"),
        ("one\\.br\\two\\.sp2\\three", "one\ntwo\n\nthree"),
        ("a\\.sk3\\b\\.ce\\c\\.in+4\\d\\.ti-2\\e\\.fi\\\\.nf\\", "a   b\ncde"),
        ("\\X0D0A\\\\X41\\", "\r\nA"),
        ("\\XCE91\\", "Α"),
        ("\\XFF\\", "ÿ"),
        ("\\H\\bold\\N\\", "bold"),
        ("\\Z99\\ \\C2842\\ \\XYZ\\ C:\\dir\\sub", "\\Z99\\ \\C2842\\ \\XYZ\\ C:\\dir\\sub"),
        ("half\\", "half\\"),
        ("a\\b \\T\\ c", "a\\b & c"),
    ],
)
def test_escapes_are_read_after_splitting(escaped: str, text: str) -> None:
    message = parse(f"MSH|^~\\&|A|B|||1||ORU^R01|1|P|2.5||||||UNICODE UTF-8\rNTE|1||{escaped}\r".encode())
    assert message.get("NTE-3") == text


def test_a_null_is_a_value_of_its_own() -> None:
    message = parse(b'MSH|^~\\&|A|B|||1||ADT^A08|1|P|2.5\rPID|1||9||""|""\r')
    value = message.all("PID")[0].value(5)
    assert value.null
    assert value.text() == ""
    assert not message.all("PID")[0].value(3).null


def test_other_delimiters_are_those_of_the_header() -> None:
    message = parse(b"MSH$%*@!$A$B$$$1$$ORM%O01$1$P$2.5\rPID$1$$1%2!3*4$$x@F@y@S@z\r")
    assert message.type == "ORM^O01"
    assert message.get("PID-3.2.2") == "3"
    assert message.get("PID-3[2]") == "4"
    assert message.get("PID-5") == "x$y%z"
    short = parse(b"MSH|^~|A|B|||1||ORM^O01|1|P|2.5\rPID|1||a\\T\\b&c\r")
    assert short.get("PID-3") == "a\\T\\b&c"
    longer = parse(b"MSH|^~\\&#|A|B|||1||ORM^O01|1|P|2.7\rPID|1||a\\P\\\r")
    assert longer.get("PID-3") == "a#"


@pytest.mark.parametrize(
    ("raw", "location"),
    [
        (b"", "MSH"),
        (b"PID|1\r", "MSH"),
        (b"FHS|^~\\&|\rBHS|\r", "MSH"),
        (b"MSH", "MSH-2"),
        (b"MSH|", "MSH-2"),
        (b"MSH|A\rPID|1\r", "MSH-2"),
        (b"MSH|^^~&|A\r", "MSH-2"),
        (b"MSHA^~\\&A\r", "MSH-2"),
        (b"MSH|^~\\&|A\rMSH|^~\\&|B\r", "MSH[2]"),
        (bytes(range(256)), "MSH"),
    ],
)
def test_what_is_no_message_is_refused_with_a_location(raw: bytes, location: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse(raw)
    assert caught.value.issues[0].location == location
    assert caught.value.ack_code == "AR"


def test_a_header_without_type_or_control_id_is_named() -> None:
    for raw, location in ((b"MSH|^~\\&|A|B|||||ORM^O01||P|2.5\r", "MSH-10"), (b"MSH|^~\\&|A|B|||||||P|2.5\r", "MSH-9")):
        with pytest.raises(InvalidContentError) as caught:
            parse(raw).check_header()
        assert caught.value.issues[0].location == location
    parse(ORM.encode()).check_header()


def test_the_sender_is_known_before_parsing() -> None:
    assert sender_of(ORM.encode()) == ("RIS", "HOSP")
    assert sender_of(b"MSH") == ("", "")


def header(charset: str) -> bytes:
    return b"MSH|^~\\&|A|B|||1||ORM^O01|1|P|2.5.1||||||" + charset.encode() + b"\rPID|1||9||"


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        ("ASCII", "ascii", "Smith"),
        ("UNICODE UTF-8", "utf-8", "Παπαδόπουλος"),
        ("8859/1", "latin-1", "Müller"),
        ("8859/2", "iso8859-2", "Żółć"),
        ("8859/5", "iso8859-5", "Иванов"),
        ("8859/7", "iso8859-7", "Παπαδόπουλος"),
        ("8859/9", "iso8859-9", "Şahin"),
        ("8859/15", "iso8859-15", "€uro"),
        ("ISO 8859-7", "iso8859-7", "Νίκος"),
        ("8859/3", "iso8859-3", "Ħaż"),
        ("8859/4", "iso8859-4", "Ģirts"),
        ("8859/6", "iso8859-6", "محمد"),
        ("8859/8", "iso8859-8", "כהן"),
        ("8859/10", "iso8859-10", "Þór"),
        ("8859/11", "iso8859-11", "สม"),
        ("8859/13", "iso8859-13", "Šarūnas"),
        ("8859/14", "iso8859-14", "Ŵyn"),
        ("ASCII~ISO IR87", "iso2022_jp", "患者"),
        ("~ISO IR14~ISO IR87~ISO IR159", "iso2022_jp_ext", "ｶﾅ 患者 丂"),
        ("unicode utf-8", "utf-8", "王"),
        ("~ISO IR87", "iso2022_jp", "患者"),
        ("GB 18030-2000", "gb18030", "王"),
        ("KS X 1001", "euc_kr", "홍길동"),
        ("BIG-5", "big5", "許功蓋"),
    ],
)
def test_each_character_set_of_table_0211_is_read(charset: str, codec: str, name: str) -> None:
    message = parse(header(charset) + name.encode(codec) + b"^X\r")
    assert message.get("PID-5.1") == name
    assert message.issues == ()


@pytest.mark.parametrize(
    ("charset", "data", "default", "name", "used", "warned"),
    [
        ("8859/1", "Müller".encode(), None, "Müller", "UNICODE UTF-8", True),  # a stale claim
        ("", "Müller".encode(), None, "Müller", "UNICODE UTF-8", False),
        ("", "Νίκος".encode("iso8859-7"), "8859/7", "Νίκος", "8859/7", False),
        ("UNICODE UTF-8", "Νίκος".encode("iso8859-7"), "8859/7", "Νίκος", "8859/7", True),
        ("", "Müller".encode("latin-1"), None, "Müller", "WINDOWS-1252", True),
        ("UNICODE UTF-8", "Müller".encode("latin-1"), None, "Müller", "WINDOWS-1252", True),
        ("8859/1", "„Zoë“".encode("cp1252"), None, "„Zoë“", "WINDOWS-1252", True),
        ("KLINGON", "Müller".encode("latin-1"), None, "Müller", "WINDOWS-1252", True),
        ("KLINGON", b"Mueller", None, "Mueller", "ASCII", True),
        ("UNICODE UTF-16", b"Mueller", None, "Mueller", "ASCII", True),
        ("UNICODE UTF-16", "Müller".encode(), None, "Müller", "UNICODE UTF-8", True),
        ("UNICODE UTF-32", "Müller".encode("latin-1"), None, "Müller", "WINDOWS-1252", True),
        ("", "患者".encode("iso2022_jp"), None, "患者", "ISO IR87", True),
        ("8859/1", "患者|".encode("iso2022_jp"), None, "患者", "ISO IR87", True),
        ("", "患者".encode("cp932"), "SHIFT_JIS", "患者", "WINDOWS-31J", False),
        ("", "Νίκος Ά".encode("cp1253"), "windows-1253", "Νίκος Ά", "WINDOWS-1253", False),
        ("", b"\x81\xff", None, "\x81ÿ", "WINDOWS-1252", True),
    ],
)
def test_the_rule_for_wrong_or_missing_claims(
    charset: str, data: bytes, default: str | None, name: str, used: str, warned: bool
) -> None:
    message = parse(header(charset) + data + b"\r", default_charset=default)
    assert message.get("PID-5") == name
    assert message.charset == used
    assert [(issue.severity, issue.location) for issue in message.issues] == [("warning", "MSH-18")] * warned


@pytest.mark.parametrize(
    ("charset", "codec", "facility"),
    [("BIG-5", "big5", "四"), ("GB 18030-2000", "gb18030", "倈"), ("~ISO IR87", "iso2022_jp", "万")],
)
def test_a_bar_within_a_character_of_the_header_moves_nothing(charset: str, codec: str, facility: str) -> None:
    assert b"|" in facility.encode(codec)
    text = f"MSH|^~\\&|A|{facility}|||1||ORM^O01|C1|P|2.5.1||||||{charset}\rPID|1||9||{facility}\r"
    message = parse(text.encode(codec))
    assert (message.sender[1], message.control_id, message.get("PID-5")) == (facility, "C1", facility)
    assert message.issues == ()


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_byte_order_marks_and_wide_characters(codec: str) -> None:
    text = header("").decode() + "Νίκος\r"
    assert parse(text.replace("\r", "\r\n").encode(codec)).get("PID-5") == "Νίκος"


WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]


@pytest.mark.parametrize("codec", WIDE)
def test_a_sender_of_wide_characters_is_known_and_its_batches_are_taken_apart(codec: str) -> None:
    """The list of peers and the site file are chosen by MSH-3 and MSH-4 in any set; no message of a batch is lost."""
    one = header("UNICODE UTF-16").decode() + "Νίκος\\XC3BC\\\r"
    assert sender_of(one.encode(codec)) == sender_of(one.encode())
    assert is_answer((one + "MSA|AA|1\r").encode(codec))
    assert not is_answer(one.encode(codec))
    file = batches_in(f"FHS|^~\\&|A\rBHS|^~\\&|A\r{one}{one}BTS|3\rFTS|1\r".encode(codec))
    assert file.differences() == ["BTS-1 says 3 messages, 2 came"]
    for raw in [*file.batches[0].messages, *messages_in((one + one).encode(codec))]:
        message = parse(raw)
        assert raw == one.encode(codec)
        assert (message.get("PID-5"), message.charset, message.issues) == ("Νίκοςü", f"UNICODE UTF-{codec[4:6]}", ())
    assert len(messages_in((one + one).encode(codec))) == 2


def test_what_is_damaged_in_utf_16_is_an_issue_and_never_made_good_in_silence() -> None:
    one = header("UNICODE UTF-16").decode() + "Νίκος\r"
    damaged = one.encode("utf-16-le").replace("Ν".encode("utf-16-le"), b"\x00\xd8")
    assert "U+FFFD" in parse(damaged).issues[0].text
    (whole,) = messages_in(damaged + one.encode("utf-16-le"))
    with pytest.raises(MalformedError, match="a second message begins"):
        parse(whole)


@given(
    st.lists(st.tuples(st.integers(0, 700), st.binary(max_size=4)), max_size=6),
    st.sampled_from(["", "8859/7", "UNICODE UTF-8", "~ISO IR87", "BIG-5", "UNICODE UTF-16", "nonsense"]),
)
@settings(max_examples=800, deadline=None)
def test_mutated_bytes_are_read_or_refused(changes: list[tuple[int, bytes]], charset: str) -> None:
    raw = bytearray(ORM.replace("UNICODE UTF-8", charset).encode())
    for at, data in changes:
        raw[at : at + len(data)] = data
    for one in messages_in(bytes(raw)):
        sender_of(one)
        try:
            message = parse(one)
        except MalformedError:
            continue
        list(message.order_groups())
        assert all(isinstance(value.text(), str) for value in message.segments[0].values(9))
        assert message.get("PID-3.4.2") is not None


def test_batches_are_taken_apart() -> None:
    one = ORM.encode()
    two = one.replace(b"|C1|", b"|C2|")
    assert messages_in(one) == [one]
    assert messages_in(one + two) == [one, two]
    batch = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + one + two + b"BTS|2\rFTS|1\r"
    assert messages_in(batch) == [one, two]
    assert messages_in(b"FHS|^~\\&|A\rFTS|0\r") == []
    assert messages_in(b"hello") == [b"hello"]
    assert messages_in(b"junk\r" + one + two) == [b"junk\r", one, two]
    note = one + b"NTE|1||mentions MSH and FHS\r"
    assert messages_in(note) == [note]


def test_an_order_is_read_well_below_50_microseconds() -> None:
    raw = ORM.encode()

    def read() -> Message:
        message = parse(raw)
        list(message.order_groups())
        return message

    assert min(timeit.repeat(read, number=300, repeat=7)) / 300 < 150e-6  # a loaded machine gets three times the goal


def test_hl7apy_reads_the_same_fields() -> None:
    theirs = hl7apy.parser.parse_message(ORM.replace("ZDS", "ZZZ"), find_groups=False)
    ours = parse(ORM.encode())
    assert theirs.pid.pid_5.pid_5_2.to_er7() == ours.get("PID-5.2")
    assert theirs.pid.pid_3[1].cx_1.to_er7() == ours.get("PID-3[2].1")
    assert theirs.pid.pid_3[0].cx_4.hd_2.to_er7() == ours.get("PID-3.4.2")
    assert theirs.msh.msh_10.to_er7() == ours.control_id
    assert [one.name for one in theirs.children][:6] == [one.name for one in ours.segments][:6]


CORPUS = Path(os.environ["INTEROP_CORPUS"]) / "hl7" if "INTEROP_CORPUS" in os.environ else None

if CORPUS is not None:

    @pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*.hl7")), ids=lambda path: path.stem)
    def test_every_message_of_the_corpus_is_read_whole_or_refused(path: Path) -> None:
        for raw in messages_in(path.read_bytes()):
            try:
                message = parse(raw)
            except MalformedError:
                continue  # refused, with a location: see above
            text = "\r".join(segment.line.replace("\n", "\r") for segment in message.segments)
            for segment in message.segments:  # everything can be asked for
                for number in range(1, len(segment.fields)):
                    for value in segment.values(number):
                        value.text()
                        value.text(1, 1)
            if message.charset in ("UNICODE UTF-8", "ASCII") and not raw.startswith(b"\xff\xfe"):
                letters = "".join(raw.decode("utf-8-sig").split())
                assert "".join(text.split()) == letters.strip("\x1a\x00")
