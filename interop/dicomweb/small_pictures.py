"""Thumbnails as archives make them: their own, or a small rendering with the image's window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from interop.dicomweb import retrieve
from interop.dicomweb.accept import STORED_DOCUMENT, Wish
from interop.dicomweb.archive import ArchiveAnswer
from interop.dicomweb.archives import Upstream
from interop.dicomweb.kept_thumbnails import Thumbnail
from interop.dicomweb.own_window import with_own_window
from interop.dicomweb.paths import DOCUMENT, Target

SIZE = "128,128"  # of a thumbnail for which none is asked


def as_the_archive_has_it(target: Target, wanted: Wish, upstream: Upstream) -> tuple[Target, Wish]:
    """A thumbnail where it has them; a document, whose rendering is itself (PS3.18 8.7.4), as Orthanc gives it."""
    shown = target.path.removesuffix("rendered")
    if target.thumbnail and upstream.thumbnails:
        return replace(target, path=f"{shown}thumbnail"), wanted
    if target.kind == "rendered" and wanted.pdf and upstream.orthanc:
        return replace(target, path=f"{shown}{DOCUMENT}"), STORED_DOCUMENT
    return target, wanted


async def small_picture(
    upstream: Upstream,
    target: Target,
    query: str,
    wanted: Wish,
    forwarded: tuple[bytes, bytes],
    *,
    counted: bool = True,
) -> Thumbnail | None:
    """The thumbnail, kept or made now; None where it is to be relayed. An error where the archive refuses it."""
    # What other archives render of a series is all of its images.
    if wanted.pdf or not (upstream.orthanc or upstream.thumbnails or target.instance):
        return None

    async def ask(headers: Sequence[tuple[bytes, bytes]]) -> ArchiveAnswer:
        shown = await with_own_window(upstream.archive, target, query) if upstream.orthanc else query
        return await retrieve.ask(upstream.archive, target, shown, wanted, [forwarded, *headers])

    return await upstream.pictures.get(target, query, wanted.accept, ask, counted=counted)
