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
_DOCUMENTS = _NEVER | _SHOWN.keys()
_MEASUREMENTS = "126000"  # DCM, Imaging Measurement Report: the title of TID 1500
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
            fields = "includefield=0040A043"  # ConceptNameCodeSequence
            asked.append(
                f"/dicom-web/instances?StudyInstanceUID={','.join(uids)}&Modality={modality}&{fields}&limit={_MOST}"
            )
    return asked


def unseen(modalities: Mapping[str, frozenset[str]], instances: Iterable[Row]) -> list[Unseen]:
    """What is not shown of the studies; ``instances`` are the rows that the questions brought."""
    found = [
        Unseen(uid, modality, f"{modality} objects are listed and not shown")
        for uid, present in modalities.items()
        for modality in sorted(present & _NEVER)
    ]
    for row in instances:
        uid, modality, sop_class = (_first(row, tag) for tag in ("0020000D", "00080060", "00080016"))
        if modality not in _SHOWN or uid not in modalities:
            continue
        if sop_class not in _SHOWN[modality]:
            found.append(Unseen(uid, modality, f"{modality} of SOP class {sop_class} is listed and not shown"))
        elif _title(row) == _MEASUREMENTS and not modalities[uid] - _DOCUMENTS:
            text = "measurements (TID 1500) are shown on the images they were made on, and the study has none"
            found.append(Unseen(uid, modality, text))
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


def _title(row: Row) -> str:
    items = row.get("0040A043", {}).get("Value", ())
    return _first(items[0], "00080100") if items else ""
