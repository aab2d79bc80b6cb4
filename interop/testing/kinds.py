"""What the simulated modalities make: SOP class, size, and who fills it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataset import Dataset

from interop.testing import documents, image_kinds

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
US_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
XA_IMAGE = "1.2.840.10008.5.1.4.1.1.12.1"
CR_IMAGE = "1.2.840.10008.5.1.4.1.1.1"
DX_IMAGE = "1.2.840.10008.5.1.4.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
NM_IMAGE = "1.2.840.10008.5.1.4.1.1.20"
PT_IMAGE = "1.2.840.10008.5.1.4.1.1.128"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
TWELVE_LEAD_ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"

Fill = Callable[[Dataset, int, int, int], None]  # the object, its rows and columns, its number, of how many


@dataclass(frozen=True, slots=True)
class Kind:
    """How a modality's objects look."""

    sop_class: str
    size: int  # rows and columns; 0 where there are no pixels
    single: bool  # one object, of so many frames where it has frames
    image_type: tuple[str, ...]
    description: str
    body_part: str
    fill: Fill


KINDS = {
    "CT": Kind(CT_IMAGE, 512, False, ("ORIGINAL", "PRIMARY", "AXIAL"), "Thorax 2.5 mm", "CHEST", image_kinds.fill_ct),
    "MR": Kind(MR_IMAGE, 256, False, ("ORIGINAL", "PRIMARY", "M", "SE"), "T1 transverse", "BRAIN", image_kinds.fill_mr),
    "US": Kind(
        US_MULTIFRAME,
        512,
        True,
        ("ORIGINAL", "PRIMARY", "", "0001"),
        "Apical four chamber",
        "HEART",
        image_kinds.fill_us,
    ),
    "XA": Kind(
        XA_IMAGE, 512, True, ("ORIGINAL", "PRIMARY", "SINGLE PLANE"), "Left coronary", "HEART", image_kinds.fill_xa
    ),
    "CR": Kind(CR_IMAGE, 1024, False, ("ORIGINAL", "PRIMARY"), "Chest PA", "CHEST", image_kinds.fill_cr),
    "DX": Kind(DX_IMAGE, 1024, False, ("ORIGINAL", "PRIMARY", ""), "Chest PA", "CHEST", image_kinds.fill_dx),
    "NM": Kind(
        NM_IMAGE, 128, True, ("ORIGINAL", "PRIMARY", "DYNAMIC", "EMISSION"), "Renogram", "KIDNEY", image_kinds.fill_nm
    ),
    "PT": Kind(PT_IMAGE, 128, False, ("ORIGINAL", "PRIMARY"), "Whole body FDG", "WHOLEBODY", image_kinds.fill_pt),
    "DOC": Kind(ENCAPSULATED_PDF, 0, True, (), "Report", "", documents.fill_pdf),
    "SR": Kind(COMPREHENSIVE_SR, 0, True, (), "Measurements", "", documents.fill_measurements),
    "ECG": Kind(TWELVE_LEAD_ECG, 0, True, (), "Resting ECG", "", documents.fill_ecg),
}
TEXT_REPORT = Kind(BASIC_TEXT_SR, 0, True, (), "Report", "", documents.fill_text)
OTHER = Kind(SECONDARY_CAPTURE, 512, False, ("DERIVED", "SECONDARY"), "Capture", "", image_kinds.fill_other)
