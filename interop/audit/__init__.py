"""What happened, and how it is told: events, and the AuditEvents made from them."""

from interop.audit.codes import event_subtype, event_type
from interop.audit.event import AuditRow, Event
from interop.audit.resource import Observer, to_resource

__all__ = ["AuditRow", "Event", "Observer", "event_subtype", "event_type", "to_resource"]
