"""Links that were shared: what they open, until when, and how often they did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from interop.store import instants
from interop.store import statements as sql
from interop.store.unit import Unit

_LAST = "~"  # behind every id


@dataclass(frozen=True, slots=True)
class ShareRow:
    """One of them; the secret that it is opened with is kept nowhere."""

    id: str
    who: str
    studies: tuple[str, ...]
    annotate: bool
    label: str | None
    created: datetime
    expires: datetime
    revoked: datetime | None = None
    openings: int = 0
    opened: datetime | None = None  # the last time


class Shares(Unit):
    """The shares of a transaction."""

    def put_share(self, row: ShareRow, digest: str) -> None:
        """Keep a new one, under the digest of its secret."""
        times = (instants.micros(row.created), instants.micros(row.expires))
        studies = orjson.dumps(row.studies).decode()
        self.session.put(sql.SHARE_INSERT, (digest, row.id, row.who, studies, int(row.annotate), row.label, *times))

    def share(self, id: str) -> ShareRow | None:
        """The one of this id."""
        found = self.session.row(sql.SHARE, (id,))
        return None if found is None else _row(found)

    def share_by_digest(self, digest: str) -> ShareRow | None:
        """The one whose secret has this digest."""
        found = self.session.row(sql.SHARE_BY_DIGEST, (digest,))
        return None if found is None else _row(found)

    def shares(self, who: str | None = None, *, before: str | None = None, limit: int = 50) -> list[ShareRow]:
        """Those of one person, or all, newest first, from the one behind ``before`` on."""
        if who is None:
            found = self.session.rows(sql.SHARES, (before or _LAST, limit))
        else:
            found = self.session.rows(sql.SHARES_OF, (who, before or _LAST, limit))
        return [_row(each) for each in found]

    def open_share(self, id: str) -> None:
        """It was opened once more."""
        self.session.put(sql.SHARE_OPENED, (self._now, id))

    def revoke_share(self, id: str) -> None:
        """It opens nothing from now on; one that was revoked before stays as it is."""
        self.session.put(sql.SHARE_REVOKE, (self._now, id))

    def forget_shares(self, expired_before: datetime) -> None:
        """Drop what ended long ago."""
        self.session.put(sql.SHARES_FORGET, (instants.micros(expired_before),))


def _row(found: tuple[Any, ...]) -> ShareRow:
    id, who, studies, annotate, label, created, expires, revoked, openings, opened = found
    return ShareRow(
        id,
        who,
        tuple(orjson.loads(studies)),
        bool(annotate),
        label,
        instants.instant(created),
        instants.instant(expires),
        None if revoked is None else instants.instant(revoked),
        openings,
        None if opened is None else instants.instant(opened),
    )
