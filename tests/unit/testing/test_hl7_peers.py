"""The simulated HL7 peers answer, keep silent and lie as they are told to."""

import pytest

from interop.hl7.message import parse
from interop.testing.listener import HL7Listener
from interop.testing.ports import free_ports
from interop.testing.sender import HL7Sender, NoAnswerError, send

ORM = "MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20261121101500||ORM^O01|C1|P|2.3.1|||||GR|8859/7\rPID|1||P1||Παπαδόπουλος^Νίκος\r"
RAW = ORM.encode("iso8859-7")


def test_a_message_is_kept_as_it_came_and_acknowledged() -> None:
    with HL7Listener() as listener:
        ack = parse(send(listener.host, listener.port, RAW))
        assert listener.messages == [RAW]
    assert ack.get("MSA-1") == "AA"
    assert ack.get("MSA-2") == "C1"


@pytest.mark.parametrize("code", ["AA", "AE", "AR", "CA"])
def test_each_code_can_be_scripted_and_the_default_comes_after(code: str) -> None:
    with HL7Listener() as listener, HL7Sender(listener.host, listener.port) as sender:
        listener.script(code)  # type: ignore[arg-type]
        assert parse(sender.send(RAW)).get("MSA-1") == code
        assert parse(sender.send(RAW)).get("MSA-1") == "AA"
        assert listener.answered == [code, "AA"]


def test_silence_wrong_answers_and_hanging_up_can_be_scripted() -> None:
    with HL7Listener() as listener:
        listener.script("silence", "wrong-control-id", "close", "garbage")
        with HL7Sender(listener.host, listener.port, timeout=0.3) as sender, pytest.raises(NoAnswerError, match="time"):
            sender.send(RAW)
        assert parse(send(listener.host, listener.port, RAW)).get("MSA-2") == "XC1"
        with pytest.raises(NoAnswerError, match="ended the connection"):
            send(listener.host, listener.port, RAW)
        assert send(listener.host, listener.port, RAW) == b"this is no HL7\r"
        assert listener.messages == [RAW] * 4


def test_what_is_no_hl7_is_kept_and_refused() -> None:
    with HL7Listener() as listener:
        assert parse(send(listener.host, listener.port, b"hello\r")).get("MSA-1") == "AR"
        assert listener.messages == [b"hello\r"]


def test_messages_can_be_waited_for() -> None:
    with HL7Listener() as listener:
        send(listener.host, listener.port, RAW)
        assert listener.wait_for(lambda messages: len(messages) == 1, within=1) == [RAW]
        with pytest.raises(TimeoutError, match="1 messages came"):
            listener.wait_for(lambda messages: len(messages) == 2, within=0.1)


def test_a_listener_that_is_closed_is_gone_with_its_connections() -> None:
    (port,) = free_ports(1)
    with HL7Listener("127.0.0.1", port) as listener:
        sender = HL7Sender("127.0.0.1", port)
        sender.send(RAW)
        assert listener.port == port
    with sender, pytest.raises(NoAnswerError):
        sender.send(RAW)
    with pytest.raises(NoAnswerError, match="nobody listens"):
        send("127.0.0.1", port, RAW)
    with HL7Listener("127.0.0.1", port):  # the port is free again at once
        send("127.0.0.1", port, RAW)


def test_ports_are_different() -> None:
    assert len(set(free_ports(6))) == 6
