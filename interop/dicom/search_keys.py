"""Attributes as searches name them, by keyword or by tag (PS3.18 8.3.4.1)."""

from __future__ import annotations

import re

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

_TAG = re.compile(r"[0-9A-Fa-f]{8}")


def representation_of(name: str) -> str | None:
    """The value representation (PS3.6) of ``PatientID`` or ``00100020``; None where there is no such attribute.

    None too for a private one, and for one within a sequence.
    """
    tag = int(name, 16) if _TAG.fullmatch(name) else tag_for_keyword(name)
    return dictionary_VR(tag) if tag is not None and dictionary_has_tag(tag) else None
