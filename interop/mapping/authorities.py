"""Assigning authorities: HL7 namespaces, OIDs and DICOM issuers on one side, FHIR identifier systems on the other.

A number without its authority is nobody's: two hospitals count from 1. An authority of ``authorities.toml`` has one
FHIR system; else an ISO OID gives ``urn:oid:``, a UUID ``urn:uuid:``, a URI itself, and a bare namespace belongs to
the facility that sent it: ``urn:interop:ns:<MSH-4>:<namespace>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from interop.mapping.rows import TableError, check_keys
from interop.mapping.uris import is_uri

_LOCAL = "urn:interop:ns:"
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_SAFE = "-._~"
_KEYS = ("system", "namespace", "oid", "issuer", "aliases", "facility", "note")


@dataclass(frozen=True, slots=True)
class Authority:
    """One row of ``authorities.toml``."""

    system: str  # FHIR Identifier.system
    namespace: str  # HD.1
    oid: str = ""  # HD.2 with HD.3 ISO
    issuer: str = ""  # DICOM: IssuerOfPatientID, Local Namespace Entity ID
    aliases: tuple[str, ...] = ()  # other namespaces that mean it
    facility: str = ""  # the namespaces count only from this MSH-4
    note: str = ""

    @property
    def hd(self) -> tuple[str, str, str]:
        """Its HL7 form."""
        return (self.namespace, self.oid, "ISO" if self.oid else "")


class Authorities:
    """The known authorities, found by each of their names."""

    def __init__(self, rows: tuple[Authority, ...]) -> None:
        self.rows = rows
        self._seen: dict[tuple[str, ...], str] = {}
        self._by_system = {row.system: row for row in rows}
        self._by_oid = {row.oid: row for row in rows if row.oid}
        self._by_namespace = {
            (row.facility, name.upper()): row for row in rows for name in (row.namespace, *row.aliases) if name
        }

    def system_of(self, namespace: str, universal: str, kind: str, *, facility: str, role: str) -> str:
        """The FHIR system of an HD (HD.1, HD.2, HD.3) that ``facility`` (MSH-4) sent.

        ``role`` (patient, placer, filler, …) stands in for a namespace where the sender gave none.
        """
        key = (namespace, universal, kind, facility, role)
        system = self._seen.get(key)
        if system is None:
            if len(self._seen) > 10_000:
                self._seen.clear()  # a sender that makes up namespaces must not fill the memory
            system = self._seen[key] = self._system_of(*key)
        return system

    def _system_of(self, namespace: str, universal: str, kind: str, facility: str, role: str) -> str:
        if universal:
            known = self._by_oid.get(universal)
            if known is not None:
                return known.system
            if kind in ("ISO", "") and _OID.match(universal):
                return f"urn:oid:{universal}"
            if kind in ("UUID", "GUID") and _UUID.match(universal):
                return f"urn:uuid:{universal.lower()}"
            if kind == "URI" and is_uri(universal):
                return universal
        name = namespace or universal
        if name:
            found = self._by_namespace.get((facility, name.upper())) or self._by_namespace.get(("", name.upper()))
            if found is not None:
                return found.system
            if _OID.match(name) and "." in name:  # an OID in the place of the namespace
                return f"urn:oid:{name}"
        return f"{_LOCAL}{quote(facility or '-', safe=_SAFE)}:{quote(name or role, safe=_SAFE)}"

    def hd_of(self, system: str) -> tuple[str, str, str]:
        """The HD (namespace, universal id, its type) of a FHIR system; the way back of ``system_of``."""
        known = self._by_system.get(system)
        if known is not None:
            return known.hd
        if system.startswith("urn:oid:"):
            return ("", system.removeprefix("urn:oid:"), "ISO")
        if system.startswith("urn:uuid:"):
            return ("", system.removeprefix("urn:uuid:"), "UUID")
        if system.startswith(_LOCAL) and system.count(":") >= 4:
            name = unquote(system.removeprefix(_LOCAL).split(":", 1)[1])
            return ("" if name in ROLES else name, "", "")
        return ("", system, "URI") if system else ("", "", "")

    def issuer_of(self, system: str) -> str:
        """The DICOM issuer (LO, Local Namespace Entity ID) of a FHIR system."""
        known = self._by_system.get(system)
        if known is not None:
            return known.issuer or known.namespace
        namespace, universal, _ = self.hd_of(system)
        return namespace or universal


ROLES = frozenset(
    {"patient", "placer", "filler", "visit", "person", "accession", "document", "organization"}
)  # of unnamed authorities


def authorities_of(document: Mapping[str, Any], file: str) -> Authorities:
    """The ``[[authority]]`` tables; TableError where one is wrong or two claim one name."""
    check_keys(document, ("authority",), file)
    rows: list[Authority] = []
    for number, table in enumerate(document.get("authority", []), 1):
        where = f"{file} authority {number}"
        check_keys(table, _KEYS, where)
        if not table.get("system") or not table.get("namespace"):
            raise TableError(f"{where}: system and namespace are needed")
        oid = table.get("oid", "")
        if oid and not _OID.match(oid):
            raise TableError(f"{where}: {oid!r} is no OID")
        rows.append(Authority(**{**table, "aliases": tuple(table.get("aliases", []))}))
    claims = [
        *(("system", row.system) for row in rows),
        *(("oid", row.oid) for row in rows if row.oid),
        *((f"namespace of {row.facility}", name.upper()) for row in rows for name in (row.namespace, *row.aliases)),
    ]
    for claim in claims:
        if claims.count(claim) > 1:
            raise TableError(f"{file}: two authorities have the {claim[0]} {claim[1]!r}")
    return Authorities(tuple(rows))
