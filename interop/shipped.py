"""The data folders that travel with the package: profiles, mappings, orthanc, ohif.

In a wheel they lie in ``interop/data``; in a checkout they are the top-level folders beside the package.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def shipped(folder: str) -> Traversable:
    """The named data folder, wherever the package was started from; FileNotFoundError if it was not shipped."""
    packaged = files("interop") / "data" / folder
    if packaged.is_dir():
        return packaged
    beside = Path(__file__).resolve().parent.parent / folder
    if beside.is_dir():
        return beside
    raise FileNotFoundError(f"the data folder {folder!r} is not part of this installation")
