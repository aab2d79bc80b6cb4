"""What every part of a transaction knows: who acts, when, and the open session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from interop.access.agent import Agent
from interop.audit.event import AuditRow
from interop.store import ids, instants
from interop.store.search_index import IndexRows
from interop.store.session import Session
from interop.store.watched import Watched

AuditResource = Callable[[AuditRow], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a store lends to each of its transactions."""

    zone: tzinfo
    index: IndexRows
    audit_resource: AuditResource
    watched: Watched = field(default_factory=Watched)


class Unit:
    """One unit of work in progress."""

    def __init__(self, session: Session, agent: Agent, now: datetime, surroundings: Surroundings) -> None:
        self.session = session
        self.agent = agent
        self.now = now
        self.zone = surroundings.zone
        self.enqueued: set[str] = set()  # the kinds of which jobs are due now, or EVERY_KIND
        self._surroundings = surroundings
        self._now = instants.micros(now)
        self._held: set[str] = set()
        self._made: set[str] = set()  # ids that nobody but this unit knows
        self._seen: dict[tuple[str, str], tuple[Any, ...] | None] = {}  # current versions, as this unit has read them
        self._mine: set[tuple[str, str]] = set()  # those of them that nobody else can change before this unit ends
        self._expected: set[tuple[str, str]] = set()  # that it is going to change
        self._drawn: dict[str, int] = {}  # numbers that it is going to ask for

    def new_id(self) -> str:
        """A new id; ids sort by the time they were made."""
        id = ids.new_id()
        self._made.add(id)
        return id

    def lock(self, *keys: str) -> None:
        """Let no other unit that locks one of these keys run beside this one.

        What is read afterwards is what the holder before has committed. On SQLite units run one after another anyway.
        """
        fresh = [key for key in keys if key not in self._held]
        if fresh:
            self._held.update(fresh)
            self.session.lock(fresh)
            if not self.session.alone:
                self._seen = {key: row for key, row in self._seen.items() if key in self._mine}

    @property
    def distant(self) -> bool:
        """Whether each question takes a way there and back, so that it pays to foresee them."""
        return not self.session.alone

    def next_number(self, name: str) -> int:
        """The next number of the named counter: given once, with gaps where a unit was undone."""
        drawn = self._drawn.pop(name, None)
        return self.session.next_number(name) if drawn is None else drawn

    def foresee_number(self, name: str) -> int:
        """The number that ``next_number`` will give to this unit."""
        if name not in self._drawn:
            self._drawn[name] = self.session.next_number(name)
        return self._drawn[name]
