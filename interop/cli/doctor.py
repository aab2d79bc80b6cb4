"""``interop doctor``: every dependency, version and connection, and what to do about each that is not well.

It only looks: nothing is made, migrated or mended. What is not there yet, or merely not running, is a warning; a fault
is what would keep a start from working, or something that runs from doing its work.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from interop.cli.findings import show
from interop.cli.installed import Finding, packages, programs
from interop.cli.secured import answering_receivers, certificates
from interop.errors import InteropError
from interop.orthanc.client import OrthancClient
from interop.orthanc.holders import Holder, holder_of
from interop.settings import Settings

SQLITE_MENDED = (3, 51, 3)  # the release that mended the WAL-reset fault; ours is guarded by a single connection
ORTHANC_MENDED = (1, 12, 11)  # the first release without the known faults of docs/limitations.md
ROOM = 1 << 30  # bytes that should be free in the data directory

Check = Callable[[Settings], Awaitable[list[Finding]]]


async def examine(settings: Settings) -> int:
    """Print the findings; 1 when one of them is a fault."""
    findings = [finding for check in CHECKS for finding in await _tried(check, settings)]
    return show(findings)


async def _tried(check: Check, settings: Settings) -> list[Finding]:
    """The check's findings; one that fails is itself a finding, and the others go on."""
    subject = CHECKS[check]
    try:
        return await check(settings)
    except InteropError as error:
        return [Finding("fault", subject, _line(error), "mend it: the server would stop at it, too")]
    except OSError as error:
        seen = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return [Finding("fault", subject, seen, "check that the file is there and may be read by this user")]
    except ValueError as error:
        return [Finding("fault", subject, _line(error), "mend it: the server would stop at it, too")]
    except Exception as error:  # whatever a check fails with is a finding, and no reason to end the examination
        seen = f"{type(error).__name__}: {_line(error)}"
        return [Finding("fault", subject, seen, "not foreseen: keep this line, and look into the server's log")]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


async def _data_directory(settings: Settings) -> list[Finding]:
    from interop.auth.keys import KEY_FILE, Keys

    folder = settings.data_dir.resolve()
    if not folder.exists():
        return [Finding("warning", "data directory", f"{folder}: not there yet", "interop up makes it at its start")]
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        remedy = "give this user the right to write there, or set INTEROP_DATA_DIR"
        return [Finding("fault", "data directory", f"{folder}: cannot be written by this user", remedy)]
    free = shutil.disk_usage(folder).free
    level, remedy = ("ok", "") if free > ROOM else ("warning", "make room: on a full disk nothing is accepted")
    findings = [Finding(level, "data directory", f"{folder}, {free / ROOM:.1f} GiB free", remedy)]
    key = folder / KEY_FILE
    if not key.exists():
        return [*findings, Finding("warning", "signing key", "not there yet", "made with the first token or start")]
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o077:
        return [*findings, Finding("fault", "signing key", f"{key}: mode {mode:04o}", f"chmod 600 {key}")]
    Keys.load(folder)
    return [*findings, Finding("ok", "signing key", f"mode {mode:04o}")]


async def _viewer(settings: Settings) -> list[Finding]:
    from interop.parts import ohif_folder, viewer_configuration

    folder = ohif_folder(settings)
    viewer_configuration(settings)  # of the site, which may reach too far
    if (folder / "index.html").is_file():
        return [Finding("ok", "OHIF", str(folder))]
    remedy = "make setup, or set INTEROP_OHIF_DIR; all but the viewer works without"
    return [Finding("fault", "OHIF", f"not in {folder}", remedy)]


async def _time_zone(settings: Settings) -> list[Finding]:
    if settings.time_zone != "UTC":
        return [Finding("ok", "time zone", settings.time_zone)]
    remedy = "set INTEROP_TIME_ZONE unless the modalities really run on UTC"
    return [Finding("warning", "time zone", "UTC, the default", remedy)]


async def _modalities(settings: Settings) -> list[Finding]:
    from interop.parts import stations

    names = [station.aet for station in stations(settings)]
    return [Finding("ok", "modalities", f"{len(names)}: {', '.join(names)}")]


async def _mapping_tables(_: Settings) -> list[Finding]:
    from interop.parts import mapping_tables

    mapping_tables()
    return [Finding("ok", "mapping tables", "readable")]


async def _mllp_peers(settings: Settings) -> list[Finding]:
    from interop.mllp_listener.peers import AllowList

    AllowList.of(settings.mllp_peers)
    return [Finding("ok", "MLLP peers", ", ".join(settings.mllp_peers) or "any sender of this machine")]


async def _overlay(settings: Settings) -> list[Finding]:
    from interop.parts import overlay

    keys = overlay(settings)
    return [] if keys is None else [Finding("ok", "Orthanc overlay", ", ".join(keys))]


async def _bindings(settings: Settings) -> list[Finding]:
    refusals = settings.binding_refusals()
    findings = []
    for name in settings.remote_bindings():
        if refusal := refusals.get(name):
            seen, _, remedy = refusal.partition(": ")
            findings.append(Finding("fault", "binding", seen, remedy))
        else:
            http = name == "INTEROP_HTTP_HOST"
            secured = settings.base_url.startswith("https:") if http else not settings.mllp_plain
            remedy = "" if secured else "keep it behind TLS: a proxy for HTTP, INTEROP_MLLP_TLS_CERT for MLLP"
            seen = f"{name} is reachable from other machines, as INTEROP_ALLOW_REMOTE says"
            findings.append(Finding("ok" if secured else "warning", "binding", seen, remedy))
    return findings or [Finding("ok", "bindings", "this machine only")]


async def _database(settings: Settings) -> list[Finding]:
    from interop.cli.archive_findings import step_findings
    from interop.cli.status import findings as hl7_findings
    from interop.cli.worklist_findings import worklist_findings
    from interop.store import engine_version, open_reader

    url = settings.database
    shown = url.rsplit("@", 1)[-1].split("?", 1)[0]
    if _not_made(url):
        remedy = "made at the first start; if there was one, INTEROP_DATA_DIR was another then"
        return [Finding("warning", "database", f"{shown}: not there yet", remedy)]
    remedy = "check INTEROP_DATABASE_URL and that its server runs; an older schema: interop migrate"
    try:
        store = await open_reader(url, zone=settings.zone)
    except (InteropError, ValueError) as error:
        return [Finding("fault", "database", f"{shown}: {_line(error)}", remedy)]
    try:
        version, stats = await engine_version(store), await store.stats()
        findings = [Finding("ok", "database", shown), _engine(version)]
        counts = await store.view(lambda tx: tx.dead_counts()) if stats.jobs.get("dead", 0) else {}
        counts.pop("worklist", None)  # told of by order
        if counts:
            remedy = "interop jobs list says why; mend that, then interop jobs retry, or interop jobs drop"
            seen = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            findings.append(Finding("warning", "dead letters", seen, remedy))
        findings += await hl7_findings(store, settings)
        findings += await step_findings(store, settings)
        return [*findings, *await worklist_findings(store, settings)]
    except InteropError as error:
        return [Finding("fault", "database", f"{shown}: {_line(error)}", remedy)]
    finally:
        await store.close()


def _not_made(url: str) -> bool:
    """Whether the URL names a SQLite file that is not there."""
    scheme, _, path = url.partition(":///")
    return scheme == "sqlite" and not Path(path.split("?")[0]).exists()


def _engine(version: str) -> Finding:
    name, _, number = version.partition(" ")
    parts = tuple(int(part) for part in number.split()[0].split(".") if part.isdigit())
    if name == "SQLite" and parts < SQLITE_MENDED:
        remedy = "has the WAL-reset fault (mended in 3.51.3): the server keeps one connection; do not write to its file"
        return Finding("warning", name, number, remedy)
    if name == "PostgreSQL" and parts < (15,):
        return Finding("warning", name, number, "tested with 15 and later")
    return Finding("ok", name, number)


async def _orthanc(settings: Settings) -> list[Finding]:
    from interop.cli.archive_findings import archive_findings
    from interop.parts import archive_credentials, archive_url, private_configuration

    if settings.pacs is not None:
        return await archive_findings(settings)
    url, (user, password) = archive_url(settings), archive_credentials(settings)
    own = not settings.orthanc_url and private_configuration(settings).is_file()
    async with OrthancClient(url, user, password or "", timeout=3.0) as client:
        try:
            version = str((await client.system()).get("Version", "?"))
        except InteropError as error:
            return [_silent(settings, url, error.text)]
    findings = [Finding("ok", "Orthanc", f"{version} at {url}{', private' if own else ''}")]
    if tuple(int(part) for part in version.split(".") if part.isdigit()) < ORTHANC_MENDED:
        remedy = "listens on all addresses and has known faults: keep its ports behind a firewall (docs/limitations.md)"
        findings.append(Finding("warning", "Orthanc's age", version, remedy))
    return findings


def _silent(settings: Settings, url: str, text: str) -> Finding:
    if "refuses" in text:
        holder = None if settings.orthanc_url else holder_of(settings.orthanc_http_port)
        by = f"; held by {holder}" if holder else ""
        remedy = (
            "check INTEROP_ORTHANC_USERNAME and INTEROP_ORTHANC_PASSWORD; for the Orthanc of interop up set neither"
        )
        return Finding("fault", "Orthanc", f"{url}: {text}{by}", remedy)
    if settings.orthanc_url:
        return Finding("fault", "Orthanc", f"{url}: {text}", "start it, or check INTEROP_ORTHANC_URL")
    running = holder_of(settings.http_port) is not None
    remedy = "interop up starts one; with interop serve set INTEROP_ORTHANC_URL"
    if running:
        remedy = "interop up starts it again; see orthanc/orthanc.log in the data directory"
    return Finding("fault" if running else "warning", "Orthanc", f"{url}: {text}", remedy)


async def _ports(settings: Settings) -> list[Finding]:
    findings = [await _http(settings), await asyncio.to_thread(_mllp, settings)]
    if not settings.orthanc_url:
        findings += [
            _archive_port(settings, "INTEROP_ORTHANC_HTTP_PORT", settings.orthanc_http_port),
            _archive_port(settings, "INTEROP_ORTHANC_DICOM_PORT", settings.orthanc_dicom_port),
        ]
    return findings


async def _http(settings: Settings) -> Finding:
    shown, holder = f"{settings.http_host}:{settings.http_port}", holder_of(settings.http_port)
    base = f"http://{_reached(settings.http_host)}:{settings.http_port}"
    try:
        async with httpx.AsyncClient(timeout=3, trust_env=False, base_url=base) as client:
            alive, ready = await client.get("/healthz"), await client.get("/readyz")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if holder is None:
            return Finding("warning", "HTTP", f"{shown} is silent", "start it: interop up (or interop serve)")
        return _foreign("HTTP", f"{shown} ({type(error).__name__})", holder, "INTEROP_HTTP_PORT")
    if alive.status_code != httpx.codes.OK or ready.status_code not in (200, 503):
        return _foreign("HTTP", shown, holder, "INTEROP_HTTP_PORT")
    if ready.status_code != httpx.codes.OK:
        return Finding("fault", "HTTP", f"{shown} answers, but is not ready", f"curl {base}/readyz says which part")
    return Finding("ok", "HTTP", f"{shown} answers and is ready")


def _mllp(settings: Settings) -> Finding:
    plain = settings.mllp_plain
    port, setting = settings.mllp_port, "INTEROP_MLLP_PORT"
    if not plain:
        port, setting = settings.mllp_tls_port, "INTEROP_MLLP_TLS_PORT"
    shown, holder = f"{settings.mllp_host}:{port}", holder_of(port)
    if _connects(_reached(settings.mllp_host), port):
        if holder is not None and holder.pid is not None and not _ours(holder):
            return _foreign("MLLP", shown, holder, setting)
        return Finding("ok", "MLLP", f"{shown} answers")
    if holder is not None:
        return _foreign("MLLP", shown, holder, setting)
    return Finding("warning", "MLLP", f"{shown} is silent", "start it: interop up (or interop serve)")


def _archive_port(settings: Settings, name: str, port: int) -> Finding:
    """A port that the private Orthanc has, or will need."""
    from interop.parts import private_configuration

    holder = holder_of(port) if port else None
    subject = "Orthanc's HTTP port" if "HTTP" in name else "Orthanc's DICOM port"
    if holder is None:
        return Finding("ok", subject, f"{port} is free" if port else "any free one")
    if str(private_configuration(settings).resolve()) in holder.command:
        return Finding("ok", subject, f"{port}: our {holder}")
    if any(word.startswith("/etc/orthanc") for word in holder.command):
        remedy = "it is the machine's own service: systemctl disable --now orthanc"
        return Finding("fault", subject, f"{port} is held by {holder}", remedy)
    return _foreign(subject, str(port), holder, name)


def _foreign(subject: str, shown: str, holder: Holder | None, setting: str) -> Finding:
    who = f" by {holder}" if holder else ""
    return Finding("fault", subject, f"{shown} is held{who}, not by this server", f"end that, or set {setting}")


def _ours(holder: Holder) -> bool:
    return any("interop" in Path(word).name for word in holder.command[:4])


def _reached(host: str) -> str:
    """The address to try a listener at."""
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - where it listens, not who may come
    return f"[{local}]" if ":" in local and not local.startswith("[") else local


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host.strip("[]"), port), timeout=2):
            return True
    except OSError:
        return False


async def _packages(_: Settings) -> list[Finding]:
    return packages()


async def _programs(settings: Settings) -> list[Finding]:
    return await programs(private_orthanc=not settings.orthanc_url)


CHECKS: dict[Check, str] = {  # and what a check that fails is about
    _packages: "Python packages",
    _programs: "programs",
    _data_directory: "data directory",
    _viewer: "OHIF",
    _time_zone: "time zone",
    _modalities: "modalities",
    _mapping_tables: "mapping tables",
    _mllp_peers: "MLLP peers",
    _overlay: "Orthanc overlay",
    _bindings: "bindings",
    _database: "database",
    _orthanc: "Orthanc",
    _ports: "ports",
    certificates: "certificates",
    answering_receivers: "receivers",
}
