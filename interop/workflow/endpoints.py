"""Where the images of a study can be had: one Endpoint per archive for DICOMweb, one per study for the viewer on it."""

from __future__ import annotations

from typing import Any

from interop.fhir import names
from interop.store import Tx
from interop.workflow.site import Site

Resource = dict[str, Any]

_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
DICOMWEB = "dicom-wado-rs"  # id of the Endpoint that the studies of the default archive share, and connection type
VIEWER = "ihe-iid"


def study_endpoints(tx: Tx, site: Site, study_uid: str, known: list[Resource]) -> list[Resource]:
    """The references for ImagingStudy.endpoint; Endpoints are made, or moved to where the server is now."""
    shared = _shared(tx, site, study_uid)
    ids = [reference["reference"].removeprefix("Endpoint/") for reference in known]
    own = next((id for id in ids if not id.startswith(DICOMWEB)), None) or tx.new_id()
    address = f"{site.public_url}/viewer/iid?requestType=STUDY&studyUID={study_uid}"
    tx.update(_endpoint(VIEWER, address, "Viewer") | {"id": own})
    return [{"reference": f"Endpoint/{shared}"}, {"reference": f"Endpoint/{own}"}]


def _shared(tx: Tx, site: Site, study_uid: str) -> str:
    """The id of the archive's Endpoint. All have one address: it is this server that asks the archive."""
    archive = tx.archive_of_study(study_uid) or site.archive
    id = DICOMWEB if archive == site.archive else f"{DICOMWEB}-{archive}"
    name = "DICOMweb of this archive" if archive == site.archive else f"DICOMweb of archive {archive}"
    identifier = {"identifier": [{"system": names.ARCHIVE, "value": archive}]}
    tx.update(_endpoint(DICOMWEB, f"{site.public_url}/dicom-web", name) | identifier | {"id": id})
    return id


def _endpoint(kind: str, address: str, name: str) -> Resource:
    payload = {"coding": [{"system": names.DCM, "code": "113014", "display": "DICOM Study"}]}
    endpoint: Resource = {
        "resourceType": "Endpoint",
        "status": "active",
        "connectionType": {"system": _TYPES, "code": kind},
        "name": name,
        "payloadType": [payload],
        "address": address,
    }
    if kind == DICOMWEB:
        endpoint["payloadMimeType"] = ["application/dicom+json", "application/dicom"]
    else:
        endpoint["payloadMimeType"] = ["text/html"]
    return endpoint
