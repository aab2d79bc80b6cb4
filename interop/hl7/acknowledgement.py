"""Acknowledgements in original mode (v2.5.1 2.9.2.1, 2.15.1, 2.15.5, 2.15.8): MSH, MSA and an ERR per issue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from interop.errors import Issue
from interop.hl7.charsets import UTF8, charset_named
from interop.hl7.message import Message
from interop.hl7.writing import Fields, FieldValue, timestamp, write

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
    head: dict[int, FieldValue] = {
        3: application,
        4: facility,
        7: timestamp(now),
        9: _type(message, version),
        10: control_id,
        11: "P",
        12: version,
    }
    status: dict[int, FieldValue] = {1: code}
    if message is not None:
        head[5] = _hd(message, 3)
        head[6] = _hd(message, 4)
        head[11] = message.header.value(11).text() or "P"
        status[2] = message.header.value(10).text()
    if code[1] != "A" and issues:
        status[3] = issues[0].text[:80]  # MSA-3, for receivers that know no ERR
    errors: list[tuple[str, Fields]] = [("ERR", _error(issue, version)) for issue in issues]
    segments: list[tuple[str, Fields]] = [("MSH", head), ("MSA", status), *errors]
    return _written(segments, message.charset if message else UTF8)


def _written(segments: list[tuple[str, Fields]], charset: str) -> bytes:
    known = charset_named(charset)
    if known is None or charset == UTF8 or known.codec.startswith(("utf_16", "utf_32")):
        return write(segments, UTF8)  # MLLP is not transparent to wide characters
    text = write(segments, UTF8).decode().replace(UTF8, charset, 1)
    return text.encode(known.codec, "replace")  # an answer with a ? in it is better than none


def _type(message: Message | None, version: str) -> FieldValue:
    """ACK^O01^ACK from v2.3.1 on; the third component is newer than the second (v2.5.1 2.15.9.9)."""
    event = message.header.value(9).text(2).strip() if message else ""
    if version in ("2.1", "2.2"):
        return "ACK"
    if version == "2.3":
        return ("ACK", event)
    return ("ACK", event, "ACK")


def _hd(message: Message, number: int) -> FieldValue:
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
        segment, occurrence, number, repetition, component, sub = (part or "" for part in match.groups())
        first = number and (repetition or "1")
        fields[2] = (segment, occurrence or "1", number, first, component, sub)
        if version < "2.5":  # ERR-1 until v2.4; later receivers read ERR-2 and ERR-3
            fields[1] = (segment, occurrence or "1", number, (code, words, "HL70357"))
    return fields
