"""The list of receivers."""

from __future__ import annotations

import pytest

from interop.hl7.line import Line
from interop.mapping.peers import Receiver, load_receivers
from interop.mapping.rows import TableError
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ONE + 'colour = "red"\n', ["receiver 1", "colour"]),
        (ONE.replace("2575", "0"), ["receiver 1", "port"]),
        (ONE.replace("2575", "70000"), ["receiver 1", "70000"]),
        (ONE.replace("2575", '"2575"'), ["receiver 1", "2575"]),
        (ONE.replace('name = "A"\n', ""), ["receiver 1", "name is needed"]),
        (ONE.replace('"h"', "7"), ["receiver 1", "host has to be text"]),
        (ONE.replace("ORM^O01", "ORM"), ["receiver 1", "types"]),
        (ONE + 'charset = "KLINGON"\n', ["receiver 1", "KLINGON"]),
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
