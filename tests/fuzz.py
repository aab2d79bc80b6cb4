"""Mutated HL7 through everything that reads and writes it; ``make fuzz`` runs a million frames.

The same seed gives the same frames. A frame goes, cut at random places, through the decoder, then what it gave through
batch split, character set, tokenizer, mapping, acknowledgement and the writer. What may come out: values, or an
InteropError where bad input is refused. Anything else is a finding, printed with the frame that made it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from interop.errors import InteropError, MalformedError
from interop.hl7.acknowledgement import acknowledge
from interop.hl7.batches import acknowledge_batch, batches_in, messages_in
from interop.hl7.framing import Frame, FrameDecoder, FramingFault, frame
from interop.hl7.message import Message, header_of, parse
from interop.mapping.messages import Mapped, map_message, read_message
from interop.mapping.outbound import order_message, report_message
from interop.mapping.tables import Tables
from tests.hl7_messages import adt, header, message, orm, oru
from tests.sites import RIS, tables

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Nicosia")
LIMIT = 20_000
KNOWN = {"resourceType": "Patient", "identifier": [{"system": "urn:oid:1.2.3", "value": "1"}]}
SETS = [
    b"8859/1", b"8859/7", b"UNICODE UTF-8", b"UNICODE UTF-16", b"~ISO IR87", b"BIG-5", b"GB 18030-2000", b"KS X 1001",
    b"ASCII", b"KLINGON", b"~", b"",
]  # fmt: skip
TOKENS = [
    b"\x0b", b"\x1c", b"\x1c\r", b"\x1c\n", b"\r", b"\n", b"\x00", b"|", b"^", b"~", b"\\", b"&", b'""', b"|||||||||",
    b"\\X0D\\", b"\\XFF", b"\\T\\", b"\\.br\\", b"\\.sp99\\", b"\\Z1\\", b"\\E", b"\x1b$B", b"\x1b(B", b"\xff\xfe",
    b"\xfe\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\x81", b"\xa4\\", b"\x85",
    b"MSH|", b"\rMSH|^~\\&|", b"\rZDS|1.2.3", b"\rOBX|1|NM|A||", b"\rOBR|", b"\rORC|", b"\rPID|", b"FHS|^~\\&|",
    b"\rBTS|9\r", b"\rFTS|", b"BHS", b"20261301", b"2026022930", b"99991231235959-1200",
    b"00010101000000+1400", b"+9999", b"1e400", b"-0", b"NaN", b"9" * 40, b"\x06",
    b"\x15", b"<", b"|NW|", b"|CA|", b"|XO|", b"|SN|", b"|ED|", b"^application^pdf^Base64^QUJD", b"|TX|", b"|CE|",
]  # fmt: skip


def seeds() -> list[bytes]:
    """Messages to begin with; those of the corpus, too, where it is there."""
    omi = message(
        header("OMI^O23^OMI_O23", "F1"),
        "PID|1||9^^^H^MR||Doe^Jane||1970|F",
        "PV1|1|O||||||12^House",
        "ORC|NW|P7^RIS|||||^^^20261121083000^^R",
        "TQ1|1||||||20261121083000||R",
        "OBR|1|P7^RIS||CTCH^CT chest^L^A^B^C|||||||||||||||||||||||||||^pain",
        "IPC|A7^I|RP7|1.2.3.4|SPS7|CT|CHEST^Chest^L|CT1||CT1",
    )
    odd = message(
        header("ORU^R01", "F2"),
        "PID|1||9||D^J",
        "OBR|1||F9^RIS|X^Y|||2026|||||||||||||||||||F",
        "OBX|1|ED|PDF^Report^L||^application^pdf^Base64^JVBERi0xLjQKJSVFT0YK||||||F",
        "ZZZ|a^b&c~d\\F\\",
    )
    orders = [orm(study="1.2.3.4.5", accession="A1", id="F3"), orm("CA", status="CA", id="F4"), omi]
    made = [*orders, odd, oru("C", id="F5"), adt("A01", id="F6"), adt("A40", id="F7")]
    batch = b"FHS|^~\\&|RIS\rBHS|^~\\&|RIS\r" + adt(id="F8") + orm(placer="P2", id="F9") + b"BTS|2\rFTS|1\r"
    found = [*made, batch]
    if "INTEROP_CORPUS" in os.environ:
        paths = sorted((Path(os.environ["INTEROP_CORPUS"]) / "hl7").rglob("*.hl7"))
        found += [raw for raw in (path.read_bytes() for path in paths) if len(raw) < 3000]
    return found


def mutated(raw: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A frame with one to six things wrong with it, inside or in its framing."""
    data = bytearray(b"\x0b" + raw + b"\x1c\r")
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(9)
        if kind == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 1:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 2:
            del data[at : at + rng.choice((1, 1, 2, 5, 30))]
        elif kind == 3:
            end = at + rng.randint(1, 60)
            data[at:at] = data[at:end] * rng.randint(1, 4)
        elif kind == 4:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            data[at : at + 40] = other[start : start + rng.randint(1, 80)]
        elif kind == 5:
            lines = bytes(data).split(b"\r")
            rng.shuffle(lines)
            data = bytearray(b"\r".join(lines))
        elif kind == 6:
            data = bytearray(bytes(data).replace(b"UNICODE UTF-8", rng.choice(SETS)))
        elif kind == 7:
            fields = bytes(data).split(b"|")
            fields[rng.randrange(len(fields))] = rng.choice(TOKENS)
            data = bytearray(b"|".join(fields))
        else:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(data)


@dataclass
class Fuzz:
    """One run; ``counts`` is what became of the frames, ``findings`` what nobody had thought of."""

    seed: int
    tables: Tables = field(default_factory=tables)
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def frames(self, count: int) -> Iterator[bytes]:
        """The frames of this seed."""
        rng = random.Random(self.seed)
        others = seeds()
        for _ in range(count):
            yield mutated(rng.choice(others), others, rng)

    def run(self, count: int, seconds: float) -> None:
        """So many frames, or as many as there is time for."""
        rng = random.Random(self.seed + 1)
        ends = time.monotonic() + seconds
        for data in self.frames(count):
            if time.monotonic() > ends or len(self.findings) >= 20:
                break
            self.counts["frames"] += 1
            try:
                self._through(data, rng)
            except Exception:
                self.findings.append(
                    f"seed {self.seed}, frame {self.counts['frames']}: {data!r}\n{traceback.format_exc()}"
                )

    def _through(self, data: bytes, rng: random.Random) -> None:
        decoder = FrameDecoder(rng.choice((200, LIMIT, LIMIT, LIMIT, LIMIT)))
        cuts = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))})
        found: list[Frame | FramingFault] = []
        for start, end in pairwise(cuts):
            found += decoder.feed(data[start:end])
        for item in found + decoder.quiet() + decoder.eof():
            if isinstance(item, FramingFault):
                self.counts[f"fault {item.reason}"] += 1
                self._answer(header_of(item.head), "AR", MalformedError(item.text))
            else:
                self._frame(item.data)

    def _frame(self, data: bytes) -> None:
        file = batches_in(data)
        raws = [raw for batch in file.batches for raw in batch.messages]
        assert raws == messages_in(data)
        answers = [self._message(raw) for raw in raws]
        if file.enveloped:
            self.counts["batches"] += 1
            whole = acknowledge_batch(file, answers, control_id="F1", now=NOW, facility="IMG")
            assert len(messages_in(whole)) == len(answers), "the batch of answers is not what was answered"
            frame(whole)

    def _message(self, raw: bytes) -> bytes:
        try:
            read = read_message(raw, self.tables)
        except InteropError as error:
            self.counts["unreadable"] += 1
            return self._answer(header_of(raw), error.ack_code, error)
        try:
            mapped = map_message(read, self.tables, zone=ZONE, facility="IMG")
        except InteropError as error:
            self.counts["refused"] += 1
            return self._answer(read, error.ack_code, error)
        self.counts["mapped"] += 1
        self._write(mapped)
        return self._answer(read, "AA", None)

    def _answer(self, read: Message | None, code: str, error: InteropError | None) -> bytes:
        issues = (*(error.issues if error else ()), *(read.issues if read else ()))
        ack = acknowledge(read, code, issues=issues, control_id="F1", now=NOW, facility="IMG")
        assert FrameDecoder(1_000_000).feed(frame(ack)) == [Frame(ack)]
        back = parse(ack)
        assert back.get("MSA-1") == code
        assert [one.name for one in back.segments] == ["MSH", "MSA"] + ["ERR"] * len(issues)
        return ack

    def _write(self, mapped: Mapped) -> None:
        patient = mapped.patient or KNOWN  # whom the order is of, where the message names nobody
        out = [
            order_message(
                {**one.service_request, "status": "active"}, patient, control=one.event, receiver=RIS, control_id="F1",
                now=NOW, zone=ZONE, facility="IMG", tables=self.tables,
            )
            for one in mapped.orders
        ]  # fmt: skip
        out += [
            report_message(
                one.report, one.observations, patient, None, one.study_uid, receiver=RIS, control_id="F1",
                now=NOW, zone=ZONE, facility="IMG", tables=self.tables,
            )
            for one in mapped.reports
        ]  # fmt: skip
        for raw in out:
            self.counts["written"] += 1
            assert FrameDecoder(10_000_000).feed(frame(raw)) == [Frame(raw)]
            assert messages_in(raw) == [raw]
            assert parse(raw).issues == (), "what we write is read with a doubt"


def main() -> int:
    """Exit status 0 without findings."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600.0, help="end after this time however many are left")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    fuzz = Fuzz(asked.seed)
    began = time.monotonic()
    fuzz.run(asked.frames, asked.seconds)
    told = ", ".join(f"{count} {name}" for name, count in sorted(fuzz.counts.items()))
    print(f"seed {asked.seed}: {told} in {time.monotonic() - began:.0f} s; {len(fuzz.findings)} findings")
    for finding in fuzz.findings:
        print(finding, file=sys.stderr)
    return 1 if fuzz.findings else 0


if __name__ == "__main__":
    sys.exit(main())
