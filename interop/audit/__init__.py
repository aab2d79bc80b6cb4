"""What happened, as lean values, and the AuditEvent (IHE BALP) made of them on read."""

from interop.audit.event import Event

__all__ = ["Event"]
