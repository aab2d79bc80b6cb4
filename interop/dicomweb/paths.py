"""The resources of PS3.18 that this server relays, as a closed grammar: what does not match does not exist.

What goes to the archive is built from the parts found here, never from the bytes that came in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from interop.errors import NotFoundError

ROOT = "/dicom-web"
_UID = r"[0-9]+(?:\.[0-9]+)*"
_PATH = re.compile(
    rf"{ROOT}(?:/(?P<search>studies|series|instances)|/studies/(?P<study>{_UID})(?:/series/(?P<series>{_UID})"
    rf"(?:/instances/(?P<instance>{_UID})(?:/frames/(?P<frames>[0-9]{{1,6}}(?:,[0-9]{{1,6}}){{0,63}}))?)?)?"
    r"(?:/(?P<what>metadata|rendered|thumbnail|series|instances|bulk(?:data)?(?:/[0-9A-Fa-f]{8}(?:/[0-9]{1,6}/[0-9A-Fa-f]{8})*)))?)"
)
STORING = re.compile(rf"{ROOT}/studies(?:/(?P<study>(?=.{{1,64}}$){_UID}))?")
DOCUMENT = "bulk/00420011"  # EncapsulatedDocument, below an instance
_OFFERED = {  # by level: what may follow
    "study": frozenset({"", "metadata", "rendered", "thumbnail", "series", "instances"}),
    "series": frozenset({"", "metadata", "rendered", "thumbnail", "instances"}),
    "instance": frozenset({"", "metadata", "rendered", "thumbnail", "bulk", "bulkdata"}),
    "frames": frozenset({"", "rendered", "thumbnail"}),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A DICOMweb resource."""

    kind: str  # search | search-in-study | retrieve | metadata | frames | rendered | bulk
    level: str  # root | study | series | instance | frames
    study: str | None  # StudyInstanceUID; None for a search over all
    path: str  # as the archive has it
    frames: int = 0  # how many are asked for
    series: str = ""
    instance: str = ""
    frame: int = 0  # the number of the first one
    thumbnail: bool = False  # a small rendering serves as one, for an archive that has no thumbnails

    @property
    def verb(self) -> str:
        """The transaction, as the audit trail calls it (PS3.18 names)."""
        return "qido-rs" if self.kind.startswith("search") else "wado-rs"


def parse(path: str) -> Target:
    """The resource that the (decoded) path names; NotFoundError if it names none."""
    match = _PATH.fullmatch(path) if len(path) <= 512 else None
    if match is None:
        raise NotFoundError("there is no such DICOMweb resource")
    search, study, series, instance, frames, what = match.groups("")
    if search:
        return Target("search", "root", None, path)
    level = "frames" if frames else "instance" if instance else "series" if series else "study"
    if what.partition("/")[0] not in _OFFERED[level] or what in ("bulk", "bulkdata"):
        raise NotFoundError("there is no such DICOMweb resource")
    if len(study) > 64 or len(series) > 64 or len(instance) > 64:  # PS3.5 6.2: UI
        raise NotFoundError("a UID has at most 64 characters")
    if what == "thumbnail":  # Orthanc has it from plugin 1.19 only; a small rendering serves
        path = path.removesuffix("thumbnail") + "rendered"
    if frames and not all(int(number) for number in frames.split(",")):
        raise NotFoundError("frames are counted from 1")
    count = frames.count(",") + 1 if frames else 0
    first = int(frames.partition(",")[0]) if frames else 0
    return Target(_kind(level, what), level, study, path, count, series, instance, first, what == "thumbnail")


def _kind(level: str, what: str) -> str:
    if what in ("series", "instances"):
        return "search-in-study"
    if what in ("rendered", "thumbnail"):
        return "rendered"
    if what:
        return "bulk" if what.startswith("bulk") else what
    return "frames" if level == "frames" else "retrieve"
