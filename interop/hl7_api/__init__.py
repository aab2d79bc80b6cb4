"""The door to the messages: how the feeds stand, which messages there were, replaying, sending again, giving up."""

from interop.hl7_api.questions import QUESTIONS, asked, moment
from interop.hl7_api.routes import hl7_routes
from interop.hl7_api.shown import line_of, row_of, shown_line, shown_row
from interop.hl7_api.status import FeedStatus, PeerStatus, shown_status, status_of
from interop.hl7_api.steering import VERBS, Done, Steering

__all__ = [
    "QUESTIONS",
    "VERBS",
    "Done",
    "FeedStatus",
    "PeerStatus",
    "Steering",
    "asked",
    "hl7_routes",
    "line_of",
    "moment",
    "row_of",
    "shown_line",
    "shown_row",
    "shown_status",
    "status_of",
]
