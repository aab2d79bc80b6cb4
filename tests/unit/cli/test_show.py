"""``interop hl7 show`` tells of both acknowledgements of a message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from interop.cli.hl7 import told
from interop.store import MessageLink, MessageRow

ROW = MessageRow(
    id=7,
    direction="out",
    peer="RIS",
    application="INTEROP",
    facility="IMG",
    control_id="IMG1",
    type="ORM^O01",
    raw=b"MSH|^~\\&|INTEROP|IMG|RIS|HOSP|20261120||ORM^O01|IMG1|P|2.5.1|||AL|AL\r",
    body_hash="",
    state="sent",
    ack_code="AA",
    ack=b"MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20261120||ACK|A1|P|2.5.1\rMSA|CA|IMG1\r",
    issues=[],
    order_id=None,
    at=datetime(2026, 11, 20, tzinfo=UTC),
)


def test_both_acknowledgements_are_named() -> None:
    link = MessageLink("answered-by", 9, "in", "10.0.0.1", "ORR^O02", "", "received", "AA")
    lines = told(replace(ROW, links=(link,)))
    assert "  application acknowledgement (AA): ORR^O02 from 10.0.0.1, number 9, received" in lines
    assert "--- accept acknowledgement" in lines


def test_a_response_names_the_message_that_it_answers() -> None:
    link = MessageLink("answers", 3, "in", "10.0.0.1", "ORM^O01", "M1", "received", "AA")
    lines = told(replace(ROW, type="ORR^O02", ack=ROW.ack and ROW.ack.replace(b"CA", b"AA"), links=(link,)))
    assert "  answers (AA): ORM^O01 from 10.0.0.1, number 3, control id M1, received" in lines
    assert "--- acknowledgement" in lines
