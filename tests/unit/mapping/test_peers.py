"""The list of receivers."""

from __future__ import annotations

import pytest

from interop.hl7.line import Line
from interop.mapping.peers import Receiver, check_receivers, load_receivers
from interop.mapping.rows import TableError
from interop.mapping.tables import compile_tables
from interop.shipped import shipped

ONE = '[[receiver]]\nname = "A"\nhost = "h"\nport = 2575\napplication = "APP"\ntypes = ["ORM^O01"]\n'


def test_the_shipped_list_is_the_demos() -> None:
    receivers = load_receivers((shipped("mappings") / "peers.toml").read_text("utf-8"))
    assert receivers == (
        Receiver("RIS", "127.0.0.1", 2576, "RIS", "HOSP", "INTEROP", "", frozenset({"ORM^O01"})),
        Receiver("EMR", "127.0.0.1", 2577, "EMR", "HOSP", "INTEROP", "", frozenset({"ORU^R01"})),
    )


def test_what_is_not_said_has_a_default() -> None:
    (one,) = load_receivers(ONE)
    assert (one.sending_application, one.facility, one.charset, one.version) == (
        "INTEROP",
        "",
        "UNICODE UTF-8",
        "2.5.1",
    )
    assert load_receivers("") == ()


def test_a_line_of_its_own() -> None:
    (one,) = load_receivers(
        ONE
        + 'connect_seconds = 2\nanswer_seconds = 90\npause_seconds = 0.5\nretry_seconds = 3600\nanswers = "unframed"\n'
        + 'one_message_per_connection = true\ntls = true\nca = "ca.pem"\ncert = "c.pem"\nserver_name = "ris.example"\n'
    )
    assert one.line == Line(2.0, 90.0, 0.5, True, "unframed", True, "ca.pem", "c.pem", "", "ris.example")
    assert one.retry_seconds == 3600.0
    assert load_receivers(ONE)[0].line == Line()
    assert [load_receivers(ONE + more)[0].enhanced for more in ("", 'acknowledgement = "enhanced"\n')] == [False, True]


def test_orders_go_out_as_the_receiver_takes_them() -> None:
    assert load_receivers(ONE)[0].order_type == "ORM^O01"
    (one,) = load_receivers(ONE + 'orders = "OMI^O23"\n')
    assert (one.order_type, one.types) == ("OMI^O23", frozenset({"OMI^O23"}))
    (one,) = load_receivers(ONE.replace('["ORM^O01"]', '["OMG^O19", "ADT^A40"]'))
    assert (one.order_type, one.types) == ("OMG^O19", frozenset({"OMG^O19", "ADT^A40"}))
    assert load_receivers(ONE.replace("ORM^O01", "ORU^R01"))[0].order_type is None


def test_what_else_a_receiver_has_otherwise() -> None:
    (one,) = load_receivers(
        ONE
        + 'version = "2.3.1"\nconnections = 4\nmllp = 2\nkeepalive_seconds = 60\ngive_up_days = 0\nomit = ["ZDS"]\n'
        + 'msh = { 11 = "T", 21 = "A^B" }\nsegment_end = "CRLF"\nlines = "segments"\noffsets = false\n'
    )
    assert (one.line.connections, one.line.mllp, one.line.keepalive_seconds, one.give_up_days) == (4, 2, 60.0, 0.0)
    assert (one.omit, dict(one.msh), one.segment_end) == (frozenset({"ZDS"}), {11: "T", 21: "A^B"}, "\r\n")
    assert (one.lines, one.offsets, one.before_tq1) == ("segments", False, True)


def test_a_segment_that_no_message_has_is_a_slip_of_the_pen() -> None:
    segments = compile_tables(shipped("mappings")).segments_out
    check_receivers(load_receivers(ONE + 'omit = ["ZDS", "NTE"]\n'), segments)
    with pytest.raises(TableError, match=r"receiver A: omit has ZSD; there are .*ZDS"):
        check_receivers(load_receivers(ONE + 'omit = ["ZSD"]\n'), segments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ONE.replace('"A"', '"A:B"'), ["receiver 1", "colon"]),
        (ONE + 'version = "2.9"\n', ["receiver 1", "version", "2.8.2"]),
        (ONE + 'orders = "OML^O21"\n', ["receiver 1", "orders", "OMI^O23"]),
        (ONE + 'orders = "OMI^O23"\nversion = "2.3.1"\n', ["receiver 1", "OMI^O23 needs version 2.5"]),
        (ONE.replace('["ORM^O01"]', '["ORM^O01", "OMI^O23"]'), ["receiver 1", "ORM^O01 and OMI^O23"]),
        (ONE.replace("ORM^O01", "SIU^S12"), ["receiver 1", "SIU^S12", "not sent"]),
        (ONE + "connections = 0\n", ["receiver 1", "connections", "1 to 16"]),
        (ONE + "connections = true\n", ["receiver 1", "connections"]),
        (ONE + "mllp = 3\n", ["receiver 1", "mllp", "1 to 2"]),
        (ONE + 'mllp = 2\nanswers = "unframed"\n', ["receiver 1", "release 2"]),
        (ONE + "give_up_days = -1\n", ["receiver 1", "give_up_days"]),
        (ONE + "keepalive_seconds = 0\n", ["receiver 1", "keepalive_seconds"]),
        (ONE + 'omit = "ZDS"\n', ["receiver 1", "omit"]),
        (ONE + 'omit = ["PID"]\n', ["receiver 1", "omit has PID"]),
        (ONE + 'msh = { 10 = "X" }\n', ["receiver 1", "MSH-10", "11"]),
        (ONE + "msh = { 11 = 1 }\n", ["receiver 1", "msh"]),
        (ONE + 'segment_end = "FF"\n', ["receiver 1", "segment_end", "CRLF"]),
        (ONE + 'lines = "none"\n', ["receiver 1", "lines", "escape"]),
        (ONE + 'offsets = "no"\n', ["receiver 1", "offsets"]),
        (ONE + 'colour = "red"\n', ["receiver 1", "colour"]),
        (ONE.replace("2575", "0"), ["receiver 1", "port"]),
        (ONE.replace("2575", "70000"), ["receiver 1", "70000"]),
        (ONE.replace("2575", '"2575"'), ["receiver 1", "2575"]),
        (ONE.replace('name = "A"\n', ""), ["receiver 1", "name is needed"]),
        (ONE.replace('"h"', "7"), ["receiver 1", "host has to be text"]),
        (ONE.replace("ORM^O01", "ORM"), ["receiver 1", "types"]),
        (ONE + 'charset = "KLINGON"\n', ["receiver 1", "KLINGON"]),
        (ONE + 'acknowledgement = "both"\n', ["receiver 1", "acknowledgement", "original, enhanced"]),
        (ONE + 'acknowledgement = "enhanced"\nanswers = "none"\n', ["receiver 1", "of no use"]),
        (ONE + "answer_seconds = 0\n", ["receiver 1", "answer_seconds", "more than 0"]),
        (ONE + 'retry_seconds = "long"\n', ["receiver 1", "retry_seconds", "seconds"]),
        (ONE + "pause_seconds = -1\n", ["receiver 1", "pause_seconds"]),
        (ONE + 'tls = "yes"\n', ["receiver 1", "tls has to be true or false"]),
        (ONE + 'ca = "ca.pem"\n', ["receiver 1", "ca", "without tls"]),
        (ONE + 'tls = true\nkey = "k.pem"\n', ["receiver 1", "key", "without cert"]),
        (ONE + 'answers = "sometimes"\n', ["receiver 1", "answers", "framed, unframed, none"]),
        (ONE + ONE, ["two receivers are called 'A'"]),
        ("receiver = 1\n", ["[[receiver]]"]),
        ("peers = 1\n", ["peers"]),
        ("= 1\n", ["peers.toml"]),
    ],
)
def test_a_wrong_entry_is_named(text: str, words: list[str]) -> None:
    with pytest.raises(TableError) as caught:
        load_receivers(text)
    for word in words:
        assert word in str(caught.value)
