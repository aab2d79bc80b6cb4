"""What is installed on this machine, and in which version: for ``interop doctor``."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PLUGINS = Path("/usr/share/orthanc/plugins")
_NUMBER = re.compile(r"\d+(?:\.\d+)+")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_PATIENCE = 5.0  # seconds a program may take to say its version
PROGRAMS = (  # program, Debian's package, what it is for
    ("/usr/sbin/Orthanc", "orthanc", "the private Orthanc of interop up"),
    ("dcmdump", "dcmtk", "asking the worklist by hand (findscu), and tests"),  # pynetdicom has a findscu too
    ("chromium", "chromium", "optional: the demo and tests look at the viewer"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw: ok, warning or fault, and the remedy unless all is well."""

    level: str
    subject: str
    seen: str
    remedy: str = ""


def packages() -> list[Finding]:
    """Python, this program, and the packages that it declares."""
    findings = [Finding("ok", "Python", f"{sys.version.split()[0]}, {sys.executable}")]
    try:
        own = metadata.distribution("interop")
    except metadata.PackageNotFoundError:
        return [*findings, Finding("warning", "interop", "not installed, run from its sources", "make setup")]
    needed = [match[0] for text in own.requires or () if "extra ==" not in text and (match := _NAME.match(text))]
    missing = [name for name in needed if _version(name) is None]
    if missing:
        return [*findings, Finding("fault", "Python packages", f"missing: {', '.join(missing)}", "make setup")]
    shown = ", ".join(f"{name} {_version(name)}" for name in needed)
    return [*findings, Finding("ok", "interop", own.version), Finding("ok", "Python packages", shown)]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


async def programs(*, private_orthanc: bool) -> list[Finding]:
    """The programs and plugins; Orthanc's are a fault to miss only where this machine is to run one."""
    versions = await asyncio.gather(*(_said(program) for program, _, _ in PROGRAMS))
    findings = []
    for (program, package, use), version in zip(PROGRAMS, versions, strict=True):
        if version is None:
            level = "fault" if package == "orthanc" and private_orthanc else "warning"
            findings.append(Finding(level, package, f"not installed; {use}", f"apt-get install {package}"))
        else:
            findings.append(Finding("ok", package, f"{version}, {shutil.which(program)}"))
    for library, package in (("libOrthancDicomWeb.so", "orthanc-dicomweb"), ("libModalityWorklists.so", "orthanc")):
        if (PLUGINS / library).exists():
            findings.append(Finding("ok", library, str(PLUGINS)))
        else:
            level = "fault" if private_orthanc else "warning"
            findings.append(Finding(level, library, f"not in {PLUGINS}", f"apt-get install {package}"))
    return findings + _hidden()


def _hidden() -> list[Finding]:
    """A findscu before dcmtk's in the path understands none of the options in the documentation."""
    first, dcmtk = shutil.which("findscu"), shutil.which("dcmdump")
    if first is None or dcmtk is None or Path(first).parent == Path(dcmtk).parent:
        return []
    return [Finding("warning", "findscu", f"{first} is not dcmtk's", f"call {Path(dcmtk).with_name('findscu')}")]


async def _said(program: str) -> str | None:
    """The version that a program tells; None where it is not installed."""
    path = shutil.which(program)
    if path is None:
        return None
    process = await asyncio.create_subprocess_exec(
        path,
        "--version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            output, _ = await process.communicate()
    except TimeoutError:
        return "does not tell its version"
    finally:
        with suppress(ProcessLookupError):  # it has ended, as it should
            process.kill()
    found = _NUMBER.search(output.decode(errors="replace"))
    return found[0] if found else "does not tell its version"
