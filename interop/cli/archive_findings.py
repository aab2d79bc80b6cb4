"""What ``interop doctor`` finds of the archives: whether each answers, and how it is kept in step."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from interop.archive_entries import ArchiveEntry
from interop.cli.installed import Finding
from interop.cli.status import ago
from interop.errors import InteropError
from interop.settings import Settings

if TYPE_CHECKING:
    from interop.store import Reader
    from interop.workflow.archives import ArchiveStatus, Sync

_REMEDY = "interop doctor --pacs {name} says more; until then 503: docs/runbook.md, one of several archives is down"
_SILENT = 600.0  # seconds without a look at the archive, after which its feed is not at work
_BEHIND = 1000  # changes of an Orthanc that are not read yet


async def archive_findings(settings: Settings) -> list[Finding]:
    """Whether each answers; an InteropError where the file or a secret is wrong."""
    from interop.archives import OpenArchives

    archives = OpenArchives(settings)
    findings = []
    try:
        for each in archives.all:
            subject, entry = f"archive {each.entry.name}", each.entry
            where = entry.url or "the Orthanc of the INTEROP_ORTHANC_ settings"
            try:
                await each.ping()
                findings.append(Finding("ok", subject, f"{entry.driver} at {where} answers"))
            except InteropError as error:
                findings.append(Finding("fault", subject, f"{where}: {error.text}", _REMEDY.format(name=entry.name)))
    finally:
        await archives.close()
    return findings


async def step_findings(store: Reader, settings: Settings) -> list[Finding]:
    """How each archive is kept in step with what is registered, as its feed has last said."""
    from interop.parts import archive_entries
    from interop.store import Tx
    from interop.workflow.archives import read_status, read_sync

    entries = archive_entries(settings)

    def told(tx: Tx) -> list[Finding]:
        counts = tx.placed_counts()
        return [
            _step(entry, read_status(tx, entry.name), read_sync(tx, entry.name), counts.get(entry.name, 0), tx.now)
            for entry in entries
        ]

    return await store.view(told)


def _step(
    entry: ArchiveEntry, status: ArchiveStatus | None, sync: Sync | None, registered: int, now: datetime
) -> Finding:
    subject = f"in step: {entry.name}"
    if status is None:
        return Finding(
            "warning", subject, "its feed has not run yet", "interop up or interop serve: the worker runs it"
        )
    there = "?" if status.studies is None else status.studies
    seen = f"{registered} studies here, {there} there, {_compared(status, now)}"
    if status.behind is not None:
        seen += f", {status.behind} changes behind"
    if status.elsewhere:
        seen += f", {status.elsewhere} shown from another archive"
    return Finding(*_trouble(entry, status, sync, now, subject, seen))


def _trouble(
    entry: ArchiveEntry, status: ArchiveStatus, sync: Sync | None, now: datetime, subject: str, seen: str
) -> tuple[str, str, str, str]:
    """Level, subject, what was seen, remedy."""
    name = entry.name
    if not status.reachable:
        heard = "never" if status.heard_at is None else f"{_since(status.heard_at, now)} ago"
        return "warning", subject, f"{seen}; last heard {heard}: {status.error}", f"interop doctor --pacs {name}"
    if (_age(status.at, now) or 0) > _SILENT:
        seen = f"{seen}; last looked at {_since(status.at, now)} ago"
        return "warning", subject, seen, "is a worker running? interop pacs status"
    if (status.behind or 0) > _BEHIND:
        return "warning", subject, seen, "it catches up by itself; interop pacs status says how far it is"
    late = entry.driver == "dicomweb" and (_age(status.compared_at, now) or 0) > 2 * entry.compare_hours * 3600
    if late:
        return "warning", subject, seen, f"interop pacs sync --archive {name}; compare_hours is {entry.compare_hours:g}"
    if sync is not None and sync.state == "failed":
        return (
            "warning",
            subject,
            f"{seen}; a comparison failed: {sync.error}",
            f"interop pacs sync --archive {name}",
        )
    return "ok", subject, seen, ""


def _compared(status: ArchiveStatus, now: datetime) -> str:
    return "not compared yet" if status.compared_at is None else f"compared {_since(status.compared_at, now)} ago"


def _age(instant: str | None, now: datetime) -> float | None:
    return (now - datetime.fromisoformat(instant)).total_seconds() if instant else None


def _since(instant: str, now: datetime) -> str:
    return ago(_age(instant, now) or 0.0)
