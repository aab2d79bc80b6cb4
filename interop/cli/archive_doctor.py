"""``interop doctor --pacs``: what a live archive can do, and what its entry should say of it.

It only looks, unless it is told to store: then a test object goes there, is retrieved in every form, and is deleted
where there is a way. What is asked, and with which credentials, is what the server itself would ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from interop.archive_entries import ArchiveEntry
from interop.cli import archive_images, archive_searches
from interop.cli.archive_probe import Probe, unreached
from interop.cli.findings import show
from interop.cli.installed import Finding
from interop.errors import InteropError, NotFoundError, UnavailableError
from interop.settings import Settings

Check = Callable[[Probe], Awaitable[list[Finding]]]

_SEARCHES: tuple[tuple[str, Check], ...] = (
    ("limit, offset", archive_searches.paging),
    ("parameters", archive_searches.parameters),
    ("poll_key", archive_searches.polling),
)
_IMAGES: tuple[tuple[str, Check], ...] = (
    ("metadata", archive_images.metadata),
    ("instance", archive_images.whole),
    ("frames", archive_images.frames),
    ("rendered", archive_images.pictures),
)


async def examine_archive(settings: Settings, name: str | None, *, store: bool = False) -> int:
    """Print what is found; 1 when something of it is a fault. NotFoundError for a name that no entry has."""
    from interop.parts import archive_entries

    entries = archive_entries(settings)
    entry = next((one for one in entries if name in (None, one.name)), None)
    if entry is None:
        raise NotFoundError(f"there is no archive {name}: {', '.join(one.name for one in entries)}")
    return show(await archive_findings(entry, settings, store=store))


async def archive_findings(entry: ArchiveEntry, settings: Settings, *, store: bool = False) -> list[Finding]:
    """Everything that is found of it, as far as one finding lets the next be asked for."""
    from interop.archives import open_archive
    from interop.parts import archive_url

    where = entry.url or archive_url(settings)
    opened = open_archive(entry, settings)
    begun = [Finding("ok", f"archive {entry.name}", f"{entry.driver} at {where}")]
    probe = Probe(opened)
    try:
        try:
            begun += await _version(probe)
            begun += await archive_searches.credentials(probe)
        except UnavailableError as error:
            return [*begun, unreached(error, where)]
        if _broken(begun):
            return begun
        return [*begun, *await _examined(probe, store=store)]
    finally:
        await opened.close()


async def _version(probe: Probe) -> list[Finding]:
    """Of an Orthanc; that its REST API refuses the credentials shows at the next question, too."""
    if probe.opened.client is None:
        return []
    try:
        return [Finding("ok", "Orthanc", await probe.opened.client.ping())]
    except InteropError:
        return []


async def _examined(probe: Probe, *, store: bool) -> list[Finding]:
    findings = await _tried(("STOW-RS", archive_images.store), probe) if store else []
    try:
        found = await _tried(("studies", archive_searches.studies), probe)
        findings += found
        if probe.study:
            for check in _SEARCHES:
                findings += await _tried(check, probe)
            found = await _tried(("series", archive_searches.below), probe)
            findings += found
        for check in _IMAGES if probe.instance else ():
            findings += await _tried(check, probe)
    finally:
        findings += await _tried(("test object", archive_images.delete), probe)
    return findings


async def _tried(check: tuple[str, Check], probe: Probe) -> list[Finding]:
    """Its findings; an archive that breaks off is one, and the other checks go on."""
    subject, examine = check
    try:
        return await examine(probe)
    except InteropError as error:
        return [archive_searches.gone(subject, error)]


def _broken(findings: list[Finding]) -> bool:
    return any(finding.level == "fault" for finding in findings)
