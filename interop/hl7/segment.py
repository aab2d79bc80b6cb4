"""Segments of HL7 v2 and the values in their fields, read when asked for.

Positions are written as in the standard: ``PID-3``, ``OBX[2]-5[3].1``.
"""

from __future__ import annotations

from interop.hl7.encoding import Encoding

HEADERS = ("MSH", "FHS", "BHS")
NULL = '""'  # "delete the value you have" (v2.5.1 2.5.3)


class Value:
    """One repetition of a field, or one component of it."""

    __slots__ = ("_component", "_parts", "_repetition", "_separator", "_words", "number", "raw", "segment")

    def __init__(
        self, raw: str, segment: Segment, number: int, repetition: int = 1, component: int = 0, separator: str = ""
    ) -> None:
        self.raw = raw
        self.number = number
        self.segment = segment
        self._repetition = repetition
        self._component = component
        self._separator = separator or segment.encoding.component
        self._parts: list[str] | None = None
        self._words: list[str] | None = None

    def text(self, component: int = 0, sub: int = 0) -> str:
        """The unescaped text of a component (or subcomponent) of it; of all of it without a number.

        Without ``sub`` a component is taken whole: a bare ``&`` in free text is not structure.
        """
        raw = self.raw
        if component:
            parts = self._parts
            if parts is None:
                parts = self._parts = raw.split(self._separator)
            raw = parts[component - 1] if component <= len(parts) else ""
            if sub:
                parts = raw.split(self.segment.encoding.subcomponent)
                raw = parts[sub - 1] if sub <= len(parts) else ""
        if raw == NULL:
            return ""
        encoding = self.segment.encoding
        return encoding.unescape(raw) if encoding.escape in raw else raw

    def words(self) -> list[str]:
        """The unescaped, trimmed texts of all its components; to be read only."""
        found = self._words
        if found is None:
            raw = self.raw
            parts = self._parts
            if parts is None:
                parts = self._parts = raw.split(self._separator)
            encoding = self.segment.encoding
            if encoding.escape in raw:
                found = [encoding.unescape(part).strip() for part in parts]
            else:
                found = list(map(str.strip, parts))
            if NULL in raw:
                found = ["" if part == NULL else word for part, word in zip(parts, found, strict=True)]
            self._words = found
        return found

    def word(self, component: int) -> str:
        """The unescaped, trimmed text of a component; "" if absent."""
        words = self._words
        if words is None:
            words = self.words()
        return words[component - 1] if component <= len(words) else ""

    def texts(self, count: int, first: int = 1) -> list[str]:
        """The unescaped, trimmed texts of so many components from the first on, "" for those that are not there."""
        words = self._words
        if words is None:
            words = self.words()
        found = words[first - 1 : first - 1 + count]
        missing = count - len(found)
        return found + [""] * missing if missing else found

    def component(self, number: int) -> Value:
        """The component as a value of its own, whose components are the subcomponents."""
        parts = self.raw.split(self._separator)
        raw = parts[number - 1] if number <= len(parts) else ""
        return Value(raw, self.segment, self.number, self._repetition, number, self.segment.encoding.subcomponent)

    @property
    def null(self) -> bool:
        """Whether the sender asks to delete what the receiver has."""
        return self.raw == NULL

    @property
    def size(self) -> int:
        """How many components it has."""
        return self.raw.count(self._separator) + 1

    @property
    def location(self) -> str:
        """Where in the message it stands."""
        repetition = f"[{self._repetition}]" if self._repetition > 1 else ""
        component = f".{self._component}" if self._component else ""
        return f"{self.segment.location}-{self.number}{repetition}{component}"

    def __repr__(self) -> str:
        return f"<Value {self.location}>"  # never the content: it may name a patient


class Segment:
    """One segment; ``occurrence`` counts those of the same name in the message."""

    __slots__ = ("_fields", "encoding", "line", "name", "occurrence")

    def __init__(
        self, name: str, line: str, encoding: Encoding, occurrence: int = 1, fields: list[str] | None = None
    ) -> None:
        self.name = name
        self.line = line
        self.encoding = encoding
        self.occurrence = occurrence
        self._fields = fields

    @property
    def fields(self) -> list[str]:
        """The raw fields by their number in the standard, split when first asked for; [0] is the name."""
        fields = self._fields
        if fields is None:
            fields = self._fields = self.line.split(self.encoding.field)
            if self.name in HEADERS:
                fields.insert(1, self.encoding.field)  # MSH-1 is the separator itself
        return fields

    def field(self, number: int) -> str:
        """The raw field with all its repetitions; "" if absent."""
        fields = self._fields
        if fields is None:
            fields = self.fields
        return fields[number] if number < len(fields) else ""

    def value(self, number: int, repetition: int = 1) -> Value:
        """One repetition of a field; an empty value if absent."""
        fields = self._fields
        if fields is None:
            fields = self.fields
        raw = fields[number] if number < len(fields) else ""
        mark = self.encoding.repetition
        if (repetition > 1 or mark in raw) and not (number == 2 and self.name in HEADERS):
            parts = raw.split(mark)
            raw = parts[repetition - 1] if repetition <= len(parts) else ""
        return Value(raw, self, number, repetition)

    def values(self, number: int) -> list[Value]:
        """The repetitions of a field that are not empty."""
        raw = self.field(number)
        if not raw:
            return []
        mark = self.encoding.repetition
        if mark not in raw:
            return [Value(raw, self, number)]
        return [Value(part, self, number, at) for at, part in enumerate(raw.split(mark), 1) if part]

    def lines(self, number: int) -> list[str]:
        """The unescaped text of every repetition, empty ones too: how TX and FT carry several lines (v2.5.1 2.A.78)."""
        return [self.encoding.unescape(part) for part in self.field(number).split(self.encoding.repetition)]

    def block(self, number: int) -> str:
        """The lines as one text, trimmed."""
        raw = self.field(number)
        encoding = self.encoding
        if encoding.repetition in raw or encoding.escape in raw:
            return "\n".join(self.lines(number)).strip()
        return raw.strip()

    def with_field(self, number: int, raw: str) -> Segment:
        """The segment with another raw field."""
        fields = [*self.fields, *([""] * (number + 1 - len(self.fields)))]
        fields[number] = raw
        return Segment(self.name, self.line, self.encoding, self.occurrence, fields)

    @property
    def location(self) -> str:
        """``PID``, or ``OBX[2]``."""
        return self.name if self.occurrence == 1 else f"{self.name}[{self.occurrence}]"

    def __repr__(self) -> str:
        return f"<Segment {self.location}>"
