"""URIs that only the mappings write; those that other rooms read, too, are in ``interop.fhir.names``."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

from interop.fhir import names

_HL7 = "http://hl7.org/fhir/StructureDefinition/"
EXT_REPRESENTATION = f"{_HL7}iso21090-EN-representation"  # valueCode on HumanName: ABC, IDE or SYL
EXT_BIRTH_TIME = f"{_HL7}patient-birthTime"  # valueDateTime on Patient.birthDate
EXTENSIONS = {  # the short names that targets and sources of rows use
    "station": names.EXT_STATION,
    "step": names.EXT_STEP,
    "birthPlace": f"{_HL7}patient-birthPlace",
    "mothersMaidenName": f"{_HL7}patient-mothersMaidenName",
    "statusReason": f"{_HL7}request-statusReason",
    "reportNote": "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note",  # R5 has it
    "eventStatusReason": f"{_HL7}event-statusReason",
}
TYPE_SYSTEMS = {  # identifier types in targets and sources, by their code system
    **dict.fromkeys(("PLAC", "FILL", "ACSN", "PGN", "AN", "SS", "DL", "VN"), names.V2_0203),
    **dict.fromkeys(("RPID", "SPSID"), names.IDENTIFIER_TYPES),
}
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_LOCAL_CODES = "urn:interop:codes:"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20\x7f]+\Z")


def is_uri(text: str) -> bool:
    """Whether it is an absolute URI that FHIR takes as it is (RFC 3986)."""
    return _URI.match(text) is not None


@lru_cache(maxsize=1024)
def local_code_system(sender: str, name: str) -> str:
    """The system of codes that a facility (MSH-4) calls local (L, 99xxx) or by a name that no table knows."""
    return f"{_LOCAL_CODES}{quote(sender or '-', safe='-._~')}:{quote(name, safe='-._~')}"


def local_code_name(system: str) -> str | None:
    """The way back: what stands in CWE.3; None if the system is not a local one."""
    if not system.startswith(_LOCAL_CODES) or system.count(":") < 4:
        return None
    return system.rsplit(":", 1)[1]
