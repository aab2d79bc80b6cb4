"""``interop doctor --modality``: whether one station of the list is there, and takes us for whom we are."""

from __future__ import annotations

from interop.cli.installed import Finding
from interop.dicom.stations import Station
from interop.errors import NotFoundError
from interop.parts import stations
from interop.settings import Settings


def examine_station(settings: Settings, aet: str) -> int:
    """Print what its C-ECHO says; 1 unless it answers. NotFoundError for an AE title that is not in the list."""
    listed = stations(settings)
    station = next((one for one in listed if one.aet == aet), None)
    if station is None:
        known = ", ".join(one.aet for one in listed) or "empty"
        raise NotFoundError(f"{aet} is not in the list of modalities ({known}): add a [[modality]] table for it")
    finding = station_finding(settings, station)
    remedy = f"  ->  {finding.remedy}" if finding.remedy else ""
    print(f"{finding.level:<8} {finding.subject:<24} {finding.seen}{remedy}")  # noqa: T201
    return 0 if finding.level == "ok" else 1


def station_finding(settings: Settings, station: Station) -> Finding:
    """What C-ECHO finds; the station is called as whom it stores to, or as its worklist where that is ours."""
    from interop.dimse.echo import echo

    found = echo(station, settings.dimse_aet if settings.dimse else settings.orthanc_aet)
    return Finding("ok" if found.ok else "fault", f"modality {station.aet}", found.seen, found.remedy)
