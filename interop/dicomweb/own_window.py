"""The window that an image brings along, for a rendering that names none.

Orthanc's plugin 1.7 stretches the grey levels that occur over the screen's: a CT then looks like nothing that is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from interop.dicomweb.archive import Archive
from interop.dicomweb.paths import ROOT, Target
from interop.errors import NotFoundError

_MAX_ANSWER = 32 * 1024 * 1024  # the groups of each frame of a long enhanced image
_LINEAR = frozenset({"", "LINEAR", "LINEAR_EXACT"})  # half a grey level apart

Tags = Mapping[str, Any]


async def with_own_window(archive: Archive, target: Target, query: str) -> str:
    """The query of a rendering, with the image's own window if it names none and one image is asked for.

    NotFoundError for a frame that the image does not have: the archive would call it a form that it cannot give.
    """
    if "window=" in query or target.level not in ("instance", "frames"):
        return query
    path = f"{ROOT}/studies/{target.study}/series/{target.series}/instances/{target.instance}/metadata"
    answer = await archive.get(path.encode("ascii"), [(b"Accept", b"application/dicom+json")])
    try:
        # What is wrong with the instance, the rendering itself will say.
        found = orjson.loads(await answer.body(_MAX_ANSWER)) if answer.status == 200 else []
    finally:
        answer.close()
    if found and target.frame > _frames(found[0]):
        raise NotFoundError(f"there is no frame {target.frame} in this image")
    window = own_window(found[0], max(target.frame, 1)) if found else ""
    return "&".join(filter(None, (query, window)))


def own_window(image: Tags, frame: int) -> str:
    """``window=centre,width,linear`` of a frame, counted from 1; nothing where there is none, or one that is no line.

    PS3.3 C.11.2.1.2; C.7.6.16.2.10 for an image whose frames each have their own.
    """
    if not str(_value(image, "00280004")).startswith("MONOCHROME"):
        return ""
    for source in _sources(image, frame):
        centre, width = _value(source, "00281050"), _value(source, "00281051")
        if isinstance(centre, (int, float)) and isinstance(width, (int, float)) and width >= 1:
            return f"window={_plain(centre)},{_plain(width)},linear" if _value(source, "00281056") in _LINEAR else ""
    return ""


def _sources(image: Tags, frame: int) -> list[Tags]:
    """Where a frame's window may stand, the nearest first."""
    each, shared = (image.get(tag, {}).get("Value", ()) for tag in ("52009230", "52009229"))
    groups = [*each[frame - 1 : frame], *shared[:1]]
    return [*(item for group in groups for item in group.get("00289132", {}).get("Value", ())[:1]), image]


def _frames(image: Tags) -> int:
    """How many it has."""
    number = _value(image, "00280008")
    return number if isinstance(number, int) else 1


def _value(tags: Tags, tag: str) -> Any:
    return next(iter(tags.get(tag, {}).get("Value", ())), "")


def _plain(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")
