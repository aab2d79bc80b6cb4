"""Batches, and frames that hold several messages (v2.5.1 2.10.3): taken apart, answered one by one or as a batch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from interop.errors import MalformedError
from interop.hl7.charsets import plain, rewritten
from interop.hl7.encoding import encoding_of
from interop.hl7.message import Segment
from interop.hl7.writing import Fields, FieldValue, segment, timestamp

_ENVELOPE = re.compile(rb"(?:^|(?<=[\r\n]))(FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9]|$)([^\r\n]*)[\r\n]*")
_NEXT = re.compile(rb"(?<=[\r\n])(?=MSH[^A-Za-z0-9\r\n])")


@dataclass(slots=True)
class Batch:
    """The messages between a BHS and its BTS; ``header`` is empty for those that stand in no batch."""

    header: bytes = b""
    messages: list[bytes] = field(default_factory=list)
    stated: int | None = None  # BTS-1: how many messages the sender put in


@dataclass(slots=True)
class BatchFile:
    """What a frame holds; ``header`` is its FHS, if it has one."""

    header: bytes = b""
    batches: list[Batch] = field(default_factory=list)
    stated: int | None = None  # FTS-1: how many batches the sender put in

    @property
    def enveloped(self) -> bool:
        """Whether there is an FHS or BHS, and so somebody who reads batches."""
        return bool(self.header) or any(batch.header for batch in self.batches)

    def differences(self) -> list[str]:
        """Where the sender's counts (BTS-1, FTS-1) are not what came: something may have been lost on its way."""
        found = [
            f"BTS-1 says {batch.stated} messages, {len(batch.messages)} came"
            for batch in self.batches
            if batch.stated not in (None, len(batch.messages))
        ]
        if self.stated not in (None, len(self.batches)):
            found.append(f"FTS-1 says {self.stated} batches, {len(self.batches)} came")
        return found


def messages_in(data: bytes) -> list[bytes]:
    """The messages in one frame, in order: usually the frame itself. An empty batch has none."""
    if not holds_several(data):
        return [data]
    return [message for batch in batches_in(data).batches for message in batch.messages]


def batches_in(data: bytes) -> BatchFile:
    """The frame taken apart at its FHS, BHS, BTS and FTS, and at every further MSH; character sets stay."""
    if not holds_several(data):
        return BatchFile(batches=[Batch(messages=[data])])
    file = BatchFile()

    def messages(text: bytes) -> list[bytes]:
        nonlocal file
        file = _taken_apart(text)
        return [message for batch in file.batches for message in batch.messages]

    found = iter(rewritten(data, messages))
    if not file.batches and not file.header:  # damaged: it is refused as one message that another begins in
        return BatchFile(batches=[Batch(messages=list(found))])
    for batch in file.batches:
        batch.messages = [next(found) for _ in batch.messages]
    return file


def _taken_apart(data: bytes) -> BatchFile:
    file = BatchFile()
    batch: Batch | None = None
    for name, rest in _pieces(data):
        if name == "FHS":
            file.header = file.header or b"FHS" + rest
        elif name == "BHS":
            batch = Batch(b"BHS" + rest)
            file.batches.append(batch)
        elif name == "BTS":
            if batch is not None:
                batch.stated = _count(rest)
            batch = None
        elif name == "FTS":
            file.stated = _count(rest)
        else:
            if batch is None:
                batch = Batch()
                file.batches.append(batch)
            batch.messages += [part for part in _NEXT.split(rest) if part.strip()]
    return file


def holds_several(data: bytes) -> bool:
    """Whether the frame may be more than one message: a second MSH, or a batch's envelope."""
    data = plain(data)
    return data.count(b"MSH") > 1 or b"FHS" in data or b"BHS" in data or b"BTS" in data or b"FTS" in data


def _pieces(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The envelope segments, by name with what follows it, and what stands between them under no name."""
    at = 0
    for match in _ENVELOPE.finditer(data):
        if data[at : match.start()].strip():
            yield "", data[at : match.start()]
        yield match[1].decode(), match[2]
        at = match.end()
    if data[at:].strip():
        yield "", data[at:]


def _count(rest: bytes) -> int | None:
    stated = rest[1:].split(rest[:1], 1)[0].strip() if rest else b""
    return int(stated) if stated.isdigit() and len(stated) < 10 else None


def acknowledge_batch(
    file: BatchFile,
    answers: Sequence[bytes],
    *,
    control_id: str,
    now: datetime,
    facility: str,
    application: str = "INTEROP",
) -> bytes:
    """The answers in a batch for each batch that came (v2.5.1 2.10.3.3), BHS-12 naming the one that is answered.

    ``answers`` are one for each of ``file``'s messages, in their order.
    """
    waiting = iter(answers)
    own: dict[int, FieldValue] = {3: application, 4: facility, 7: timestamp(now)}
    found: list[bytes] = []
    if file.header:
        found.append(_line("FHS", {**own, **_answered(file.header), 11: control_id}))
    for number, batch in enumerate(file.batches, 1):
        found.append(_line("BHS", {**own, **_answered(batch.header), 11: f"{control_id[:16]}.{number}"}))
        found += [next(waiting) for _ in batch.messages]
        differs = batch.stated not in (None, len(batch.messages))
        remark = f"BTS-1 said {batch.stated} messages, {len(batch.messages)} came" if differs else ""
        found.append(_line("BTS", {1: str(len(batch.messages)), 2: remark}))
    if file.header:
        found.append(_line("FTS", {1: str(len(file.batches))}))
    return b"".join(found)


def _line(name: str, fields: Fields) -> bytes:
    return segment(name, fields).encode("latin_1", "replace") + b"\r"


def _answered(header: bytes) -> dict[int, FieldValue]:
    """Whom the answer to this FHS or BHS goes to (its 3 and 4), and what it is the answer to (its 11)."""
    text = header.decode("latin_1")  # byte for byte there and back: an envelope states no character set
    mark = text[3:4]
    try:
        encoding = encoding_of(mark + text[4:].split(mark, 1)[0], "latin_1") if mark else None
    except MalformedError:
        encoding = None
    if encoding is None:
        return {}
    read = Segment(text[:3], text, encoding)
    found: dict[int, FieldValue] = {}
    for ours, theirs in ((5, 3), (6, 4)):
        value = read.value(theirs)
        found[ours] = tuple(value.text(part) for part in range(1, value.size + 1))
    found[12] = read.value(11).text()
    return found
