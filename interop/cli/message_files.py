"""Files of HL7 messages as an editor, a log or a capture left them: framed or not, one message or many, in any set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from interop.errors import MalformedError
from interop.hl7.batches import batches_in, messages_in
from interop.hl7.charsets import rewritten, wide
from interop.hl7.framing import Frame, FrameDecoder, FramingFault

_LARGEST = 500_000_000
_AROUND = b"\x0b\x1c\r\n"
_BLANK = b"\x0b\x1c\r\n\t \x00\x1a"


class Sending(NamedTuple):
    """What goes into one frame, and the messages in it, each of which is answered."""

    data: bytes
    messages: list[bytes]


def content(file: str) -> bytes:
    """The file's bytes, or those of standard input for ``-``; MalformedError where there is nothing in them."""
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    if not data.strip(_BLANK):
        raise MalformedError(f"there is no message in {_named(file)}")
    return data


def messages(file: str) -> list[bytes]:
    """The messages in a file, at least one: in MLLP frames, in a batch, or one after the other.

    Of bytes outside a frame, or in one without an end, their beginning: it is no message, and reading it says so.
    """
    pieces = [part.data if isinstance(part, Frame) else part.head for part in _parts(content(file))]
    found = [message for piece in pieces for message in messages_in(piece) if message.strip(_BLANK)]
    if not found:
        raise MalformedError(f"there is no message in {_named(file)}")
    return found


def sendings(file: str, *, exact: bool) -> list[Sending]:
    """What is to be sent: each message in a frame of its own, a batch (FHS, BHS) in one.

    MLLP frames and the line ends of an editor are taken off; ``exact``: the bytes as they are, in a frame.
    """
    data = content(file)
    if exact:
        return [Sending(data, messages_in(data) or [data])]
    found = []
    for part in _parts(data):
        if isinstance(part, FramingFault):
            raise MalformedError(f"{_named(file)}: {part.text}; nothing was sent")
        batch = batches_in(part.data)
        held = [message for one in batch.batches for message in one.messages]
        if not held:
            raise MalformedError(f"there is no message in {_named(file)}: the batch is empty")
        if batch.enveloped:
            found.append(Sending(part.data, held))
        else:
            found += [Sending(message, [message]) for message in held]
    return found


def _parts(data: bytes) -> list[Frame | FramingFault]:
    inside = data.strip(_AROUND)
    if b"\x0b" in inside and wide(inside) is None:
        decoder = FrameDecoder(_LARGEST)
        parts = [*decoder.feed(data), *decoder.eof()]
        return [Frame(_tidied(part.data)) if isinstance(part, Frame) else part for part in parts]
    begun = data.lstrip(_AROUND)
    if wide(begun) is not None:  # its last CR is two bytes or four: only a frame is taken off
        inside = begun.removesuffix(b"\r").removesuffix(b"\x1c") if begun.endswith((b"\x1c", b"\x1c\r")) else begun
    return [Frame(_tidied(inside))]


def _tidied(data: bytes) -> bytes:
    """The segments ended by CR, whatever an editor ended its lines with."""
    return rewritten(data, lambda text: [_with_carriage_returns(text)])[0]


def _with_carriage_returns(text: bytes) -> bytes:
    return text.strip(_BLANK).replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r"


def _named(file: str) -> str:
    return "standard input" if file == "-" else file
