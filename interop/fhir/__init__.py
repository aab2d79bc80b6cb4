"""FHIR R4 (4.0.1) as pure values: reading, validating, searching and describing resources; no I/O."""
