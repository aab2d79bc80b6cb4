"""How the archives are kept in step: what each feed says of itself, and the comparisons that somebody has asked for.

Both are rows of state, so that a process with the HTTP door and another with the worker know of each other.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from interop.audit.event import Event
from interop.errors import ConflictError
from interop.store import Tx

STATUS_ROW, SYNC_ROW = "pacs-status@", "pacs-sync@"
SHOWN = 50  # StudyInstanceUIDs that a comparison names
ENDED = ("done", "failed")


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """What a feed has last said of its archive. Instants are ISO 8601, UTC."""

    at: str = ""
    reachable: bool = False
    heard_at: str | None = None  # when the archive last answered
    cursor: int | str | None = None  # Orthanc: the last change that was read; else: the StudyDate looked at from
    behind: int | None = None  # Orthanc: changes that are not read yet
    growing: int = 0
    studies: int | None = None  # as the archive counts them
    compared_at: str | None = None
    compared_studies: int | None = None
    mended: int | None = None
    elsewhere: int | None = None  # studies that another archive holds too, which is asked for them
    error: str | None = None
    error_at: str | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """A comparison that somebody asked for, and how far it is."""

    since: str | None = None  # YYYY-MM-DD: studies of that day and later; None: all
    dry_run: bool = False
    asked_by: str = ""
    asked_at: str = ""
    state: str = "asked"  # asked | running | done | failed
    after: str = ""  # the StudyInstanceUID that was compared last: from there it goes on after a restart
    done: int = 0
    total: int | None = None
    differing: int = 0
    mended: int = 0
    gone: int = 0  # of those: no longer in the archive
    elsewhere: int = 0
    named: tuple[str, ...] = field(default=())  # the first that differed
    ended_at: str | None = None
    error: str | None = None

    def shown(self) -> dict[str, Any]:
        """As the API answers and the row keeps it."""
        return asdict(self) | {"named": list(self.named)}


def ask_sync(tx: Tx, archive: str, *, since: date | None, dry_run: bool) -> Sync:
    """Have the archive compared; ConflictError while another comparison of it waits or runs."""
    tx.lock(SYNC_ROW + archive)
    present = read_sync(tx, archive)
    if present is not None and present.state not in ENDED:
        raise ConflictError(f"a comparison of {archive} is under way: {present.done} of {present.total or '?'} studies")
    asked = Sync(
        since=since.isoformat() if since else None,
        dry_run=dry_run,
        asked_by=tx.agent.who,
        asked_at=tx.now.isoformat(timespec="seconds"),
    )
    write_sync(tx, archive, asked)
    detail = f"since {asked.since or 'ever'}{', to look only' if dry_run else ''}"
    tx.audit(Event("match", "pacs-sync", "E", detail=f"{archive}: {detail}"))
    return asked


def end_sync(tx: Tx, archive: str, *, error: str | None = None) -> None:
    """It is over: gone through, or failed for good."""
    present = read_sync(tx, archive)
    if present is not None:
        ended = tx.now.isoformat(timespec="seconds")
        write_sync(tx, archive, replace(present, state="failed" if error else "done", error=error, ended_at=ended))


def read_sync(tx: Tx, archive: str) -> Sync | None:
    """The last one that was asked for."""
    text = tx.get_state(SYNC_ROW + archive)
    if text is None:
        return None
    fields: dict[str, Any] = json.loads(text)
    return Sync(**fields | {"named": tuple(fields["named"])})


def write_sync(tx: Tx, archive: str, sync: Sync) -> None:
    """Keep how far it is."""
    tx.set_state(SYNC_ROW + archive, json.dumps(sync.shown()))


def read_status(tx: Tx, archive: str) -> ArchiveStatus | None:
    """What the feed has last said; None where none has run yet."""
    text = tx.get_state(STATUS_ROW + archive)
    return None if text is None else ArchiveStatus(**json.loads(text))


def write_status(tx: Tx, archive: str, status: ArchiveStatus) -> None:
    """Keep what the feed says."""
    tx.set_state(STATUS_ROW + archive, json.dumps(asdict(replace(status, at=tx.now.isoformat(timespec="seconds")))))
