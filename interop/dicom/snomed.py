"""SNOMED CT codes for the values that devices sent before: of the coding scheme SRT and its ancestors (PS3.16 8.1)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

SCT = "SCT"
_OLD = frozenset(("SRT", "SNM3", "99SDM"))  # one set of values under three names, retired in favour of SCT


def in_sct(code: str, scheme: str) -> tuple[str, str]:
    """Code and scheme, those of SRT as SCT has them; as they are where SCT has none, and of every other scheme."""
    found = _old_values().get(code) if scheme in _OLD else None
    return (code, scheme) if found is None else (found, SCT)


@cache
def _old_values() -> Mapping[str, str]:
    from pydicom.sr._snomed_dict import mapping  # with all of pydicom.sr: a quarter of a second that few sites need

    return mapping["SRT"]
