"""Numbers keep their authority, from HL7 to FHIR and back."""

from __future__ import annotations

import pytest

from interop.mapping.authorities import Authorities, Authority
from interop.mapping.tables import compile_tables
from interop.shipped import shipped

KNOWN = Authorities(
    (
        Authority("urn:oid:1.2.3", "CYID", oid="1.2.3", issuer="CYPRUS", aliases=("ΑΔΤ",)),
        Authority("http://emr.example/orders", "EMR"),
        Authority("http://other.example/orders", "EMR", facility="OTHER"),
    )
)


@pytest.mark.parametrize(
    ("hd", "facility", "system"),
    [
        (("CYID", "", ""), "HOSP", "urn:oid:1.2.3"),
        (("cyid", "", ""), "HOSP", "urn:oid:1.2.3"),
        (("ΑΔΤ", "", ""), "HOSP", "urn:oid:1.2.3"),
        (("WHATEVER", "1.2.3", "ISO"), "HOSP", "urn:oid:1.2.3"),
        (("EMR", "", ""), "HOSP", "http://emr.example/orders"),
        (("EMR", "", ""), "OTHER", "http://other.example/orders"),
        (("EMR", "9.9.9", "ISO"), "HOSP", "http://emr.example/orders"),  # no OID (no arc 9): the namespace counts
        (("X", "2.999.7", "ISO"), "HOSP", "urn:oid:2.999.7"),
        (("X", "2.999.7", ""), "HOSP", "urn:oid:2.999.7"),
        (("2.999.7", "", ""), "HOSP", "urn:oid:2.999.7"),
        (("", "53FEFA32-fcbb-4ff8-8a92-55ee120877b7", "UUID"), "HOSP", "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"),
        (("", "http://x.example", "URI"), "HOSP", "http://x.example"),
        (("LAB", "", ""), "HOSP", "urn:interop:ns:HOSP:LAB"),
        (("LAB", "lab.example", "DNS"), "HOSP", "urn:interop:ns:HOSP:LAB"),
        (("", "lab.example", "DNS"), "HOSP", "urn:interop:ns:HOSP:lab.example"),
        (("ΕΡΓ & ΑΣ", "", ""), "HO SP", "urn:interop:ns:HO%20SP:%CE%95%CE%A1%CE%93%20%26%20%CE%91%CE%A3"),
        (("", "", ""), "HOSP", "urn:interop:ns:HOSP:patient"),
        (("", "", ""), "", "urn:interop:ns:-:patient"),
    ],
)
def test_a_namespace_becomes_one_system(hd: tuple[str, str, str], facility: str, system: str) -> None:
    assert KNOWN.system_of(*hd, facility=facility, role="patient") == system
    assert KNOWN.system_of(*hd, facility=facility, role="patient") == system  # and again


@pytest.mark.parametrize(
    ("system", "hd", "issuer"),
    [
        ("urn:oid:1.2.3", ("CYID", "1.2.3", "ISO"), "CYPRUS"),
        ("http://emr.example/orders", ("EMR", "", ""), "EMR"),
        ("urn:oid:2.999.7", ("", "2.999.7", "ISO"), "2.999.7"),
        ("urn:uuid:53fefa32", ("", "53fefa32", "UUID"), "53fefa32"),
        ("urn:interop:ns:HOSP:LAB", ("LAB", "", ""), "LAB"),
        ("urn:interop:ns:HO%20SP:%CE%95%CE%A1%CE%93%20%26", ("ΕΡΓ &", "", ""), "ΕΡΓ &"),
        ("urn:interop:ns:HOSP:patient", ("", "", ""), ""),
        ("http://x.example", ("", "http://x.example", "URI"), "http://x.example"),
        ("", ("", "", ""), ""),
    ],
)
def test_a_system_goes_back_to_its_namespace(system: str, hd: tuple[str, str, str], issuer: str) -> None:
    assert KNOWN.hd_of(system) == hd
    assert KNOWN.issuer_of(system) == issuer
    if system and not system.endswith("53fefa32"):
        facility = "HO SP" if "%20SP" in system else "HOSP"
        assert KNOWN.system_of(*hd, facility=facility, role="patient") == system


def test_a_sender_that_makes_up_namespaces_does_not_fill_the_memory() -> None:
    for number in range(25_000):
        KNOWN.system_of(f"N{number}", "", "", facility="HOSP", role="patient")
    assert len(KNOWN._seen) < 11_000


def test_the_shipped_authorities_are_those_of_the_demo() -> None:
    authorities = compile_tables(shipped("mappings")).authorities
    assert authorities.system_of("CYID", "", "", facility="ANY", role="patient") == "urn:oid:2.16.840.1.113883.2.40.1"
    for name in ("EMR", "RIS", "ARC"):
        system = authorities.system_of(name, "", "", facility="ANY", role="patient")
        assert system == f"urn:interop:ns:HOSP:{name}"
