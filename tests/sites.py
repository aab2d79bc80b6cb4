"""A site to test with: three kinds of modality, a RIS and an EMR that want to be told."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from zoneinfo import ZoneInfo

from interop.dicom.stations import Station
from interop.hl7.acknowledgement_mode import Manner
from interop.mapping.peers import Receiver
from interop.mapping.tables import SiteRules, Tables, compile_tables
from interop.shipped import shipped
from interop.workflow.site import Site

RIS = Receiver("RIS", "127.0.0.1", 1, "RIS", "HOSP", "INTEROP", "", frozenset({"ORM^O01"}))
EMR = Receiver("EMR", "127.0.0.1", 2, "EMR", "HOSP", "INTEROP", "", frozenset({"ORU^R01"}))


@cache
def tables() -> Tables:
    """The shipped tables, compiled once."""
    return compile_tables(shipped("mappings"))


def a_site(*receivers: Receiver) -> Site:
    """The site; nobody is told of anything unless receivers are named."""
    stations = tuple(
        Station(aet, "127.0.0.1", 104, modality)
        for aet, modality in (("CT1", "CT"), ("CT2", "CT"), ("MR1", "MR"), ("US1", "US"))
    )
    return Site("IMG", ZoneInfo("Asia/Nicosia"), stations, receivers, tables(), "http://127.0.0.1:8000")


def answered_as(site: Site, manner: Manner, application: str = "RIS", facility: str = "HOSP") -> Site:
    """The same site with a site file that says how one sender is acknowledged."""
    shipped_ones = tables()
    rules = SiteRules(
        shipped_ones.codes, shipped_ones.messages, manner=manner, application=application, facility=facility
    )
    return replace(site, tables=replace(shipped_ones, sites=(rules,)))


def without_stations(site: Site) -> Site:
    """The same site before anybody wrote down its modalities."""
    return replace(site, stations=())


def with_locations(site: Site) -> Site:
    """The same site where each station has a room of its own: that of CT2 is ``CT room 2``."""
    return replace(
        site, stations=tuple(replace(one, location=f"{one.modality} room {one.aet[2:]}") for one in site.stations)
    )
