"""Decisions on which order a study is of: all are kept, the newest of a study holds."""

from __future__ import annotations

import json
from typing import Any

from interop.store import instants
from interop.store import statements as sql
from interop.store.rows import Decision
from interop.store.unit import Unit

_NEWEST = 2**62


class Decisions(Unit):
    """The decisions of a transaction."""

    def decide(
        self,
        study_uid: str,
        order_id: str | None,
        rule: str,
        *,
        person: bool = False,
        evidence: dict[str, Any] | None = None,
        before: dict[str, Any] | None = None,
    ) -> None:
        """Keep a decision of this unit's agent; it holds from now on."""
        self.session.put(sql.MATCH_CLOSE, (study_uid,))
        texts = (json.dumps(evidence or {}, sort_keys=True), json.dumps(before or {}, sort_keys=True))
        values = (study_uid, order_id, rule, self.agent.who, int(person), *texts, self._now)
        self.session.put(sql.MATCH_INSERT, values)

    def decision(self, study_uid: str) -> Decision | None:
        """The one that holds; None for a study of which nothing was decided."""
        row = self.session.row(sql.MATCH_HELD, (study_uid,))
        return None if row is None else _decision(row)

    def decisions(self, study_uid: str, *, limit: int = 100) -> list[Decision]:
        """All that were made of the study, newest first."""
        return [_decision(row) for row in self.session.rows(sql.MATCHES, (study_uid, limit))]

    def unmatched(self, *, before: int | None = None, limit: int = 100) -> list[Decision]:
        """Those that hold and name no order, newest first; ``before`` is the pk where the page before ended."""
        rows = self.session.rows(sql.MATCH_WAITING, (_NEWEST if before is None else before, limit))
        return [_decision(row) for row in rows]


def _decision(row: tuple[Any, ...]) -> Decision:
    pk, study_uid, order_id, rule, who, person, evidence, before, at = row
    parts = json.loads(evidence), json.loads(before)
    return Decision(study_uid, order_id, rule, who, bool(person), *parts, instants.instant(at), pk)
