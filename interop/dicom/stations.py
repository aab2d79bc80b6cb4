"""The one list of modalities: who may talk DICOM to us, and whose worklist an order belongs on.

The file is TOML, one ``[[modality]]`` table per station::

    [[modality]]
    aet = "CT1"             # PS3.5 AE: at most 16 characters, no backslash
    host = "10.0.0.21"      # its IP address: the archive compares it with the caller's
    port = 104
    modality = "CT"         # DICOM modality code; left out for a tool that is no modality
    location = "Room 2"     # optional
    charset = "ISO_IR 192"  # optional, what the station reads; several: "\\ISO 2022 IR 87", with both backslashes
    retrieve = false        # optional: true lets it fetch studies by C-MOVE and C-GET
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from dataclasses import dataclass
from typing import Any

from interop.dicom.character_sets import checked_character_set
from interop.errors import InvalidContentError

_AET = re.compile(r"[\x21-\x5b\x5d-\x7e](?:[\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?\Z")
_MODALITY = re.compile(r"[A-Z0-9_]{2,16}\Z")
_KEYS = {"aet", "host", "port", "modality", "location", "charset", "retrieve"}


@dataclass(frozen=True, slots=True)
class Station:
    """One DICOM node. An empty modality is a tool (a workstation, a test client): no order is scheduled on it."""

    aet: str
    host: str
    port: int
    modality: str = ""
    location: str = ""
    charset: str = "ISO_IR 192"
    retrieve: bool = False


def parse_stations(text: str) -> tuple[Station, ...]:
    """The stations of a modalities file; InvalidContentError names the table and the key that is wrong."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidContentError(f"modalities file: {error}") from error
    unknown = sorted(set(document) - {"modality"})
    if unknown:
        raise InvalidContentError(f"modalities file: unknown key {unknown[0]!r}; it holds [[modality]] tables only")
    rows = document.get("modality", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidContentError("modalities file: modality has to be [[modality]] tables")
    stations = tuple(_station(row, f"modality {index}") for index, row in enumerate(rows, 1))
    seen: set[str] = set()
    for station in stations:
        if station.aet in seen:
            raise InvalidContentError(f"modalities file: the AE title {station.aet!r} stands twice")
        seen.add(station.aet)
    return stations


def _station(row: dict[str, Any], place: str) -> Station:
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise InvalidContentError(f"modalities file, {place}: unknown key {unknown[0]!r}")
    aet = _text(row, "aet", place)
    if not _AET.match(aet):
        raise InvalidContentError(
            f"modalities file, {place}: {aet!r} is no AE title (1 to 16 characters, no backslash)"
        )
    place = f"{place} ({aet})"
    host = _text(row, "host", place)
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise InvalidContentError(f"modalities file, {place}: host has to be an IP address, not {host!r}") from error
    port = row.get("port")
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise InvalidContentError(f"modalities file, {place}: port has to be 1 to 65535")
    modality = _text(row, "modality", place, "")
    if modality and not _MODALITY.match(modality):
        raise InvalidContentError(f"modalities file, {place}: {modality!r} is no DICOM modality code")
    charset = _text(row, "charset", place, "ISO_IR 192")
    try:
        checked_character_set(charset)
    except InvalidContentError as error:
        raise InvalidContentError(f"modalities file, {place}: {error.text}") from error
    retrieve = row.get("retrieve", False)
    if not isinstance(retrieve, bool):
        raise InvalidContentError(f"modalities file, {place}: retrieve has to be true or false")
    return Station(aet, host, port, modality, _text(row, "location", place, ""), charset, retrieve)


def _text(row: dict[str, Any], key: str, place: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if value is None:
        raise InvalidContentError(f"modalities file, {place}: {key} is missing")
    if not isinstance(value, str):
        raise InvalidContentError(f"modalities file, {place}: {key} has to be text")
    return value
