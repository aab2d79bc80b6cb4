"""The archive's refusals in our own words: its bodies name paths and versions that are nobody's business."""

from __future__ import annotations

import logging

from interop.dicomweb.paths import DOCUMENT, Target
from interop.errors import InteropError, NotFoundError, UnavailableError, UnsupportedError

log = logging.getLogger(__name__)

_EXPLICIT = "1.2.840.10008.1.2.1"
_NO_FORM = "the archive cannot give this resource in the form asked for"


def failure(status: int, target: Target, *, syntax: str = "") -> InteropError:
    """The error to answer with when the archive answered so to a question for a transfer syntax ("", "*": for any)."""
    converted = syntax not in ("", "*")
    if status == 404 and target.kind == "rendered" and target.path.endswith(DOCUMENT):
        return UnsupportedError(_NO_FORM, status=406)
    if status == 404:
        return NotFoundError("the archive has no such study, series or instance")
    if status in (401, 403):
        log.error("the archive refuses this server's credentials")
        return UnavailableError("the image archive refuses this server", retry_after=60)
    if status in (406, 415) or (status == 400 and target.kind in ("rendered", "bulk", "retrieve", "metadata")):
        return UnsupportedError(_NO_FORM, status=406)
    if status == 400 and target.kind == "frames":
        if converted and syntax != _EXPLICIT:  # plugin 1.7 says so of every frame then
            return UnsupportedError(_NO_FORM, status=406)
        return NotFoundError("there is no such frame, or not in the form asked for")
    if status == 400:
        return UnsupportedError("the archive does not understand the query")
    # Orthanc 1.7 says so for what has no pixels, or cannot be decoded, or coded in the way that is asked for.
    if status == 500 and (target.kind == "frames" or (target.kind == "retrieve" and converted)):
        return UnsupportedError(_NO_FORM, status=406)
    if status in (502, 503, 504):
        return UnavailableError("the image archive is not ready", retry_after=10)
    return InteropError(f"the image archive failed ({status})", status=502)
