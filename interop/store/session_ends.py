"""Sessions that were ended before their time: what every process has to hear of soon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from interop.store import instants
from interop.store import statements as sql
from interop.store.unit import Unit

_KEY = "session-end"


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """One ending."""

    seq: int
    name: str  # whose sessions, or which one
    before: datetime  # those that began until then
    until: datetime  # when the last of them would have ended by itself


class SessionEnds(Unit):
    """The endings of a transaction."""

    def end_sessions(self, name: str, *, before: datetime, until: datetime) -> None:
        """Whatever goes by this name and began until ``before`` has ended; what is over anyway is forgotten."""
        # One unit after another, so that numbers become visible in their order: whoever saw one has seen all below it.
        self.lock(_KEY)
        self.session.put(sql.SESSION_ENDS_FORGET, (self._now,))
        self.session.put(sql.SESSION_END, (name, instants.micros(before), instants.micros(until)))

    def session_ends(self, after: int = 0) -> list[SessionEnd]:
        """Those behind the one of this number, in their order."""
        return [
            SessionEnd(seq, name, instants.instant(before), instants.instant(until))
            for seq, name, before, until in self.session.rows(sql.SESSION_ENDS, (after,))
        ]
