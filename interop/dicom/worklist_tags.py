"""A Modality Worklist item as JSON by keyword: how Orthanc's worklists plugin is told of it over REST."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from interop.dicom.values import dataset_of
from interop.dicom.worklist import completed


def worklist_json(attributes: Mapping[str, Any]) -> bytes:
    """``{"Tags": {…}}`` of one scheduled step on one station; every value is text, a sequence is a list of objects.

    The same attributes give the same bytes. InvalidContentError as for a file.
    """
    tags = _tags(dataset_of({**completed(attributes), "SpecificCharacterSet": "ISO_IR 192"}))
    return json.dumps({"Tags": tags}, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _tags(dataset: Dataset) -> dict[str, Any]:
    return {element.keyword: _value(element.VR, element.value) for element in dataset}


def _value(vr: str, value: Any) -> Any:
    if vr == "SQ":
        return [_tags(item) for item in value or ()]
    if value is None:
        return ""
    return "\\".join(str(one) for one in value) if isinstance(value, MultiValue | list) else str(value)
