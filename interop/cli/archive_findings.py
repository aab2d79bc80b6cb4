"""What ``interop doctor`` finds of the archives that INTEROP_PACS names."""

from __future__ import annotations

from interop.cli.installed import Finding
from interop.errors import InteropError
from interop.settings import Settings

_REMEDY = "its studies are answered with 503 meanwhile: docs/runbook.md, one of several archives is down"


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
                findings.append(Finding("fault", subject, f"{where}: {error.text}", _REMEDY))
    finally:
        await archives.close()
    return findings
