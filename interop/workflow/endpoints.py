"""Where the images of a study can be had: one Endpoint for DICOMweb, and one per study that opens the viewer on it."""

from __future__ import annotations

from typing import Any

from interop.fhir import names
from interop.store import Tx
from interop.workflow.site import Site

Resource = dict[str, Any]

_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
DICOMWEB = "dicom-wado-rs"  # id of the Endpoint that all studies share, and its connection type
VIEWER = "ihe-iid"


def study_endpoints(tx: Tx, site: Site, study_uid: str, known: list[Resource]) -> list[Resource]:
    """The references for ImagingStudy.endpoint; Endpoints are made, or moved to where the server is now."""
    tx.update(_endpoint(DICOMWEB, f"{site.public_url}/dicom-web", "DICOMweb of this archive") | {"id": DICOMWEB})
    ids = [reference["reference"].removeprefix("Endpoint/") for reference in known]
    own = next((id for id in ids if id != DICOMWEB), None) or tx.new_id()
    address = f"{site.public_url}/viewer/iid?requestType=STUDY&studyUID={study_uid}"
    tx.update(_endpoint(VIEWER, address, "Viewer") | {"id": own})
    return [{"reference": f"Endpoint/{DICOMWEB}"}, {"reference": f"Endpoint/{own}"}]


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
