"""What one message costs in this process, without a wire and without a store."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median
from zoneinfo import ZoneInfo

import hl7

from bench.figures import Figure
from bench.intake import order
from interop.mapping.messages import map_message, read_message
from interop.mapping.tables import compile_tables
from interop.shipped import shipped

ROUNDS = 15
MESSAGES = 100
OBSERVATIONS = 40
TITLE = "HL7 v2 parsing and mapping"
EXPLANATION = f"""\
CPU time for one message, the middle of {ROUNDS} rounds of {MESSAGES}: bytes to segments to FHIR resources (Patient and
ServiceRequest; Patient, DiagnosticReport and {OBSERVATIONS} Observations), by the shipped tables. python-hl7 parses the
same bytes and maps nothing."""


def report() -> str:
    """A final ORU^R01 with many results."""
    lines = [
        "MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20261201080000||ORU^R01|R1|P|2.5.1|||||CYP|UNICODE UTF-8",
        "PID|1||B00001^^^HOSP^MR||Παπαδόπουλος^Νίκος||19580402|M",
        "ORC|RE|PL1^HOSP|FI1^RIS",
        "OBR|1|PL1^HOSP|FI1^RIS|24627-2^CT Chest^LN|||20261201075000||||||||||||||||||F",
        *(
            f"OBX|{number}|NM|{8000 + number}-1^Measurement {number}^LN|{number}|{number}.5|mm^^UCUM|0-50|N|||F"
            for number in range(1, OBSERVATIONS + 1)
        ),
    ]
    return "\r".join(lines) + "\r"


def measure() -> list[Figure]:
    """Ours and python-hl7's parser in turn, in this process."""
    tables = compile_tables(shipped("mappings"))
    zone = ZoneInfo("Asia/Nicosia")

    def ours(raw: bytes) -> None:
        map_message(read_message(raw, tables), tables, zone=zone, facility="IMG")

    gc.collect()
    gc.freeze()  # as the server does at its start
    figures = []
    for what, text, goal in (
        ("an ORM^O01 of 7 segments", order(1).replace("@@@@@@@@", "00000001"), 300.0),
        (f"an ORU^R01 of {OBSERVATIONS} OBX", report(), 1500.0),
    ):
        raw = text.encode()
        mine, theirs = [], []
        for _ in range(ROUNDS):
            mine.append(_microseconds(lambda raw=raw: ours(raw)))  # type: ignore[misc]
            theirs.append(_microseconds(lambda text=text: hl7.parse(text), MESSAGES // 10))  # type: ignore[misc]
        ratio = f"ours is {median(theirs) / median(mine):.1f}× as fast"
        figures.append(Figure(f"ours: parse and map {what}", f"{median(mine):,.0f} µs", "", ratio, f"< {goal:,.0f} µs"))
        figures.append(Figure(f"python-hl7: parse {what}", f"{median(theirs):,.0f} µs"))
    return figures


def _microseconds(work: Callable[[], object], times: int = MESSAGES) -> float:
    begun = time.process_time()
    for _ in range(times):
        work()
    return 1e6 * (time.process_time() - begun) / times
