"""Acknowledgements in original mode (v2.5.1 2.9.2.1, 2.15.1, 2.15.5, 2.15.8): MSH, MSA and an ERR per issue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from interop.errors import Issue
from interop.hl7.charsets import UTF8, charset_named
from interop.hl7.message import Message
from interop.hl7.writing import Fields, FieldValue, field, segment, timestamp

CODES = frozenset({"AA", "AE", "AR", "CA", "CE", "CR"})  # table 0008
DEFAULT_VERSION = "2.5.1"
_TABLE_0357 = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
_SEVERITY = {"fatal": "F", "error": "E", "warning": "W", "information": "I"}  # table 0516
_LOCATION = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?)?")


def acknowledge(
    message: Message | None,
    code: str,
    *,
    issues: Sequence[Issue] = (),
    control_id: str,
    now: datetime,
    facility: str,
    application: str = "INTEROP",
) -> bytes:
    """The answer to a message, in its character set and version; to bytes that were none if ``message`` is None."""
    if code not in CODES:
        raise ValueError(f"{code!r} is not an acknowledgement code of table 0008")
    version = (message.version if message else "") or DEFAULT_VERSION
    label, codec = _charset(message.charset if message else UTF8)
    head = _header(
        _hd(message, 3) if message else (),
        _hd(message, 4) if message else (),
        message.header.value(9).text(2).strip() if message else "",
        (message.header.value(11).text() if message else "") or "P",
        version,
        label,
        application,
        facility,
    )
    status: dict[int, FieldValue] = {1: code}
    if message is not None:
        status[2] = message.header.value(10).text()
    if code[1] != "A" and issues:
        status[3] = issues[0].text[:80]  # MSA-3, for receivers that know no ERR
    lines = [
        "|".join((*head[:6], timestamp(now), *head[7:9], field(control_id), *head[10:])),
        segment("MSA", status),
        *(segment("ERR", _error(issue, version)) for issue in issues),
    ]
    return ("\r".join(lines) + "\r").encode(codec, "replace")  # an answer with a ? in it is better than none


@lru_cache(maxsize=256)
def _charset(name: str) -> tuple[str, str]:
    """MSH-18 and the codec of an answer to a message in this character set."""
    known = charset_named(name)
    if known is None or name == UTF8 or known.codec.startswith(("utf_16", "utf_32")):
        return UTF8, "utf-8"  # MLLP is not transparent to wide characters
    return name, known.codec


@lru_cache(maxsize=1024)
def _header(
    receiver: tuple[str, ...],
    receiving_facility: tuple[str, ...],
    event: str,
    processing: str,
    version: str,
    charset: str,
    application: str,
    facility: str,
) -> tuple[str, ...]:
    """MSH as its fields, written; one sender's answers differ in MSH-7 and MSH-10 only, which stand at 6 and 9."""
    head: dict[int, FieldValue] = {
        3: application,
        4: facility,
        5: receiver,
        6: receiving_facility,
        7: "0",
        9: _type(event, version),
        10: "0",
        11: processing,
        12: version,
        18: charset,
    }
    return tuple(segment("MSH", head).split("|"))


def _type(event: str, version: str) -> FieldValue:
    """ACK^O01^ACK from v2.3.1 on; the third component is newer than the second (v2.5.1 2.15.9.9)."""
    if version in ("2.1", "2.2"):
        return "ACK"
    if version == "2.3":
        return ("ACK", event)
    return ("ACK", event, "ACK")


def _hd(message: Message, number: int) -> tuple[str, ...]:
    value = message.header.value(number)
    return tuple(value.text(part) for part in range(1, value.size + 1))


def _error(issue: Issue, version: str) -> Fields:
    code = issue.hl7_code or "207"
    words = _TABLE_0357.get(code, "")
    match = _LOCATION.fullmatch(issue.location or "")
    fields: dict[int, FieldValue] = {
        3: (code, words, "HL70357"),
        4: _SEVERITY.get(issue.severity, "E"),
        7: " ".join(issue.expression),
        8: issue.text,
    }
    if match:
        name, occurrence, number, repetition, component, sub = (part or "" for part in match.groups())
        first = number and (repetition or "1")
        fields[2] = (name, occurrence or "1", number, first, component, sub)
        if version < "2.5":  # ERR-1 until v2.4; later receivers read ERR-2 and ERR-3
            fields[1] = (name, occurrence or "1", number, (code, words, "HL70357"))
    return fields
