"""The DIMSE door: verification, Modality Worklist and Modality Performed Procedure Step (PS3.4 A, K, F)."""

from interop.dimse.admission import Admission
from interop.dimse.provider import DimseProvider, Limits

__all__ = ["Admission", "DimseProvider", "Limits"]
