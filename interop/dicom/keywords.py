"""Keywords of the data dictionary (PS3.6)."""

from __future__ import annotations

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword


def unknown_in(path: str) -> str:
    """What is wrong with ``PatientName`` or ``SomeSequence.Keyword``; "" where PS3.6 has such a place."""
    *sequences, keyword = path.split(".")
    for name in (*sequences, keyword):
        tag = tag_for_keyword(name)
        if tag is None:
            return f"{name} is no DICOM keyword (PS3.6)"
        if name in sequences and dictionary_VR(tag) != "SQ":
            return f"{name} is no sequence"
    return ""


def takes_many_texts(keyword: str) -> bool:
    """Whether an attribute may have any number of values (PS3.6 VM 1-n), and is no sequence."""
    tag = tag_for_keyword(keyword)
    return tag is not None and dictionary_VM(tag) == "1-n" and dictionary_VR(tag) != "SQ"
