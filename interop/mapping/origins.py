"""Where each value of a mapped message came from, for who looks at a mapping (``interop hl7 preview``).

Nothing is guessed afterwards. The message is read through values that know their position, so a text that a function
passes on still knows it (``OBR-18.1``); for what a function makes of a text (a code, a time, a system) each row's put
is watched, and what appeared is that row's, with the position of the value that the row was given. Tables that are
compiled without an ``Origins`` know nothing of any of this, and messages are carried out by those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from interop.fhir.json import DecimalText
from interop.hl7.message import Message, Segment, Value
from interop.mapping.context import Contained
from interop.mapping.targets import Draft, Setter


class Origin(NamedTuple):
    """``position`` as in ``OBR-18.1``; ``row`` "" where a function outside the tables read it."""

    position: str
    row: str = ""
    fixed: bool = False  # the row's target says so itself: the type of identifier[ACSN]
    verbatim: bool = False  # the very text that stands there


class Said(str):
    """A text of the message that knows where it stands."""

    __slots__ = ("position",)
    position: str

    @classmethod
    def at(cls, text: str, position: str) -> Self:
        """The text with its position."""
        said = cls(text)
        said.position = position
        return said

    def strip(self, chars: str | None = None, /) -> str:
        """The same without blanks around it still stands there."""
        return Said.at(super().strip(chars), self.position)


class SaidValue(Value):
    """A value whose texts know where they stand."""

    __slots__ = ()

    def __init__(
        self, raw: str, segment: Segment, number: int, repetition: int = 1, component: int = 0, separator: str = ""
    ) -> None:
        alone = segment.alone if isinstance(segment, SaidSegment) else (0, 0)
        super().__init__(raw, segment, number, alone[1] if alone[0] == number else repetition, component, separator)

    def text(self, component: int = 0, sub: int = 0) -> str:
        return Said.at(super().text(component, sub), self._position(component, sub))

    def words(self) -> list[str]:
        if self._words is None:
            plain = super().words()
            self._words = [Said.at(str(word), self._position(at)) for at, word in enumerate(plain, 1)]
        return self._words

    def word(self, component: int) -> str:
        words = self.words()
        return words[component - 1] if component <= len(words) else ""

    def texts(self, count: int, first: int = 1) -> list[str]:
        self.words()
        return super().texts(count, first)

    def component(self, number: int) -> Value:
        found = super().component(number)
        return SaidValue(found.raw, found.segment, self.number, self._repetition, number, found._separator)

    def _position(self, component: int = 0, sub: int = 0) -> str:
        """Of a field without components it is the field itself."""
        whole = not component or (component == 1 and self._separator not in self.raw)
        deepest = f".{sub}" if sub and not self._component else ""  # there is nothing below a subcomponent
        return f"{self.location}{'' if whole else f'.{component}'}{deepest}"


class SaidSegment(Segment):
    """A segment whose values know where they stand."""

    __slots__ = ("alone",)
    alone: tuple[int, int]

    @classmethod
    def of(cls, segment: Segment, alone: tuple[int, int] = (0, 0)) -> SaidSegment:
        """The same segment; ``alone``: a field that has been cut down to one of its repetitions, and which."""
        found = cls(segment.name, segment.line, segment.encoding, segment.occurrence, segment._fields)
        found.alone = alone
        return found

    def value(self, number: int, repetition: int = 1) -> Value:
        found = super().value(number, repetition)
        return SaidValue(found.raw, self, number, repetition)

    def values(self, number: int) -> list[Value]:
        found = super().values(number)
        return [SaidValue(one.raw, self, number, one._repetition) for one in found]

    def block(self, number: int) -> str:
        return Said.at(super().block(number), f"{self.location}-{number}")

    def with_field(self, number: int, raw: str) -> Segment:
        repetitions = self.field(number).split(self.encoding.repetition)
        alone = (number, repetitions.index(raw) + 1) if raw in repetitions else (0, 0)
        return SaidSegment.of(super().with_field(number, raw), alone)


def said(message: Message) -> Message:
    """The message with segments that tell; the one given is not touched."""
    twin = object.__new__(type(message))
    for name in Message.__slots__:
        setattr(twin, name, getattr(message, name))
    twin.segments = [SaidSegment.of(segment) for segment in message.segments]
    return twin


Slot = tuple[Any, Any]  # a dict or list, and the key or index in it


class Origins:
    """What tables that were compiled with it as their ``trace`` gave since; one message after another."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, Any], Origin] = {}
        self._twins: dict[int, list[Any]] = {}  # a resource that was copied: where its elements were before
        self._kept: list[Any] = []  # an id is one's own only as long as one lives
        self._fresh: list[tuple[Any, Any, bool]] = []
        self.reads: dict[str, tuple[str, list[Any]]] = {}  # of tables that read FHIR: target -> path, values there

    def clear(self) -> None:
        """Forget, before another message."""
        self.__init__()  # type: ignore[misc]

    def watch(self, put: Setter) -> Setter:
        """The same put, and what it added is remembered until the row says where that came from."""

        def watched(draft: Draft, value: Any) -> bool:
            before = {(id(place), key) for place, key in slots(draft.resource)}
            taken = put(draft, value)
            inner, outer = value[:2] if isinstance(value, Contained) else (value, value)
            made = {(key, repr(place[key])) for place, key in slots([inner])}
            self._fresh = [
                (place, key, (key, repr(place[key])) not in made and repr(place[key]) != repr(outer))
                for place, key in slots(draft.resource)
                if (id(place), key) not in before
            ]
            return taken

        return watched

    def __call__(self, row: str, position: str) -> None:
        """A row gave a value: what was put last is from there."""
        for place, key, fixed in self._fresh:
            self._found[id(place), key] = Origin(position, row, fixed)
            self._kept.append(place)
        self._fresh = []

    def read(self, target: str, path: str, values: list[Any]) -> None:
        """A row that reads FHIR set the target from these values at this path; the first one that does counts."""
        self.reads.setdefault(target, (path, values))

    def copied(self, source: Any, copy: Any) -> None:
        """The elements of ``copy`` that nobody else knows of are those of ``source``."""
        self._twins.setdefault(id(copy), []).append(source)
        self._kept += [source, copy]

    def of(self, place: Any, key: Any) -> Origin | None:
        """Where the value came from that stands there; None if not from the message, or nobody can say."""
        value = place[key]
        known = self._found.get((id(place), key))
        for source in self._twins.get(id(place), ()):
            if known is None and key in source and source[key] is value:
                known = self._found.get((id(source), key))
        text = value.text if isinstance(value, DecimalText) else value
        if isinstance(text, Said):
            return Origin(text.position, known.row if known else "", verbatim=True)
        return known


def slots(value: Any) -> Iterator[Slot]:
    """Every place in a resource that holds no further one."""
    for place, key, _ in leaves(value):
        yield place, key


def leaves(value: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    """The same with their paths, as FHIRPath has them: ``identifier[0].value``."""
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in named:
        at = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else str(key)
        if isinstance(inner, dict | list):
            yield from leaves(inner, at)
        else:
            yield value, key, at


def plain(value: Any) -> Any:
    """The value with its texts as ordinary ones."""
    if isinstance(value, dict):
        return {plain(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, DecimalText):
        return DecimalText(str(value.text))
    return str(value) if isinstance(value, Said) else value
