"""Acknowledgements (v2.5.1 2.9.2, 2.9.3, 2.15.1, 2.15.5, 2.15.8): MSH, MSA, an ERR per issue, an order's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from interop.errors import Issue, MalformedError
from interop.hl7.charsets import UTF8, Charset, charset_named, plain, stated_as
from interop.hl7.encoding import encoding_of
from interop.hl7.message import Message, parse
from interop.hl7.segment import Segment
from interop.hl7.writing import Fields, FieldValue, field, segment, timestamp

CODES = frozenset({"AA", "AE", "AR", "CA", "CE", "CR"})  # table 0008
DEFAULT_VERSION = "2.5.1"
_MSH2 = "^~\\&"
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
_MSA = re.compile(rb"[\r\n]MSA[^A-Za-z0-9\r\n]")
_LOCATION = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?)?")


def is_answer(raw: bytes) -> bool:
    """Whether these bytes are an answer: a message with an MSA (v2.5.1 2.15.8), be it ACK, ORR^O02 or another."""
    raw = plain(raw)
    return b"MSA" in raw and _MSA.search(raw) is not None


def names_another(reply: bytes, message: bytes) -> bool:
    """Whether a reply is readable and MSA-2 names another message than this one (v2.5.1 2.15.8.2)."""
    try:
        return parse(reply).get("MSA-2").strip() != parse(message).control_id
    except MalformedError:
        return False


def acknowledge(
    message: Message | None,
    code: str,
    *,
    issues: Sequence[Issue] = (),
    control_id: str,
    now: datetime,
    facility: str,
    application: str = "INTEROP",
    type_: tuple[str, str] | None = None,
    asks: tuple[str, str] = ("", ""),
    segments: Sequence[str] = (),
) -> bytes:
    """The answer to a message, in its character set and version; to bytes that were none if ``message`` is None.

    ``type_``: MSH-9 (ORR, O02) where it is no general ACK; ``asks``: MSH-15 and MSH-16; ``segments`` follow the ERRs.
    """
    if code not in CODES:
        raise ValueError(f"{code!r} is not an acknowledgement code of table 0008")
    template = _template_for(message, application, facility, (type_, asks) if type_ or any(asks) else None)
    control = message.header.field(10) if message is not None else ""
    if control.isalnum() and (code[1] == "A" or not issues):
        status = f"MSA|{code}|{control}"
    else:
        status = segment("MSA", _status(message, code, issues))
    own = control_id if control_id.isalnum() else field(control_id)
    text = f"{template.before}{timestamp(now)}{template.between}{own}{template.after}\r{status}\r"
    for issue in issues:
        text += segment("ERR", _error(issue, template.version)) + "\r"
    for more in segments:
        text += more + "\r"
    return text.encode(template.codec, "replace")  # an answer with a ? in it is better than none


def _status(message: Message | None, code: str, issues: Sequence[Issue]) -> Fields:
    fields: dict[int, FieldValue] = {1: code}
    if message is not None:
        fields[2] = message.header.value(10).text()
    if code[1] != "A" and issues:
        fields[3] = issues[0].text[:80]  # MSA-3, for receivers that know no ERR
    return fields


class _Template(NamedTuple):
    """MSH as it is written to one sender, around MSH-7 and MSH-10."""

    before: str
    between: str
    after: str
    codec: str
    version: str


_Special = tuple[tuple[str, str] | None, tuple[str, str]]  # MSH-9, and MSH-15 with MSH-16


def _template_for(message: Message | None, application: str, facility: str, special: _Special | None) -> _Template:
    if message is None:
        return _template(("|", _MSH2, "", "", "", "", ""), "utf_8", UTF8, application, facility, special)
    fields = message.header.fields
    if len(fields) < 13:
        fields = fields + [""] * (13 - len(fields))
    marks = fields[2].partition("\n")[0]  # a line that is no segment may have been joined to a cut-off MSH
    said = (fields[1], marks, fields[3], fields[4], fields[9], fields[11], fields[12])
    made = _template if sum(map(len, said)) < 1000 else _template.__wrapped__  # no memory for what is no address
    return made(said, message.encoding.codec, message.charset, application, facility, special)


@lru_cache(maxsize=1024)
def _template(
    said: tuple[str, ...], codec: str, charset: str, application: str, facility: str, special: _Special | None
) -> _Template:
    """For what a sender's MSH says in 1, 2, 3, 4, 9, 11 and 12, which is the same in nearly all its messages."""
    mark, marks, sender, sending_facility, acknowledged, processing, stated = said
    encoding = encoding_of(mark + marks, codec)
    texts = ["MSH", mark, marks, sender, sending_facility, "", "", "", "", acknowledged, "", processing, stated]
    header = Segment("MSH", "", encoding, 1, texts)
    version = header.value(12).word(1) or DEFAULT_VERSION
    spoken = _charset(charset)
    type_, asks = special or (None, ("", ""))
    head: dict[int, FieldValue] = {
        3: application,
        4: facility,
        5: _hd(header, 3),
        6: _hd(header, 4),
        7: "0",
        9: _type(type_ or ("ACK", header.value(9).word(2)), version),
        10: "0",
        11: header.value(11).text() or "P",
        12: version,
        15: asks[0],
        16: asks[1],
        **stated_as(spoken),
    }
    parts = segment("MSH", head).split("|")
    return _Template(
        "|".join(parts[:6]) + "|", f"|{'|'.join(parts[7:9])}|", "|" + "|".join(parts[10:]), spoken.codec, version
    )


@lru_cache(maxsize=256)
def _charset(name: str) -> Charset:
    """The character set of an answer to a message in this one."""
    known = charset_named(name)
    if known is None or known.codec.startswith(("utf_16", "utf_32")):
        return charset_named(UTF8) or Charset(UTF8, "utf_8", True)  # MLLP is not transparent to wide characters
    return known


def _type(type_: tuple[str, str], version: str) -> FieldValue:
    """ACK^O01^ACK from v2.3.1 on; the third component is newer than the second (v2.5.1 2.15.9.9)."""
    code, event = type_
    if version in ("2.1", "2.2") and code == "ACK":
        return "ACK"
    if version in ("2.1", "2.2", "2.3"):
        return (code, event)
    return (code, event, code if code == "ACK" else f"{code}_{event}")


def _hd(header: Segment, number: int) -> tuple[str, ...]:
    value = header.value(number)
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
