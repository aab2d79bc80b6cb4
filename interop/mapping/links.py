"""Two patients of one message that belong together, or no longer do (v2.5.1 3.3.24 A24, 3.3.37 A37)."""

from __future__ import annotations

from interop.errors import InvalidContentError
from interop.hl7.message import Message
from interop.mapping.context import Context
from interop.mapping.drafting import run
from interop.mapping.mapped import MappedLink
from interop.mapping.tables import CompiledMessage


def link_of(message: Message, table: CompiledMessage, context: Context) -> MappedLink | None:
    """The patients of the two PIDs; None where the table links nobody. InvalidContentError for one PID, or three."""
    if table.linked is None:
        return None
    pids = [segment for segment in message.segments if segment.name == "PID"]
    if len(pids) != 2:
        where = "PID" if len(pids) < 2 else pids[2].location
        raise InvalidContentError(f"{message.type} is about two patients: two PIDs", location=where, hl7_code="100")
    one, other = (run(table.linked, "Patient", {"MSH": [message.header], "PID": [pid]}, context) for pid in pids)
    return MappedLink(one, other)
