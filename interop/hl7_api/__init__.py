"""The door to the messages: which there were, and replaying, sending again or giving up."""

from interop.hl7_api.questions import QUESTIONS, asked, moment
from interop.hl7_api.routes import hl7_routes
from interop.hl7_api.shown import line_of, row_of, shown_line, shown_row
from interop.hl7_api.steering import VERBS, Done, Steering

__all__ = [
    "QUESTIONS",
    "VERBS",
    "Done",
    "Steering",
    "asked",
    "hl7_routes",
    "line_of",
    "moment",
    "row_of",
    "shown_line",
    "shown_row",
]
