"""Jobs: effects outside the database, owed by the commit that made them.

A claim is a lease with a fence: whoever lets it run out has lost the job, and what it reports later is not heard. Jobs
of one kind and key are claimed in the order they were enqueued, one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from interop.fhir.json import dumps
from interop.store import instants
from interop.store import statements as sql
from interop.store.messages import plain
from interop.store.rows import EVERY_KEY, EVERY_KIND, Job, KeyRange
from interop.store.unit import Unit

_SECOND = 1_000_000
_LAST = 2**62  # a number that no job has yet


class Queue(Unit):
    """The jobs of a transaction."""

    def enqueue(
        self, kind: str, key: str, payload: dict[str, Any], *, run_at: datetime | None = None, replace: bool = False
    ) -> None:
        """Owe an effect.

        ``replace``, for effects that are rendered when they run: a job of the same kind and key that nobody has
        claimed is kept, with this payload and no later than this, and not doubled.
        """
        due = self._now if run_at is None else instants.micros(run_at)
        written, key = dumps(payload).decode(), plain(key)
        self.enqueued.add(kind)
        fresh = (kind, key, written, due, self._now)
        if replace and self.session.dialect == "postgresql":  # without waiting for an answer
            self.session.put(sql.JOB_RENEW_OR_INSERT, (kind, key, written, due, due, *fresh))
            return
        waiting = self.session.row(sql.JOB_WAITING, (kind, key)) if replace else None
        if waiting is None:
            self.session.put(sql.JOB_INSERT, fresh)
        else:
            self.session.put(sql.JOB_RENEW, (written, due, due, waiting[0]))

    def claim_jobs(
        self, kinds: Sequence[str] | None, limit: int, lease: float, keys: KeyRange = EVERY_KEY
    ) -> list[Job]:
        """Take up to this many due jobs for ``lease`` seconds, oldest first."""
        if kinds is not None and not kinds:
            return []
        dialect = self.session.dialect
        marks = ", ".join("?" for _ in kinds or ())
        chosen = "" if kinds is None else sql.JOB_OF_KINDS[dialect].format(marks=marks)
        held = (sql.JOB_OF_KEYS if keys.begin else "") + sql.JOB_NOT_OF_KEYS * len(keys.but)
        prefixes = (keys.begin, *keys.but) if keys.begin else keys.but
        bounds = [edge for prefix in prefixes for edge in _edges(plain(prefix))]
        statement = sql.JOB_CLAIM[dialect].replace("{kinds}", chosen).replace("{keys}", held)
        until = self._now + int(lease * _SECOND)
        claimed = self.session.rows(statement, (until, self._now, self._now, *(kinds or ()), *bounds, limit))
        return [_job(row) for row in sorted(claimed)]

    def finish_job(self, job: Job) -> bool:
        """The effect has happened; False where the claim was lost meanwhile."""
        return self.session.run(sql.JOB_FINISH, (job.id, job.attempt)) > 0

    def retry_job(self, job: Job, error: str, delay: float) -> bool:
        """Put it back, due in ``delay`` seconds; False where the claim was lost meanwhile."""
        due = self._now + int(delay * _SECOND)
        self.enqueued.add(job.kind)
        held = self.session.run(sql.JOB_RETRY, (due, plain(error), job.id, job.attempt)) > 0
        if held:  # those behind it wait as long; else every claim would walk past all of them
            self.session.put(sql.JOB_HOLD, (due, job.kind, job.key, job.id, due))
        return held

    def bury_job(self, job: Job, error: str) -> bool:
        """Give up: a dead letter that only replay wakes; those behind it go on. False where the claim was lost."""
        self.enqueued.add(job.kind)
        return self.session.run(sql.JOB_BURY, (plain(error), job.id, job.attempt)) > 0

    def extend_job(self, job: Job, lease: float) -> bool:
        """Keep it for ``lease`` seconds from now; False where the claim was lost meanwhile."""
        return self.session.run(sql.JOB_EXTEND, (self._now + int(lease * _SECOND), job.id, job.attempt)) > 0

    def replay_job(self, id: int) -> bool:
        """Owe a dead letter again; False where there is none of this number."""
        self.enqueued.add(EVERY_KIND)
        return self.session.run(sql.JOB_REPLAY, (self._now, id)) > 0

    def replay_jobs(self, kind: str, prefix: str) -> int:
        """Owe again every dead letter of a kind whose key begins so; how many."""
        self.enqueued.add(kind)
        return self.session.run(sql.JOBS_REPLAY, (self._now, kind, *_edges(prefix)))

    def find_job(self, kind: str, key: str, payload: dict[str, Any]) -> tuple[int, str] | None:
        """Number and state (ready, dead) of the newest job that is exactly this; None where it is not owed."""
        found = self.session.row(sql.JOB_OF_PAYLOAD, (kind, plain(key), dumps(payload).decode()))
        return None if found is None else (int(found[0]), str(found[1]))

    def hasten_job(self, id: int) -> None:
        """Let it run now instead of when its pause is over."""
        self.enqueued.add(EVERY_KIND)
        self.session.put(sql.JOB_HASTEN, (self._now, id, self._now))

    def hasten_jobs(self, kind: str, prefix: str) -> None:
        """Let all of a kind whose key begins so run now."""
        self.enqueued.add(kind)
        self.session.put(sql.JOBS_HASTEN, (self._now, kind, *_edges(prefix), self._now))

    def drop_job(self, id: int) -> bool:
        """Owe it no more; False while somebody is at it."""
        self.enqueued.add(EVERY_KIND)  # those behind it go on
        return self.session.run(sql.JOB_DROP, (id, self._now)) > 0

    def dead_jobs(
        self, *, kinds: Sequence[str] | None = None, before: int | None = None, limit: int = 100
    ) -> list[Job]:
        """The dead letters, newest first; of these kinds, and before that number, where they are given."""
        marks = ", ".join("?" for _ in kinds or ())
        if kinds is not None and not kinds:
            return []
        chosen = "" if kinds is None else sql.JOBS_DEAD_OF_KINDS.format(marks=marks)
        values = (_LAST if before is None else before, *(kinds or ()), limit)
        return [_job(row) for row in self.session.rows(sql.JOBS_DEAD.format(kinds=chosen), values)]

    def dead_job(self, id: int) -> Job | None:
        """The dead letter of this number; None where there is none."""
        row = self.session.row(sql.JOB_DEAD, (id,))
        return None if row is None else _job(row)

    def drop_dead(self, kind: str, key: str) -> None:
        """Owe dead letters of this kind and key no more: the same is owed anew, as it is wanted now."""
        self.session.put(sql.JOBS_DEAD_DROP, (kind, plain(key)))

    def dead_counts(self) -> dict[str, int]:
        """How many dead letters there are of each kind that has any."""
        return {str(kind): int(count) for kind, count in self.session.rows(sql.JOBS_DEAD_COUNTS)}

    def failing_jobs(self, kind: str) -> tuple[int, str]:
        """How many jobs of a kind have failed and are tried again, and why one of them; 0 and "" where none has."""
        count, why = self.session.row(sql.JOB_FAILING, (kind,)) or (0, None)
        return int(count), str(why or "")

    def next_due(self) -> datetime | None:
        """When the next job is due or its lease runs out; None where none is owed."""
        found = self.session.row(sql.JOB_NEXT_DUE)
        return None if found is None or found[0] is None else instants.instant(found[0])

    def job_counts(self) -> dict[str, int]:
        """How many jobs are ready, running, waiting for their time, and dead."""
        counted = dict(self.session.rows(sql.JOB_COUNTS, (self._now, self._now)))
        return {stand: counted.get(stand, 0) for stand in ("ready", "running", "waiting", "dead")}


def _edges(prefix: str) -> tuple[str, str]:
    """Keys that begin so lie from the first of these up to the second: they are compared letter by letter."""
    return prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _job(row: tuple[Any, ...]) -> Job:
    return Job(
        id=row[0],
        kind=row[1],
        key=row[2],
        payload=json.loads(row[3]),
        attempt=row[4],
        created=instants.instant(row[5]),
        last_error=row[6],
    )
