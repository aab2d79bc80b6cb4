"""Data sets written by keyword."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset


def dataset_of(**values: Any) -> Dataset:
    """A data set of these attributes, by their keywords (PS3.6)."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def code_of(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence (PS3.3 8.8)."""
    return dataset_of(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
