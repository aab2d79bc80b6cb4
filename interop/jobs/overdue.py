"""overdue: a receiver has said CA, and its application's acknowledgement, which MSH-16 asked for, has not come in time.

The message is then ``unanswered``, to be seen in every list; one that comes later still settles it (v2.5.1 2.9.3).
"""

from __future__ import annotations

from datetime import timedelta

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.errors import Issue
from interop.hl7.message import parse
from interop.jobs.runner import Outcome
from interop.store import Job, MessageRow, PeerNote, Tx

OVERDUE = "overdue"
_AGENT = system_agent("sender")
_ALWAYS = "AL"  # table 0155; with ER, SU and NE silence may be the answer


def expect(tx: Tx, row: MessageRow, hours: float) -> None:
    """Look again after these hours; 0: never."""
    if hours and parse(row.raw).get("MSH-16").strip() == _ALWAYS:
        payload = {"message": row.id, "attempts": row.attempts + 1, "hours": hours}
        tx.enqueue(OVERDUE, str(row.id), payload, run_at=tx.now + timedelta(hours=hours))


class OverdueJobs:
    """The handler of kind ``overdue``."""

    async def __call__(self, job: Job) -> Outcome:
        """Mark the message of the job, if nothing has come and it was not sent anew since."""
        return Outcome(_AGENT, lambda tx: _mark(tx, job))


def _mark(tx: Tx, job: Job) -> None:
    id = int(job.payload["message"])
    tx.lock(f"answer:{id}")  # it may be coming in at this moment
    row = tx.message(id)
    if row is None or row.attempts != job.payload["attempts"] or (row.state, row.ack_code) != ("sent", "CA"):
        return
    hours = float(job.payload["hours"])
    why = f"{row.peer} accepted it (CA), and its application has not acknowledged it within {hours:g} hours"
    tx.update_message(id, state="unanswered", issues=[Issue("timeout", why).row()])
    tx.note_peers([PeerNote("out", row.peer, last_error=why, last_error_at=tx.now)])
    order = tx.order(row.order_id) if row.order_id else None
    tx.audit(
        Event(
            "hl7",
            row.type,
            "R",
            outcome="4",
            patient=f"Patient/{order.patient_id}" if order else None,
            entity=f"ServiceRequest/{order.id}" if order else None,
            detail=f"message {id}: {why}",
        )
    )
