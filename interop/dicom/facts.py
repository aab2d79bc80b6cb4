"""Study, series and instance facts read from tags as Orthanc's REST interface gives them.

Tags are a mapping of ``"gggg,eeee"`` to text, to a list of items for a sequence, or to None for what is too long or
binary (``/instances/{id}/tags?short``); an instance's resource is an entry of ``/tools/bulk-content`` with ``Short``.
Text is already Unicode there. Nothing here guesses: what cannot be read is None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, tzinfo
from typing import Any

from interop.dicom.snomed import in_sct
from interop.dicom.study import Coded, InstanceFacts, Person, SeriesFacts, StudyFacts
from interop.dicom.times import instant, read_date
from interop.dicom.uids import is_readable_uid

Tags = Mapping[str, Any]

# SOP classes whose title tells more than a number does: the documents, by the roots of their UIDs (PS3.6 A-1).
_STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88."
_ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."
_PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11."
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66."
_TITLED = (_STRUCTURED_REPORT, _ENCAPSULATED, _PRESENTATION_STATE, _SEGMENTATION)


_IMAGE_TYPE = re.compile(r"[A-Z0-9 _]{0,16}")  # a CS (PS3.5 6.2)

# Modalities whose series are of few images, each of the side that it states (PS3.3 C.8.11.7, C.8.11.5, C.8.17.5).
_SIDED = frozenset(("CR", "DX", "IO", "MG", "OAM", "OP", "OPM", "OPT", "OPV", "PX"))


def tells_of_itself(sop_class_uid: str, modality: str) -> bool:
    """Whether instances of this class or modality have a title or a side of their own, worth reading their tags."""
    return _is_document(sop_class_uid) or modality in _SIDED


def study_of(tags: Tags, zone: tzinfo) -> StudyFacts | None:
    """The facts of the study that an instance with these tags belongs to, without series; None if it names none."""
    uid = _text(tags, "0020,000d")
    if uid is None or not is_readable_uid(uid):
        return None
    birth = read_date(_text(tags, "0010,0030"))
    sex = _text(tags, "0010,0040")
    asked = _items(tags, "0040,0275")
    return StudyFacts(
        study_uid=uid,
        patient_id=_text(tags, "0010,0020"),
        issuer=_text(tags, "0010,0021") or _entity(tags, "0010,0024"),
        patient_name=_text(tags, "0010,0010"),
        birth_date=birth.isoformat() if birth else None,
        sex=sex if sex in ("M", "F", "O") else None,
        accession=_text(tags, "0008,0050"),
        accession_issuer=_entity(tags, "0008,0051"),
        study_id=_text(tags, "0020,0010"),
        description=_text(tags, "0008,1030"),
        started=_started(tags, "0008,0020", "0008,0030", zone),
        referrer=next(iter(_people(tags, "0008,0090", "0008,0096")), None),
        readers=_people(tags, "0008,1060", "0008,1062"),
        procedures=_codes(tags, "0008,1032") or _requested(tags, "0032,1064"),
        reasons=_requested(tags, "0040,100a"),
        reason=_text(tags, "0040,1002") or next((text for i in asked if (text := _text(i, "0040,1002"))), None),
        institution=_text(tags, "0008,0080"),
        department=_text(tags, "0008,1040") or _text(tags, "0040,0243"),
    )


def series_of(tags: Tags, zone: tzinfo) -> SeriesFacts | None:
    """The facts of the series that an instance with these tags belongs to, without instances; None if it names none."""
    uid = _text(tags, "0020,000e")
    if uid is None or not is_readable_uid(uid):
        return None
    laterality = _text(tags, "0020,0060")
    regions = _codes(tags, "0008,2218")
    return SeriesFacts(
        uid=uid,
        modality=_code(tags, "0008,0060") or "OT",
        number=_number(tags, "0020,0011"),
        description=_text(tags, "0008,103e"),
        body_part=_text(tags, "0018,0015"),
        region=regions[0] if len(regions) == 1 else None,
        laterality=laterality if laterality in ("L", "R") else None,
        started=_started(tags, "0008,0021", "0008,0031", zone),
        step_ids=_step_ids(tags),
        specimens=tuple(
            (id, _entity(item, "0040,0562")) for item in _items(tags, "0040,0560") if (id := _text(item, "0040,0551"))
        ),
        performers=(*_people(tags, "0008,1050", "0008,1052"), *_people(tags, "0008,1070", "0008,1072")),
    )


def image_type_of(tags: Tags) -> str | None:
    """Image Type (PS3.3 C.7.6.1.1.2), its values between backslashes; None without any that is a code."""
    values = [part.strip(" \0") for part in (_text(tags, "0008,0008") or "").split("\\")]
    while values and not values[-1]:
        values.pop()
    return "\\".join(values) if values and all(_IMAGE_TYPE.fullmatch(value) for value in values) else None


def instance_of(
    resource: Mapping[str, Any], tags: Tags | None = None, image_type: str | None = None
) -> InstanceFacts | None:
    """The facts of one instance; its own tags tell title and side alone. None if it has no usable UIDs.

    The title of what is no document is the image type, where that is given.
    """
    main = resource.get("MainDicomTags") or {}
    uid = _text(main, "0008,0018")
    sop_class = (resource.get("Metadata") or {}).get("SopClassUid") or _text(tags or {}, "0008,0016")
    if uid is None or not is_readable_uid(uid) or not isinstance(sop_class, str):
        return None
    return InstanceFacts(
        sop_instance_uid=uid,
        sop_class_uid=sop_class.strip(),
        number=_number(main, "0020,0013"),
        title=(_title(sop_class, tags) if tags else None) or (None if _is_document(sop_class) else image_type),
        frames=_number(main, "0028,0008"),
        laterality=_side(tags) if tags else None,
    )


def _side(tags: Tags) -> str | None:
    """Of the image, or of all its frames (PS3.3 C.7.6.16.2.8): L, R or B."""
    anatomy = [found for shared in _items(tags, "5200,9229") for found in _items(shared, "0020,9071")]
    side = _text(tags, "0020,0062") or next((text for one in anatomy if (text := _text(one, "0020,9072"))), None)
    return side if side in ("L", "R", "B") else None


def _is_document(sop_class: str) -> bool:
    return sop_class.startswith(_TITLED)


def _title(sop_class: str, tags: Tags) -> str | None:
    if sop_class.startswith(_STRUCTURED_REPORT):
        concept = _items(tags, "0040,a043")
        return _text(concept[0], "0008,0104") if concept else None
    if sop_class.startswith(_ENCAPSULATED):
        return _text(tags, "0042,0010")
    return _text(tags, "0070,0081") or _text(tags, "0070,0080")


def _text(tags: Tags, tag: str) -> str | None:
    value = tags.get(tag)
    if not isinstance(value, str):
        return None
    return value.strip(" \0") or None


def _step_ids(tags: Tags) -> tuple[str, ...]:
    """Which scheduled steps the series was made for (PS3.3 10.6); many modalities name the performed step alike."""
    asked = [_text(item, "0040,0009") for item in _items(tags, "0040,0275")]
    return tuple(dict.fromkeys(id for id in (*asked, _text(tags, "0040,0253")) if id))


def _requested(tags: Tags, tag: str) -> tuple[Coded, ...]:
    """The codes of the request: at the top, else of the Request Attributes (PS3.3 10.6)."""
    inside = (code for item in _items(tags, "0040,0275") for code in _codes(item, tag))
    return _codes(tags, tag) or tuple(dict.fromkeys(inside))


def _codes(tags: Tags, tag: str) -> tuple[Coded, ...]:
    """The usable items of a code sequence: a code with its scheme, or a URN (PS3.3 8.1)."""
    found = []
    for item in _items(tags, tag):
        scheme, meaning = _text(item, "0008,0102"), _text(item, "0008,0104")
        code, urn = _text(item, "0008,0100") or _text(item, "0008,0119"), _text(item, "0008,0120")
        if code and scheme:
            found.append(Coded(*in_sct(code, scheme), meaning))
        elif urn:
            found.append(Coded(urn, "", meaning))
    return tuple(found)


def _people(tags: Tags, names: str, codes: str) -> tuple[Person, ...]:
    """Those named, each with the first code of theirs: the items are as many as the names, in their order (PS3.3 10.1).

    Where they are not as many, nobody can tell whose they are; without any names they stand alone.
    """
    called = [name.strip() for name in (_text(tags, names) or "").split("\\")]
    known = [next(iter(_codes(item, "0040,1101")), None) for item in _items(tags, codes)]
    if not any(called):
        called = [""] * len(known)
    if len(known) != len(called):
        known = [None] * len(called)
    return tuple(Person(name, code) for name, code in zip(called, known, strict=True) if name or code)


def _code(tags: Tags, tag: str) -> str | None:
    """A CS value that FHIR has as a code, which knows no double spaces; the first, where a device writes several."""
    return " ".join(next(iter(_several(tags, tag)), "").split()) or None


def _several(tags: Tags, tag: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in (_text(tags, tag) or "").split("\\") if part.strip())


def _number(tags: Tags, tag: str) -> int | None:
    text = _text(tags, tag)
    try:
        return int(text) if text and len(text) <= 12 else None
    except ValueError:
        return None


def _items(tags: Tags, tag: str) -> list[Tags]:
    value = tags.get(tag)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _entity(tags: Tags, tag: str) -> str | None:
    """A Hierarchic Designator (PS3.3 10.17): the universal entity id, else the local one."""
    items = _items(tags, tag)
    return (_text(items[0], "0040,0032") or _text(items[0], "0040,0031")) if items else None


def _started(tags: Tags, day: str, hour: str, zone: tzinfo) -> datetime | date | None:
    return instant(_text(tags, day), _text(tags, hour), _text(tags, "0008,0201"), zone)
