"""``interop doctor``: every dependency, version and connection, and what to do about each that is not well."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from interop.errors import InteropError
from interop.settings import Settings

SQLITE_MENDED = (3, 51, 3)  # the release that mended the WAL-reset fault; ours is guarded by a single connection
PLUGINS = Path("/usr/share/orthanc/plugins")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw: ok, warning or fault, and the remedy unless all is well."""

    level: str
    subject: str
    seen: str
    remedy: str = ""


Check = Callable[[Settings], Awaitable[list[Finding]]]


async def examine(settings: Settings) -> int:
    """Print the findings; 1 when one of them is a fault."""
    findings = [finding for check in CHECKS for finding in await check(settings)]
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "seen", "what to do"):
        table.add_column(column, overflow="fold")
    marks = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]", "fault": "[red]fault[/red]"}
    for finding in findings:
        table.add_row(marks[finding.level], finding.subject, finding.seen, finding.remedy)
    Console(highlight=False).print(table)
    return 1 if any(finding.level == "fault" for finding in findings) else 0


async def _versions(settings: Settings) -> list[Finding]:
    findings = [Finding("ok", "Python", sys.version.split()[0])]
    if sqlite3.sqlite_version_info >= SQLITE_MENDED:
        findings.append(Finding("ok", "SQLite", sqlite3.sqlite_version))
    elif settings.database.startswith("sqlite"):
        remedy = (
            "has the WAL-reset fault (mended in 3.51.3); the server keeps one connection, do not open its file to write"
        )
        findings.append(Finding("warning", "SQLite", sqlite3.sqlite_version, remedy))
    return findings


async def _programs(_: Settings) -> list[Finding]:
    findings = []
    for program, package in (("/usr/sbin/Orthanc", "orthanc"), ("findscu", "dcmtk"), ("chromium", "chromium")):
        path = shutil.which(program)
        level = "ok" if path else ("fault" if package == "orthanc" else "warning")
        findings.append(Finding(level, package, path or "not installed", "" if path else f"apt-get install {package}"))
    for library in ("libOrthancDicomWeb.so", "libModalityWorklists.so"):
        there = (PLUGINS / library).exists()
        remedy = "" if there else "apt-get install orthanc orthanc-dicomweb"
        findings.append(
            Finding("ok" if there else "fault", library, str(PLUGINS) if there else "not installed", remedy)
        )
    return findings


async def _files(settings: Settings) -> list[Finding]:
    from interop.parts import ohif_folder

    ohif = ohif_folder(settings)
    there = (ohif / "index.html").is_file()
    findings = [
        Finding("ok" if there else "fault", "OHIF", str(ohif), "" if there else "make setup, or set INTEROP_OHIF_DIR"),
    ]
    if settings.time_zone == "UTC":
        remedy = "set INTEROP_TIME_ZONE unless the modalities really run on UTC"
        findings.append(Finding("warning", "time zone", "UTC, the default", remedy))
    else:
        findings.append(Finding("ok", "time zone", settings.time_zone))
    return findings


async def _database(settings: Settings) -> list[Finding]:
    from interop.store import open_reader

    shown = settings.database.rsplit("@", 1)[-1]
    try:
        store = await open_reader(settings.database, zone=settings.zone)
    except (InteropError, OSError) as error:
        return [Finding("fault", "database", f"{shown}: {error}", "interop migrate, or check INTEROP_DATABASE_URL")]
    try:
        stats = await store.stats()
    except InteropError as error:
        return [Finding("fault", "database", f"{shown}: {error}", "interop migrate")]
    finally:
        await store.close()
    findings = [Finding("ok", "database", shown)]
    if dead := stats.jobs.get("dead", 0):
        findings.append(
            Finding("warning", "dead letters", str(dead), "look at them on the start page, mend the receiver")
        )
    return findings


async def _archive(settings: Settings) -> list[Finding]:
    from interop.parts import archive_credentials

    user, password = archive_credentials(settings)
    try:
        async with httpx.AsyncClient(timeout=3, trust_env=False, auth=(user, password or "")) as client:
            answer = await client.get(f"{settings.orthanc_url}/system")
    except httpx.HTTPError as error:
        remedy = "interop up starts a private one; else check INTEROP_ORTHANC_URL"
        return [Finding("fault", "Orthanc", f"{settings.orthanc_url}: {type(error).__name__}", remedy)]
    if answer.status_code != httpx.codes.OK:
        remedy = "check INTEROP_ORTHANC_USERNAME and INTEROP_ORTHANC_PASSWORD"
        return [Finding("fault", "Orthanc", f"{settings.orthanc_url}: HTTP {answer.status_code}", remedy)]
    version = str(answer.json().get("Version", "?"))
    findings = [Finding("ok", "Orthanc", f"{version} at {settings.orthanc_url}")]
    if tuple(int(part) for part in version.split(".") if part.isdigit()) < (1, 12, 11):
        remedy = "listens on all addresses and has known faults: keep its ports behind a firewall (docs/limitations.md)"
        findings.append(Finding("warning", "Orthanc's age", version, remedy))
    return findings


async def _ports(settings: Settings) -> list[Finding]:
    findings = []
    for subject, host, port in (
        ("HTTP", settings.http_host, settings.http_port),
        ("MLLP", settings.mllp_host, settings.mllp_port),
    ):
        answers = await asyncio.to_thread(_connects, host, port)
        remedy = "" if answers else "start it: interop up (or interop serve)"
        findings.append(
            Finding(
                "ok" if answers else "warning",
                subject,
                f"{host}:{port} {'answers' if answers else 'is silent'}",
                remedy,
            )
        )
    return findings


async def _receivers(settings: Settings) -> list[Finding]:
    from interop.parts import receivers

    findings = []
    for receiver in receivers(settings):
        answers = await asyncio.to_thread(_connects, receiver.host, receiver.port)
        seen = f"{receiver.host}:{receiver.port} {'answers' if answers else 'is silent'}"
        remedy = "" if answers else "its messages wait and are retried; check the peer, or the peers file"
        findings.append(Finding("ok" if answers else "warning", f"receiver {receiver.name}", seen, remedy))
    return findings


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


CHECKS: tuple[Check, ...] = (_versions, _programs, _files, _database, _archive, _ports, _receivers)
