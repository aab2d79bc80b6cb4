"""What ``interop doctor --pacs`` finds of an archive's searches (QIDO-RS, PS3.18 10.6)."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from interop.archive_entries import ArchiveEntry
from interop.cli.archive_probe import Probe, Row, Said, value
from interop.cli.installed import Finding
from interop.errors import InteropError

_COUNTS = {
    "00080061": "ModalitiesInStudy",
    "00201206": "NumberOfStudyRelatedSeries",
    "00201208": "NumberOfStudyRelatedInstances",
}
_NO_PIXELS = frozenset({"SR", "PR", "KO", "DOC", "SEG", "REG", "RTSTRUCT", "RTPLAN", "PLAN", "ECG", "AU"})
_LOOKED_AT = 25  # studies, for one with images


async def credentials(probe: Probe) -> list[Finding]:
    """Whether it answers this server's first search, and with what. The caller goes no further after a fault."""
    entry, began = probe.opened.entry, time.monotonic()
    said = await probe.search("/studies", ("limit", "1"))
    took, where = time.monotonic() - began, entry.paths()[0]
    if said.status in (401, 403):
        return [Finding("fault", "credentials", f"refused ({said.status}), with {_named(entry)}", _renewed(entry))]
    if said.status == 404:
        return [Finding("fault", "QIDO-RS", f"404: none at {where}/studies", "correct root (or qido), and ae")]
    if said.rows is None:
        remedy = "correct root (or qido): a DICOMweb archive answers 200 or 204 with application/dicom+json"
        return [Finding("fault", "QIDO-RS", f"{where}/studies answers {said}", remedy)]
    return [
        Finding("ok", "credentials", f"taken: {_named(entry)}"),
        Finding("ok", "QIDO-RS", f"{where} answers {said} in {took * 1000:.0f} ms"),
    ]


def _named(entry: ArchiveEntry) -> str:
    """Which credentials are sent, not what they are."""
    if not entry.url:
        return "those of INTEROP_ORTHANC_USERNAME"
    for kind, shown in (("token", "the bearer"), ("password", f"user {entry.username or '(none)'} and the password")):
        for source in ("file", "env"):
            if (name := getattr(entry, f"{kind}_{source}")) is not None:
                return f"{shown} of {name}"
    return "none"


def _renewed(entry: ArchiveEntry) -> str:
    if not entry.url:
        return "check INTEROP_ORTHANC_USERNAME and INTEROP_ORTHANC_PASSWORD"
    if entry.token_file or entry.token_env:
        return "renew the bearer: has it run out, and may its user search, retrieve and store?"
    if entry.password_file or entry.password_env:
        return "check username and the password; some archives want a bearer: token_file"
    return "name username and password_file, or token_file"


async def studies(probe: Probe) -> list[Finding]:
    """Which study is looked at, and what its row lacks."""
    uid = probe.sent.study if probe.sent is not None else None
    keys = [("StudyInstanceUID", uid)] if uid else [("limit", str(_LOOKED_AT))]
    rows = (await probe.search("/studies", *keys)).rows
    if not rows:
        if uid:
            remedy = "it was stored, and is not found: a rule that hides, moves or quarantines what comes in?"
            return [Finding("fault", "studies", f"the test study {uid} is not found", remedy)]
        remedy = "look again when there is one, or with --store, which stores a test object"
        return [Finding("warning", "studies", "none: nothing more can be looked at", remedy)]
    probe.study = next((row for row in rows if _pictured(row)), rows[0])
    return [Finding("ok", "studies", f"{value(probe.study, '0020000D')} is looked at"), await _counts(probe)]


def _pictured(row: Row) -> bool:
    modalities = (row.get("00080061") or {}).get("Value") or []
    return bool(set(modalities) - _NO_PIXELS)


async def _counts(probe: Probe) -> Finding:
    """Viewers need them in every row (PS3.18 table 10.6.3-3 requires it)."""
    if all(tag in probe.study for tag in _COUNTS):
        return Finding("ok", "ModalitiesInStudy", "in every row, with the numbers of series and instances")
    missing = ", ".join(name for tag, name in _COUNTS.items() if tag not in probe.study)
    named = ("includefield", ",".join(_COUNTS.values()))
    rows = (await probe.search("/studies", ("StudyInstanceUID", str(value(probe.study, "0020000D"))), named)).rows
    if rows and all(tag in rows[0] for tag in _COUNTS):
        return Finding("ok", "ModalitiesInStudy", f"only when asked for ({missing}), as this server does")
    remedy = "this server puts in what is registered here; a study's growth shows at comparisons: set compare_hours"
    return Finding("warning", "ModalitiesInStudy", f"left out, even when asked for: {missing}", remedy)


async def paging(probe: Probe) -> list[Finding]:
    """limit and offset."""
    pages = [(await probe.search("/studies", ("limit", "1"), ("offset", str(at)))).rows for at in (0, 1)]
    first, second = ([value(row, "0020000D") for row in page or []] for page in pages)
    if len(first) > 1:
        remedy = "every search transfers the whole list: have limit switched on there"
        return [Finding("warning", "limit", f"not heeded: {len(first)} rows for limit=1", remedy)]
    if not second:
        return [Finding("ok", "limit, offset", "one study: paging cannot be seen")]
    if first == second:
        remedy = "no study beyond the first page is found: do not use it before that is mended there"
        return [Finding("fault", "limit, offset", "offset is not heeded: offset=1 gives the same study", remedy)]
    return [Finding("ok", "limit, offset", "heeded")]


async def parameters(probe: Probe) -> list[Finding]:
    """includefield and fuzzymatching, against what the entry says of them; escapes."""
    uid = str(value(probe.study, "0020000D"))
    own = ("StudyInstanceUID", uid)
    names = await probe.search("/studies", own, ("includefield", "StudyDescription,00081030"))
    every = await probe.search("/studies", own, ("includefield", "all"))
    fuzzy = await probe.search("/studies", own, ("fuzzymatching", "true"))
    findings = [_fields(probe.opened.entry, names, every), _fuzzy(probe.opened.entry, fuzzy)]
    digits = "".join(f"%{ord(char):02X}" for char in uid)
    if (await probe.search("/studies", raw=f"StudyInstanceUID={digits}")).rows:
        return [*findings, Finding("ok", "escaped characters", "read: names in any letters can be searched for")]
    if probe.opened.entry.driver == "orthanc":
        return [
            *findings,
            Finding("ok", "escaped characters", "not read by its plugin: Orthanc itself is asked"),
        ]
    remedy = "names with other letters than ASCII, and values with spaces, are not found; an Orthanc: use that driver"
    return [*findings, Finding("warning", "escaped characters", "not read", remedy)]


def _fields(entry: ArchiveEntry, names: Said, every: Said) -> Finding:
    best = "names" if names.rows else "all" if every.rows else "none"
    set_to = entry.include_field
    seen = f"names {_taken(names)}, all {_taken(every)}"
    if set_to == best or (set_to == "all" and every.rows) or set_to == "none":
        better = "" if set_to == best else f'; include_field = "{best}" would give viewers more'
        return Finding("ok", "includefield", f"{seen}; set: {set_to}{better}")
    return Finding("fault", "includefield", f"{seen}; set: {set_to}", f'set include_field = "{best}"')


def _fuzzy(entry: ArchiveEntry, said: Said) -> Finding:
    if said.rows:
        return Finding("ok", "fuzzymatching", "taken")
    if entry.fuzzy_matching:
        return Finding("fault", "fuzzymatching", _taken(said), "set fuzzy_matching = false")
    return Finding("ok", "fuzzymatching", f"{_taken(said)}; it is left out")


def _taken(said: Said) -> str:
    return "taken" if said.rows else f"not taken ({said})"


async def polling(probe: Probe) -> list[Finding]:
    """The question by which new studies are noticed; an Orthanc tells its changes."""
    entry = probe.opened.entry
    if entry.driver == "orthanc":
        return []
    since = datetime.now() - timedelta(days=entry.poll_days)  # noqa: DTZ005  # as the archive's own dates: local
    said = await probe.search("/studies", (entry.poll_key, f"{since:%Y%m%d}-"), ("limit", "1"))
    if said.rows is None:
        remedy = 'set poll_key = "StudyDate"'
        return [Finding("fault", "poll_key", f"a search by {entry.poll_key} answers {said}", remedy)]
    return [Finding("ok", "poll_key", f"{entry.poll_key} of the last {entry.poll_days} days can be searched")]


async def below(probe: Probe) -> list[Finding]:
    """The series and instances of the study."""
    study = f"/studies/{value(probe.study, '0020000D')}"
    series = await probe.search(f"{study}/series")
    if not series.rows:
        return [Finding("fault", "series", f"{study}/series answers {series}", "no study can be opened: mend it there")]
    pictured = (row for row in series.rows if value(row, "00080060") not in _NO_PIXELS)
    probe.series = next(pictured, series.rows[0])
    instances = await probe.search(f"{study}/series/{value(probe.series, '0020000E')}/instances")
    if not instances.rows:
        return [Finding("fault", "instances", f"a search in a series answers {instances}", "mend it there")]
    probe.instance = instances.rows[0]
    findings = [Finding("ok", "series, instances", f"{len(series.rows)} series, {len(instances.rows)} in one")]
    for level in ("series", "instances"):
        said = await probe.search(f"/{level}", ("limit", "1"))
        if said.rows is None:
            remedy = f"clients that search {level} without naming a study are refused; viewers do not"
            findings.append(Finding("warning", f"all {level}", f"a search over all studies answers {said}", remedy))
    return findings


def gone(subject: str, error: InteropError) -> Finding:
    """A check that the archive broke off."""
    return Finding("fault", subject, error.text, "look into the archive's own log")
