"""Who was somebody else before: the pairs of PID and MRG in a message (v2.5.1 3.3.40 A40, 3.3.47 A47)."""

from __future__ import annotations

from interop.errors import InvalidContentError
from interop.hl7.message import Message, Segment
from interop.mapping.context import Context
from interop.mapping.drafting import run
from interop.mapping.mapped import MappedMerge
from interop.mapping.tables import CompiledMessage


def merges_of(message: Message, table: CompiledMessage, context: Context) -> tuple[MappedMerge, ...]:
    """Each PID with its MRG; InvalidContentError where one of the two is missing. Nothing if the table has no MRG."""
    if table.prior is None or table.patient is None:
        return ()
    header = [message.header]
    found: list[MappedMerge] = []
    pid: Segment | None = None
    for segment in message.segments:
        if segment.name == "PID":
            _refuse_alone(pid)
            pid = segment
        elif segment.name == "MRG":
            if pid is None:
                raise InvalidContentError("an MRG needs its PID before it", location=segment.location, hl7_code="100")
            survivor = run(table.patient, "Patient", {"MSH": header, "PID": [pid]}, context)
            prior = run(table.prior, "Patient", {"MSH": header, "MRG": [segment]}, context)
            found.append(MappedMerge(survivor, prior, segment.location))
            pid = None
    _refuse_alone(pid)
    return tuple(found)


def _refuse_alone(pid: Segment | None) -> None:
    if pid is not None:
        raise InvalidContentError("a PID needs its MRG after it", location=pid.location, hl7_code="100")
