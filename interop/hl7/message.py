"""HL7 v2 messages, read lazily: bytes, then text, then segments with raw fields; what is below only when asked for.

Nothing is dropped: Z segments, unknown segments and fields beyond the standard stay where they were. Segments may end
in CR, LF or CRLF. A line that does not begin like a segment (a base64 value broken over lines, a note with a bare LF)
belongs to the segment before it, with an Issue on the message.

Positions are written as in the standard: ``PID-3``, ``PID-3.4.2``, with occurrences as in ``OBX[2]-5[3].1``.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from functools import lru_cache

from interop.errors import InvalidContentError, Issue, MalformedError
from interop.hl7.charsets import Charset, decode, decode_wide, plain, stated_in, wide
from interop.hl7.encoding import Encoding, encoding_of
from interop.hl7.segment import NULL, Segment, Value

LONGEST = 199  # characters of what a message is kept and found under
_SEGMENT_ID = re.compile(r"[A-Za-z][A-Za-z0-9]{2}")
_POSITION = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?")

__all__ = ["NULL", "Message", "OrderGroup", "Segment", "Value", "parse", "sender_of"]


class OrderGroup:
    """One ORC with its OBR (or one OBR without ORC) and all that follows it, up to the next."""

    __slots__ = ("index", "observations", "segments")

    def __init__(self, index: int) -> None:
        self.index = index
        self.segments: dict[str, list[Segment]] = {}
        self.observations: list[list[Segment]] = []  # each an OBX and its NTEs

    def first(self, name: str) -> Segment | None:
        """The first segment of that name in the group."""
        found = self.segments.get(name)
        return found[0] if found else None


class Message:
    """One parsed message; ``issues`` are what the reader had to decide against or without the sender's word."""

    __slots__ = ("charset", "control_id", "encoding", "issues", "names", "raw", "segments", "sender", "type")

    def __init__(
        self,
        raw: bytes,
        segments: list[Segment],
        encoding: Encoding,
        charset: Charset,
        issues: tuple[Issue, ...],
        names: Mapping[str, int],
    ) -> None:
        self.raw = raw
        self.segments = segments
        self.encoding = encoding
        self.charset = charset.name
        self.issues = issues
        self.names: Mapping[str, int] = names  # of its segments, in order, and how many there are of each
        header = segments[0]
        # MSH-3.1 and MSH-4.1, MSH-10, and ``ORM^O01`` of MSH-9: asked for again and again.
        self.sender = (_first_word(header, 3), _first_word(header, 4))
        control = header.field(10)
        self.control_id = control if control.isalnum() else header.value(10).text().strip()
        self.type = _type_of(header)

    def get(self, position: str) -> str:
        """The unescaped text at a position such as ``PID-3.1`` or ``OBX[2]-5``; "" if absent."""
        name, occurrence, number, repetition, component, sub = _position(position)
        for segment in self.segments:
            if segment.name == name and segment.occurrence == occurrence:
                return segment.value(number, repetition).text(component, sub)
        return ""

    def all(self, name: str) -> list[Segment]:
        """The segments of that name, in order."""
        return [segment for segment in self.segments if segment.name == name]

    @property
    def header(self) -> Segment:
        """MSH."""
        return self.segments[0]

    @property
    def version(self) -> str:
        """MSH-12.1."""
        return _first_word(self.header, 12)

    @property
    def receiver(self) -> tuple[str, str]:
        """The namespaces of MSH-5 and MSH-6."""
        return _first_word(self.header, 5), _first_word(self.header, 6)

    def check_header(self) -> None:
        """InvalidContentError if what no answer can do without is missing (v2.5.1 2.15.9: MSH-9, MSH-10).

        Or if what a message is kept and found under is longer than any version allows (v2.8.2 2.14.9: MSH-10 has 199).
        """
        named = {9: self.type, 10: self.control_id, 3: self.sender[0], 4: self.sender[1]}
        if self.type and self.control_id and max(map(len, named.values())) <= LONGEST:
            return
        for number, text in named.items():
            location = f"MSH-{number}"
            if not text and number in (9, 10):
                raise InvalidContentError(f"{location} is empty", location=location, hl7_code="101")
            if len(text) > LONGEST:
                said = f"{location} has {len(text)} characters; at most {LONGEST} are taken"
                raise InvalidContentError(said, location=location, hl7_code="102")

    def leading(self) -> dict[str, list[Segment]]:
        """The segments before the first order, by name: message and patient level."""
        found: dict[str, list[Segment]] = {}
        for segment in self.segments:
            if segment.name in ("ORC", "OBR"):
                break
            found.setdefault(segment.name, []).append(segment)
        return found

    def order_groups(self) -> Iterator[OrderGroup]:
        """The order groups: a new one begins at an ORC, and at an OBR when the present one has its OBR already."""
        group: OrderGroup | None = None
        for segment in self.segments:
            name = segment.name
            if name == "ORC" or (name == "OBR" and (group is None or "OBR" in group.segments)):
                if group is not None:
                    yield group
                group = OrderGroup(group.index + 1 if group else 1)
            if group is None:
                continue
            if name == "OBX":
                group.observations.append([segment])
            elif name == "NTE" and group.observations:
                group.observations[-1].append(segment)
            elif name in group.segments:
                group.segments[name].append(segment)
            else:
                group.segments[name] = [segment]
        if group is not None:
            yield group


def _first_word(header: Segment, number: int) -> str:
    """The first component of a field, trimmed."""
    raw = header.field(number)
    return raw if raw.isalnum() else header.value(number).word(1) if raw else ""


def _type_of(header: Segment) -> str:
    value = header.value(9)
    code, event = value.word(1), value.word(2)
    return f"{code}^{event}" if event else code.replace("_", "^", 1)


@lru_cache(maxsize=1024)
def _position(position: str) -> tuple[str, int, int, int, int, int]:
    match = _POSITION.fullmatch(position)
    if match is None:
        raise ValueError(f"{position!r} is not an HL7 position such as PID-3.1")
    name, occurrence, number, repetition, component, sub = match.groups()
    return name, int(occurrence or 1), int(number), int(repetition or 1), int(component or 0), int(sub or 0)


def _header_line(raw: bytes) -> bytes:
    raw = plain(raw)
    end = raw.find(b"\r")
    return (raw if end < 0 else raw[:end]).partition(b"\n")[0]


def sender_of(raw: bytes) -> tuple[str, str]:
    """MSH-3 and MSH-4 without parsing: what the site file, and so the default character set, is chosen by."""
    line = _header_line(raw)
    fields = line.split(line[3:4] or b"|", 4)
    mark = line[4:5] or b"^"
    both = [field.split(mark)[0].decode("latin_1").strip() for field in fields[2:4]]
    return (both[0], both[1]) if len(both) == 2 else ("", "")


def _text_of(raw: bytes, default_charset: str | None) -> tuple[str, Charset, Issue | None]:
    codec = wide(raw)
    if codec:
        return decode_wide(raw, codec)
    raw = raw.removeprefix(BOM_UTF8).lstrip(b" \r\n\t\x00")
    if not raw.startswith(b"MSH"):
        batch = raw[:3] in (b"FHS", b"BHS")
        raise MalformedError(
            "a batch where one message was expected" if batch else "no MSH at the beginning", location="MSH"
        )
    fields = _header_line(raw).split(raw[3:4]) if len(raw) > 3 else []
    mark = chr(raw[5]) if len(raw) > 5 else "~"
    return decode(raw, stated_in(fields, mark), default_charset)


def header_of(raw: bytes) -> Message | None:
    """The MSH alone of bytes that are no message, if it can be read: whom a refusal goes to, and of what."""
    try:
        return parse(_header_line(raw.lstrip(b" \r\n\t\x00")))
    except MalformedError:
        return None


def parse(raw: bytes, *, default_charset: str | None = None) -> Message:
    """The message in these bytes (one frame's content, one member of a batch).

    ``default_charset`` is the site's set for a sender that states none. MalformedError if there is no readable header.
    """
    text, charset, issue = _text_of(raw, default_charset)
    issues = [issue] if issue else []
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    first = text.partition("\r")[0]
    mark = text[3:4]
    if len(first) < 5 or not first.startswith("MSH"):
        raise MalformedError("the MSH segment is cut off", location="MSH-2")
    codec = "utf_8" if charset.codec in ("utf_16", "utf_32") else charset.codec  # of \Xhh\: byte by byte
    encoding = encoding_of(mark + first[4:].split(mark, 1)[0], codec)
    segments: list[Segment] = []
    counts: dict[str, int] = {}
    for line in _lines(text, mark, issues):
        name = line[:3]
        occurrence = counts[name] = counts.get(name, 0) + 1
        segments.append(Segment(name, line, encoding, occurrence))
    if counts["MSH"] > 1:
        raise MalformedError("a second message begins inside this one", location="MSH[2]")
    return Message(raw, segments, encoding, charset, tuple(issues), counts)


@lru_cache(maxsize=1024)
def _is_segment_id(name: str) -> bool:
    return _SEGMENT_ID.fullmatch(name) is not None


def _lines(text: str, mark: str, issues: list[Issue]) -> list[str]:
    """The text cut into segments, whose ends are all CR by now."""
    lines: list[str] = []
    for line in text.split("\r"):
        if (line[3:4] == mark or len(line) == 3) and _is_segment_id(line[:3]):
            lines.append(line)
        elif line and line.strip("\x00 \t\ufeff\x1a"):
            lines[-1] += "\n" + line
            where = f"{lines[-1][:3]} (segment {len(lines)})"
            words = f"a line that does not begin like a segment was read as part of the {where} before it"
            issues.append(Issue("structure", words, (), lines[-1][:3], "warning"))
        # blank lines carry nothing
    return lines
