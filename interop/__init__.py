"""Imaging interoperability: FHIR R4, HL7 v2 over MLLP, DICOMweb and Modality Worklist meet in standard resources."""

__version__ = "0.1.0"
