"""The DICOMweb door: QIDO-RS and WADO-RS, authorised, relayed and audited."""

from interop.dicomweb.door import DicomWeb, dicomweb_routes

__all__ = ["DicomWeb", "dicomweb_routes"]
