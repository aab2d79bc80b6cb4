"""The URIs that this server reads and writes, each in one place."""

from __future__ import annotations

TRANSPORT = "http://terminology.hl7.org/CodeSystem/v2-0124"  # how the patient comes: CART PORT WALK WHLC
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"  # identifier types PLAC FILL ACSN MR …
DCM = "http://dicom.nema.org/resources/ontology/DCM"  # modality codes
STUDY_UID = "urn:dicom:uid"  # identifier.system of a study; value urn:oid:<StudyInstanceUID>
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
URI = "urn:ietf:rfc:3986"

ARCHIVE = "urn:interop:archive"  # identifier.system of an Endpoint: the name of the archive behind it
IDENTIFIER_TYPES = "urn:interop:CodeSystem:identifier-type"  # ours: RPID requested procedure id, SPSID step id
EXT_STEP = "urn:interop:StructureDefinition:order-step"  # valueCode on ServiceRequest
EXT_SCHEDULED_STEP = "urn:interop:StructureDefinition:scheduled-step"  # one of several, on ServiceRequest, repeats
EXT_STATION = "urn:interop:StructureDefinition:station-ae"  # valueString on ServiceRequest, repeats


def accession_system(facility: str) -> str:
    """The identifier system of accession numbers that state no issuer."""
    return f"urn:interop:{facility}:accession"


def procedure_system(facility: str) -> str:
    """The identifier system of requested procedure ids."""
    return f"urn:interop:{facility}:procedure"


def step_system(facility: str) -> str:
    """The identifier system of scheduled procedure step ids."""
    return f"urn:interop:{facility}:step"
