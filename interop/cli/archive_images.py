"""What ``interop doctor --pacs`` finds of an archive's retrieving and storing (PS3.18 10.4, 10.5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from interop.cli.archive_probe import JSON, Probe, Said, value
from interop.cli.installed import Finding
from interop.dicom.test_object import PATIENT_ID, PATIENT_NAME, make_test_object
from interop.dicom.uids import uid_of

_MULTIPART = 'multipart/related; type="{}"'
_ANY = "; transfer-syntax=*"


async def metadata(probe: Probe) -> list[Finding]:
    """The metadata of the instance, and where their bulk data lead."""
    said = await probe.retrieve(f"{probe.path}/metadata", JSON)
    uid = value(probe.instance, "00080018")
    own = [row for row in said.rows or [] if value(row, "00080018") == uid]
    if not own:
        remedy = "correct wado (or root): no viewer can open a study without metadata"
        return [Finding("fault", "metadata", f"{probe.path}/metadata answers {said}", remedy)]
    [probe.metadata] = own[:1]
    uris = [entry["BulkDataURI"] for entry in probe.metadata.values() if "BulkDataURI" in entry]
    kinds = "absolute addresses, which are rewritten" if any("://" in uri for uri in uris) else "relative addresses"
    return [Finding("ok", "metadata", f"{len(probe.metadata)} attributes; bulk data by {kinds if uris else 'none'}")]


async def whole(probe: Probe) -> list[Finding]:
    """The instance as a file, and the form in which it is given."""
    findings = await _in_any_syntax(probe, "instance", probe.path, "application/dicom")
    single = await probe.retrieve(probe.path, "application/dicom")
    shown = "given as such" if single.status == 200 and single.kind == "application/dicom" else f"answers {single}"
    return [
        *findings,
        Finding("ok", "single part", f"application/dicom {shown}; multipart is asked for instead"),
    ]


async def frames(probe: Probe) -> list[Finding]:
    """The first frame, where there are pixels."""
    if value(probe.metadata, "00280010") is None:
        return [Finding("warning", "frames", "the instance has no pixels: not looked at", "try with --store")]
    path = f"{probe.path}/frames/1"
    findings = await _in_any_syntax(probe, "frames", path, "application/octet-stream")
    if probe.sent is not None and findings[0].level != "fault":
        parts = (await probe.retrieve(path, _MULTIPART.format("application/octet-stream"))).parts
        if not parts or parts[0] != probe.sent.pixels:
            remedy = "the archive changes pixels: look for a rule that compresses or coerces what comes in"
            findings.append(Finding("fault", "pixels", "the frame is not what was stored", remedy))
    return findings


async def _in_any_syntax(probe: Probe, subject: str, path: str, kind: str) -> list[Finding]:
    """What it says to transfer-syntax=*, against what the entry says of it."""
    plain = _MULTIPART.format(kind)
    starred, bare = await probe.retrieve(path, plain + _ANY), await probe.retrieve(path, plain)
    seen = f"transfer-syntax=* {_given(starred)}, without {_given(bare)}"
    entry = probe.opened.entry
    if not starred.parts and not bare.parts:
        return [Finding("fault", subject, seen, "no viewer can show its images: correct wado, or mend it there")]
    if starred.parts or not entry.any_syntax:
        return [Finding("ok", subject, seen)]
    if entry.driver == "orthanc":  # its bug 219: big-endian and deflated files; this server asks again without
        return [Finding("ok", subject, f"{seen}: asked for again without")]
    return [Finding("fault", subject, seen, "set any_syntax = false")]


def _given(said: Said) -> str:
    return "given" if said.parts else f"answers {said}"


async def pictures(probe: Probe) -> list[Finding]:
    """/rendered and /thumbnail."""
    entry = probe.opened.entry
    if value(probe.metadata, "00280010") is None:
        return []
    rendered = await probe.retrieve(f"{probe.path}/rendered", "image/jpeg")
    thumbnail = await probe.retrieve(f"{probe.path}/thumbnail", "image/jpeg")
    findings = []
    if _picture(rendered):
        findings.append(Finding("ok", "rendered", str(rendered)))
    else:
        remedy = "lists without small pictures, and WADO-URI without JPEG; images themselves are not concerned"
        findings.append(Finding("warning", "rendered", f"answers {rendered}", remedy))
    if _picture(thumbnail):
        hint = "" if entry.thumbnails or entry.driver == "orthanc" else "; thumbnails = true would use it"
        findings.append(Finding("ok", "thumbnail", f"{thumbnail}{hint}"))
    elif entry.thumbnails:
        findings.append(Finding("fault", "thumbnail", f"answers {thumbnail}", "set thumbnails = false"))
    else:
        findings.append(Finding("ok", "thumbnail", f"answers {thumbnail}; a small rendering serves"))
    return findings


def _picture(said: Said) -> bool:
    return said.status == 200 and said.kind.startswith("image/") and len(said.body) > 0


async def store(probe: Probe) -> list[Finding]:
    """Stores the test object; ``probe.sent`` says that it is there."""
    study, series, instance = (uid_of(uuid4()) for _ in range(3))
    made = make_test_object(study, series, instance, datetime.now(UTC))
    said = await probe.store(study, made.part10)
    failed = _failures(said)
    if said.status in (200, 202) and not failed:
        probe.sent = made
        return [Finding("ok", "STOW-RS", f"{said}: study {study} of patient {PATIENT_ID} ({PATIENT_NAME}) is stored")]
    reason = f", reason {failed[0]:04X}H" if failed else ""
    if said.status in (401, 403):
        remedy = "its user may not store there: give it the right, or annotations cannot be saved"
    elif said.status == 404:
        remedy = "correct stow (or root)"
    else:
        remedy = "its own log says why; reasons: PS3.18 table 10.5.3-1"
    return [Finding("fault", "STOW-RS", f"answers {said}{reason}", remedy)]


def _failures(said: Said) -> list[int]:
    try:
        found: Any = orjson.loads(said.body or b"{}")
    except orjson.JSONDecodeError:
        return []
    if isinstance(found, list) and len(found) == 1:  # some put the one object into an array
        found = found[0]
    items = (found.get("00081198") or {}).get("Value") or [] if isinstance(found, dict) else []
    return [int(value(item, "00081197") or 0x0110) for item in items]


async def delete(probe: Probe) -> list[Finding]:
    """Deletes the test object where there is a way, else names it."""
    if probe.sent is None:
        return []
    study, client = probe.sent.study, probe.opened.client
    left = f"study {study} of patient {PATIENT_ID} ({PATIENT_NAME}) stays there"
    if client is None:
        remedy = "DICOMweb has no deletion: delete it there. Until then it is among the studies without an order"
        return [Finding("warning", "test object", left, remedy)]
    for name in await client.find_studies(study):
        await client.delete_study(name)
    if await client.find_studies(study):
        return [Finding("warning", "test object", left, "Orthanc did not delete it: delete it there by hand")]
    return [Finding("ok", "test object", f"study {study} is deleted again")]
