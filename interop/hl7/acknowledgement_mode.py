"""Which acknowledgements a message asks for, and how its sender takes them (v2.5.1 2.9.2, 2.9.3, table 0155).

Enhanced mode has two: the accept acknowledgement (CA, CE, CR) says that the message is in safe storage, the application
acknowledgement (AA, AE, AR) says what became of it, as a message of its own. Original mode is what NE in MSH-15 and AL
in MSH-16 ask for: the application's answer alone, at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from interop.hl7.message import Message
from interop.hl7.segment import NULL

Mode = Literal["by-message", "original", "enhanced"]
AnswerType = Literal["ack", "order"]
Way = Literal["connection", "receiver"]
MODES: tuple[Mode, ...] = ("by-message", "original", "enhanced")
ANSWER_TYPES: tuple[AnswerType, ...] = ("ack", "order")
WAYS: tuple[Way, ...] = ("connection", "receiver")

ALWAYS, NEVER, ON_ERROR, ON_SUCCESS = "AL", "NE", "ER", "SU"  # table 0155
_CONDITIONS = frozenset({ALWAYS, NEVER, ON_ERROR, ON_SUCCESS})


@dataclass(frozen=True, slots=True)
class Manner:
    """How one sender is answered, by its site file."""

    mode: Mode = "by-message"  # by-message: as MSH-15 and MSH-16 say
    answer: AnswerType = "ack"  # order: orders are answered by ORR^O02, ORG^O20, ORI^O24
    application: Way = "connection"  # where an application acknowledgement goes that comes after an accept one


BY_MESSAGE = Manner()


class Asked(NamedTuple):
    """On which condition of table 0155 each acknowledgement is wanted."""

    accept: str
    application: str

    @property
    def enhanced(self) -> bool:
        """Whether the application acknowledgement is a message of its own, after the accept acknowledgement."""
        return self.accept != NEVER


ORIGINAL = Asked(NEVER, ALWAYS)


def asked_of(message: Message, mode: Mode) -> Asked:
    """What a message asks for; ORIGINAL itself for original mode, and for what is equal to it."""
    if mode == "original":
        return ORIGINAL
    fields = message.header.fields
    accept = fields[15] if len(fields) > 15 else ""
    application = fields[16] if len(fields) > 16 else ""
    if not accept and not application and mode == "by-message":
        return ORIGINAL
    return _asked(_condition(accept), _condition(application), mode)


def due(condition: str, good: bool) -> bool:
    """Whether an acknowledgement is wanted of what went well, or did not."""
    return condition == ALWAYS or condition == (ON_SUCCESS if good else ON_ERROR)


def _condition(raw: str) -> str:
    """A code that table 0155 does not know counts as always: rather an answer too many than one too few."""
    text = raw.strip().upper()
    if text in ("", NULL):
        return ""
    return text if text in _CONDITIONS else ALWAYS


def _asked(accept: str, application: str, mode: Mode) -> Asked:
    """Where only one of the two is stated: nobody is left without any, unless that is what was said."""
    if mode == "enhanced":
        asked = Asked(accept or ALWAYS, application or ALWAYS)
    elif not accept:
        asked = Asked(ALWAYS if application == NEVER else NEVER, application or ALWAYS)
    else:
        asked = Asked(accept, application or NEVER)
    return ORIGINAL if asked == ORIGINAL else asked
