"""capabilities: GET [base]/metadata — https://hl7.org/fhir/R4/http.html#capabilities

Open to anyone, without a token.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from interop import __version__
from interop.fhir.capability import capability
from interop.fhir.json import dumps


@cache
def statement(base_url: str) -> bytes:
    """The CapabilityStatement as bytes; its date is that of the first request after the start."""
    return dumps(capability(base_url=base_url, version=__version__, date=datetime.now(UTC).date().isoformat()))
