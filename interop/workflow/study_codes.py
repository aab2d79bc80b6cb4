"""What images say in codes, as FHIR has it: procedures, reasons, body sites."""

from __future__ import annotations

from typing import Any

from interop.dicom.body_parts import body_part_code
from interop.dicom.study import Coded, SeriesFacts, StudyFacts
from interop.fhir import names
from interop.mapping.uris import is_uri, local_code_system
from interop.workflow.site import Site

Resource = dict[str, Any]

_LOCAL = "99"  # begins every private CodingSchemeDesignator (PS3.3 8.2)


def procedure_codes(site: Site, facts: StudyFacts) -> list[Resource]:
    """ImagingStudy.procedureCode."""
    return [_concept(site, one) for one in facts.procedures]


def reason_codes(site: Site, facts: StudyFacts) -> list[Resource]:
    """ImagingStudy.reasonCode: the codes, else the text."""
    return [_concept(site, one) for one in facts.reasons] or ([{"text": facts.reason}] if facts.reason else [])


def body_site(series: SeriesFacts) -> Resource | None:
    """ImagingStudy.series.bodySite: the body part by its code, else the coded region, else the term as sent."""
    code = body_part_code(series.body_part) if series.body_part else None
    if code is not None:
        return {"system": names.SNOMED, "code": code[0], "display": code[1]}
    region = series.region
    if region is not None and region.scheme == "SCT":
        return {"system": names.SNOMED, "code": region.code} | ({"display": region.meaning} if region.meaning else {})
    return {"display": series.body_part} if series.body_part else None


def _concept(site: Site, coded: Coded) -> Resource:
    coding = {"system": _system(site, coded), "code": " ".join(coded.code.split())}
    if not coded.meaning:
        return {"coding": [coding]}
    return {"coding": [coding | {"display": coded.meaning}], "text": coded.meaning}


def _system(site: Site, coded: Coded) -> str:
    """The URI of a CodingSchemeDesignator; a private one is of this site, as the worklist writes them."""
    if not coded.scheme:
        return "urn:ietf:rfc:3986"
    found = site.tables.codes["coding_system"].find(coded.scheme)
    if found is not None:
        return found.target
    if is_uri(coded.scheme):
        return coded.scheme
    return local_code_system(site.facility, own_name(coded.scheme))


def own_name(scheme: str) -> str:
    """A private CodingSchemeDesignator without its mark."""
    return scheme.removeprefix(_LOCAL) or scheme
