"""What the viewer lists without showing it, told before a study is opened.

OHIF 3.13 has a handler for each SOP class that it shows; of all others it lists the series with a warning sign beside
an empty viewport. The classes here are those handlers' (docs/reference/viewer.md says which were looked at).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

_NEVER = frozenset({"AU", "FID", "KO", "M3D", "PLAN", "PR", "REG", "RESP", "RTPLAN", "RTRECORD", "RWV"})
# Modalities whose objects are of several kinds, and the SOP classes of them that are shown.
_SHOWN = {
    "SR": frozenset(f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (11, 22, 33, 34)),
    "DOC": frozenset({"1.2.840.10008.5.1.4.1.1.104.1"}),
    "ECG": frozenset(f"1.2.840.10008.5.1.4.1.1.9.1.{number}" for number in (1, 2, 3)),
}
_DRAWN = frozenset({"SEG", "RTSTRUCT"})  # what is shown on images alone
_DOCUMENTS = _NEVER | _SHOWN.keys() | _DRAWN
_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"  # Basic Text SR holds no measurements (PS3.3 A.35.1.3)
# Whether it is one, its title says, which Orthanc's plugin 1.7 gives in no search.
_NO_IMAGES = "a report of measurements (TID 1500) is shown on its images alone, and the study has none; words are shown"
_MOST = 200  # objects of a modality that are looked at; a study has a handful


@dataclass(frozen=True, slots=True)
class Unseen:
    """One thing that the viewer does not show."""

    study: str
    modality: str
    text: str

    def told(self) -> dict[str, str]:
        """As the answer has it."""
        return {"study": self.study, "modality": self.modality, "text": self.text}


def questions(modalities: Mapping[str, frozenset[str]]) -> list[str]:
    """The searches to make of the archive, by the modalities of each study: none for plain images."""
    asked = []
    for modality in _SHOWN:
        uids = [uid for uid, present in modalities.items() if modality in present]
        if uids:
            asked.append(f"/dicom-web/instances?StudyInstanceUID={','.join(uids)}&Modality={modality}&limit={_MOST}")
    return asked


def unseen(modalities: Mapping[str, frozenset[str]], instances: Iterable[Row]) -> list[Unseen]:
    """What is not shown of the studies; ``instances`` are the rows that the questions brought."""
    found = [
        Unseen(uid, modality, f"{modality} objects are listed and not shown")
        for uid, present in modalities.items()
        for modality in sorted(present & _NEVER)
    ]
    found += [
        Unseen(uid, modality, f"{modality} objects are shown on their images alone, and the study has none")
        for uid, present in modalities.items()
        for modality in sorted(present & _DRAWN)
        if not present - _DOCUMENTS
    ]
    for row in instances:
        uid, modality, sop_class = (_first(row, tag) for tag in ("0020000D", "00080060", "00080016"))
        if modality not in _SHOWN or uid not in modalities:
            continue
        if sop_class not in _SHOWN[modality]:
            found.append(Unseen(uid, modality, f"{modality} of SOP class {sop_class} is listed and not shown"))
        elif modality == "SR" and sop_class != _TEXT and not modalities[uid] - _DOCUMENTS:
            found.append(Unseen(uid, modality, _NO_IMAGES))
    return list(dict.fromkeys(found))


def modalities_of(rows: Sequence[Row]) -> dict[str, frozenset[str]]:
    """ModalitiesInStudy of each study that an archive's answer tells of; a study may have several rows."""
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        for uid in row.get("0020000D", {}).get("Value", ()):
            found[uid] = found.get(uid, frozenset()) | frozenset(row.get("00080061", {}).get("Value", ()))
    return found


def _first(row: Row, tag: str) -> str:
    return str(next(iter(row.get(tag, {}).get("Value", ())), ""))
