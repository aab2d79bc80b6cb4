"""What happened, as lean values, and the AuditEvent (IHE BALP) made of them on read."""

from interop.audit.event import AuditRow, Event

__all__ = ["AuditRow", "Event"]
