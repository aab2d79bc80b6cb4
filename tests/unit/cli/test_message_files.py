"""Files of messages as people have them: every message in them is read, sent and answered, or it is said why not."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interop.cli import main
from interop.cli.message_files import messages, sendings
from interop.errors import MalformedError
from interop.hl7.framing import Frame, FrameDecoder, frame
from interop.hl7.message import parse
from tests.hl7_messages import orm

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("INTEROP_DATA_DIR", str(tmp_path / "data"))

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["interop", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def saved(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "feed.hl7").write_bytes(data)
    return str(tmp_path / "feed.hl7")


def ack(code: str, id: str) -> bytes:
    return f"MSH|^~\\&|B|B|A|A|1||ACK|{code}{id}|P|2.5\rMSA|{code}|{id}\r".encode()


@contextmanager
def receiver(*answers: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each frame with the next of the lists, and keeps what came."""
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            decoder, left = FrameDecoder(1_000_000), list(answers)
            with connection:
                while left:
                    for part in decoder.feed(connection.recv(65536)):
                        assert isinstance(part, Frame)
                        came.append(part.data)
                        connection.sendall(b"".join(map(frame, left.pop(0))))
                connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield str(server.getsockname()[1]), came
        thread.join(10)


ONE, TWO = orm("NW", "P1", id="C1"), orm("NW", "P2", id="C2")
MANY = {
    "one after the other, as an editor ends lines": (ONE + TWO).replace(b"\r", b"\r\n"),
    "in frames": frame(ONE) + frame(TWO),
    "in a batch": b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE + TWO + b"BTS|2\rFTS|1\r",
    "in UTF-16": (ONE + TWO).decode().replace("\r", "\n").encode("utf-16"),
    "in UTF-16 without a mark": (ONE + TWO).decode().encode("utf-16-be"),
}


@pytest.mark.parametrize("data", MANY.values(), ids=list(MANY))
def test_each_message_of_a_file_is_read_validated_and_previewed_by_its_number(
    data: bytes, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path, data)
    found = [parse(raw) for raw in messages(file)]
    assert [(one.control_id, one.issues) for one in found] == [("C1", ()), ("C2", ())]
    assert [[one.line for one in message.segments] for message in found] == [
        [one.line for one in parse(raw).segments] for raw in (ONE, TWO)
    ]
    run("hl7", "validate", file)
    assert "2 messages" in capsys.readouterr().out
    assert run("hl7", "preview", file) == 1
    assert "there are 2 messages" in capsys.readouterr().err
    assert run("hl7", "preview", "--number", "2", file) == 0
    assert "C2" in capsys.readouterr().out
    assert run("hl7", "preview", "--number", "3", file) == 1
    assert "it has 2" in capsys.readouterr().err


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_framed_file_in_utf_16_keeps_its_last_character(codec: str, tmp_path: Path) -> None:
    (found,) = messages(saved(tmp_path, frame(ONE.decode().encode(codec))))
    assert found == ONE.decode().encode(codec)


def test_each_message_of_a_file_is_sent_and_its_answer_counts(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal behind an acceptance is seen; the application's word on the first is no answer to the second."""
    with receiver([ack("CA", "C1"), ack("AA", "C1")], [ack("AE", "C2")]) as (port, came):
        assert run("hl7", "send", saved(tmp_path, MANY["in frames"]), "--port", port) == 1
    assert came == [ONE, TWO]
    printed = capsys.readouterr().out
    assert [said in printed for said in ("MSA|CA|C1", "MSA|AA|C1", "MSA|AE|C2")] == [True, True, True]


@pytest.mark.parametrize("second", ["AA", "AR"])
def test_a_batch_is_answered_for_each_message_or_by_a_batch(second: str, run: Run, tmp_path: Path) -> None:
    file = saved(tmp_path, MANY["in a batch"])
    each = [ack("AA", "C1"), ack(second, "C2")]
    for answers in (each, [b"BHS|^~\\&|B\r" + b"".join(each) + b"BTS|2\r"]):
        with receiver(answers) as (port, came):
            assert run("hl7", "send", file, "--port", port) == (0 if second == "AA" else 1)
        assert came == [MANY["in a batch"]]


def test_a_message_of_several_that_is_not_answered_is_told(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiver([ack("AA", "C1")], []) as (port, _):
        assert run("hl7", "send", saved(tmp_path, ONE + TWO), "--port", port, "--timeout", "0.3") == 1
    told = capsys.readouterr()
    assert "MSA|AA|C1" in told.out
    assert "1 of 2 messages were answered" in told.err


@pytest.mark.parametrize("data", [b"", b" \r\n\t \n", b"\0" * 9, b"\x0b\x1c\r", b"FHS|^~\\&|A\rFTS|0\r"])
@pytest.mark.parametrize("command", ["preview", "validate", "send"])
def test_a_file_without_a_message_is_said_to_have_none_at_once(
    command: str, data: bytes, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("hl7", command, saved(tmp_path, data)) == (2 if command == "validate" else 1)
    assert "there is no message in" in capsys.readouterr().err


def test_a_torn_frame_is_not_sent_in_part(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="nothing was sent"):
        sendings(saved(tmp_path, frame(ONE) + b"\x0b" + TWO[:40] + frame(TWO)), exact=False)


def test_validate_says_where_a_character_set_had_to_be_guessed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("hl7", "validate", saved(tmp_path, ONE.replace("Νίκος".encode(), b"M\xfcller")))
    assert "it was read as windows-1252 as a guess" in capsys.readouterr().out


def test_validate_examines_the_other_files_and_names_each_that_it_could_not(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first of several files may be empty, and one may not be there."""
    empty, missing = tmp_path / "empty.hl7", str(tmp_path / "missing.hl7")
    empty.write_bytes(b"\r\n")
    files = (str(empty), missing, str(tmp_path), saved(tmp_path, ONE))
    assert run("hl7", "validate", *files) == 2
    told = capsys.readouterr()
    assert "1 messages" in told.out
    assert [file in told.err for file in files] == [True, True, True, False]
    assert run("hl7", "validate", "--json", *files) == 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["file"], one["number"], "unreadable" in one) for one in lines] == [
        (files[3], 1, False),
        (files[0], None, True),
        (missing, None, True),
        (str(tmp_path), None, True),
    ]


@pytest.mark.parametrize(
    ("message", "answer"),
    [(ONE, "AA"), (ONE.replace(b"ORC|NW", b"ORC|OP"), "AR"), (ONE.replace(b"PID|", b"ZID|"), "AE")],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_preview_ends_as_send_would(
    message: bytes, answer: str, form: list[str], run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the status that says whether the message would be accepted."""
    assert run("hl7", "preview", *form, saved(tmp_path, message)) == (0 if answer == "AA" else 1)
    printed = capsys.readouterr().out
    assert json.loads(printed)["answer"] == answer if form else f"answer {answer}" in printed
