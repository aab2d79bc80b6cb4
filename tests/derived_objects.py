"""What is drawn on images and kept beside them: measurements (TID 1500), a segmentation, outlines for radiotherapy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from interop.testing.attributes import code_of, dataset_of

ENHANCED_SR, SEGMENTATION, STRUCTURES = (f"1.2.840.10008.5.1.4.1.1.{leaf}" for leaf in ("88.22", "66.4", "481.3"))
_SHARED = (
    *("SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription"),
)
_BOX = (128, 128, 256, 256)  # left, top, right, bottom, in pixels of the images


def measurements(images: Sequence[Dataset]) -> Dataset:
    """A length of 70 mm across the first image, as OHIF 3.13.2 writes it when it saves one."""
    on = images[0]
    across = 70.0 / float(on.PixelSpacing[1])
    image = _item("SELECTED FROM", "IMAGE", ReferencedSOPSequence=[_reference(on)])
    place = _item("INFERRED FROM", "SCOORD", GraphicData=[100.0, 256.0, 100.0 + across, 256.0], GraphicType="POLYLINE")
    place.ContentSequence = [image]
    value = dataset_of(NumericValue="70", MeasurementUnitsCodeSequence=[code_of("mm", "UCUM", "mm")])
    length = _item("CONTAINS", "NUM", code_of("410668003", "SCT", "Length"), MeasuredValueSequence=[value])
    length.ContentSequence = [place]
    tool = _item("HAS OBS CONTEXT", "TEXT", code_of("112039", "DCM", "Tracking Identifier"))
    tool.TextValue = "Cornerstone3DTools@^0.1.0:Length"
    unique = _item("HAS OBS CONTEXT", "UIDREF", code_of("112040", "DCM", "Tracking Unique Identifier"), UID="2.25.70")
    group = _held(code_of("125007", "DCM", "Measurement Group"), [tool, unique, length])
    report = _beside(on, ENHANCED_SR, "SR", 11)
    report.update(
        dataset_of(
            SeriesDescription="Measured length",
            ContentDate=on.StudyDate,
            ContentTime=on.StudyTime,
            CompletionFlag="COMPLETE",
            VerificationFlag="UNVERIFIED",
            ValueType="CONTAINER",
            ContinuityOfContent="SEPARATE",
            ConceptNameCodeSequence=[code_of("126000", "DCM", "Imaging Measurement Report")],
            ContentTemplateSequence=[dataset_of(MappingResource="DCMR", TemplateIdentifier="1500")],
            ContentSequence=[_held(code_of("126010", "DCM", "Imaging Measurements"), [group])],
            CurrentRequestedProcedureEvidenceSequence=[
                dataset_of(StudyInstanceUID=on.StudyInstanceUID, ReferencedSeriesSequence=[_evidence(on)])
            ],
            PerformedProcedureCodeSequence=[],
        )
    )
    return report


def segmentation(images: Sequence[Dataset]) -> Dataset:
    """The same box in each image, one bit a pixel (PS3.3 A.51)."""
    first, (left, top, right, bottom) = images[0], _BOX
    mask = np.zeros((first.Rows, first.Columns), np.uint8)
    mask[top:bottom, left:right] = 1
    code = code_of("85756007", "SCT", "Tissue")
    segment = dataset_of(
        SegmentNumber=1,
        SegmentLabel="Box",
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=[code],
        SegmentedPropertyTypeCodeSequence=[code],
        RecommendedDisplayCIELabValue=[34885, 53485, 50171],
    )
    made = _beside(first, SEGMENTATION, "SEG", 12)
    made.update(
        dataset_of(
            SeriesDescription="Segmented box",
            ImageType=["DERIVED", "PRIMARY"],
            ContentLabel="SEGMENTATION",
            ContentDescription="",
            ContentCreatorName="",
            FrameOfReferenceUID=first.FrameOfReferenceUID,
            SegmentationType="BINARY",
            SegmentSequence=[segment],
            Rows=first.Rows,
            Columns=first.Columns,
            NumberOfFrames=len(images),
            SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2",
            BitsAllocated=1,
            BitsStored=1,
            HighBit=0,
            PixelRepresentation=0,
            LossyImageCompression="00",
            ReferencedSeriesSequence=[_series(images)],
            SharedFunctionalGroupsSequence=[_of_all_frames(first)],
            PerFrameFunctionalGroupsSequence=[_of_a_frame(image, number) for number, image in enumerate(images, 1)],
        )
    )
    packed = np.packbits(np.tile(mask.ravel(), len(images)), bitorder="little").tobytes()
    made.add_new(0x7FE00010, "OB", packed)
    return made


def structures(images: Sequence[Dataset]) -> Dataset:
    """The box's outline in each image (PS3.3 A.19.3)."""
    first, (left, top, right, bottom) = images[0], _BOX
    contours = []
    for image in images:
        x, y, z = (float(value) for value in image.ImagePositionPatient)
        down, right_by = (float(value) for value in image.PixelSpacing)
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        points = [value for column, row in corners for value in (x + column * right_by, y + row * down, z)]
        contours.append(
            dataset_of(
                ContourImageSequence=[_reference(image)],
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=4,
                ContourData=[f"{value:.3f}" for value in points],
            )
        )
    series = dataset_of(
        SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=[_reference(image) for image in images]
    )
    study = _reference(first)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = dataset_of(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    made = _beside(first, STRUCTURES, "RTSTRUCT", 13)
    made.update(
        dataset_of(
            SeriesDescription="Outlined box",
            StructureSetLabel="BOX",
            StructureSetDate=first.StudyDate,
            StructureSetTime=first.StudyTime,
            ReferencedFrameOfReferenceSequence=[frame],
            StructureSetROISequence=[
                dataset_of(
                    ROINumber=1,
                    ReferencedFrameOfReferenceUID=first.FrameOfReferenceUID,
                    ROIName="Box",
                    ROIGenerationAlgorithm="MANUAL",
                )
            ],
            ROIContourSequence=[
                dataset_of(ReferencedROINumber=1, ROIDisplayColor=[255, 0, 0], ContourSequence=contours)
            ],
            RTROIObservationsSequence=[
                dataset_of(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN", ROIInterpreter="")
            ],
        )
    )
    return made


def _beside(image: Dataset, sop_class: str, modality: str, number: int) -> Dataset:
    """An object of the image's study, in a series of its own."""
    made = Dataset()
    for keyword in _SHARED:
        if keyword in image:
            setattr(made, keyword, image[keyword].value)
    series = f"{image.StudyInstanceUID}.{number}"
    made.update(
        dataset_of(
            SOPClassUID=sop_class,
            SOPInstanceUID=f"{series}.1",
            SeriesInstanceUID=series,
            SeriesNumber=number,
            InstanceNumber=1,
            Modality=modality,
            Manufacturer="interop",
        )
    )
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    made.file_meta.MediaStorageSOPInstanceUID = UID(made.SOPInstanceUID)
    return made


def _item(relation: str, kind: str, concept: Dataset | None = None, **more: Any) -> Dataset:
    item = dataset_of(RelationshipType=relation, ValueType=kind, **more)
    if concept is not None:
        item.ConceptNameCodeSequence = [concept]
    return item


def _held(concept: Dataset, items: list[Dataset]) -> Dataset:
    return _item("CONTAINS", "CONTAINER", concept, ContinuityOfContent="SEPARATE", ContentSequence=items)


def _reference(image: Dataset) -> Dataset:
    return dataset_of(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _series(images: Sequence[Dataset]) -> Dataset:
    found = dataset_of(SeriesInstanceUID=images[0].SeriesInstanceUID)
    found.ReferencedInstanceSequence = [_reference(image) for image in images]
    return found


def _evidence(image: Dataset) -> Dataset:
    return dataset_of(SeriesInstanceUID=image.SeriesInstanceUID, ReferencedSOPSequence=[_reference(image)])


def _of_all_frames(image: Dataset) -> Dataset:
    measures = dataset_of(PixelSpacing=image.PixelSpacing, SliceThickness=image.SliceThickness)
    return dataset_of(
        PixelMeasuresSequence=[measures],
        PlaneOrientationSequence=[dataset_of(ImageOrientationPatient=image.ImageOrientationPatient)],
    )


def _of_a_frame(image: Dataset, number: int) -> Dataset:
    source = _reference(image)
    source.PurposeOfReferenceCodeSequence = [code_of("121322", "DCM", "Source image for image processing operation")]
    derived = dataset_of(
        SourceImageSequence=[source], DerivationCodeSequence=[code_of("113076", "DCM", "Segmentation")]
    )
    return dataset_of(
        DerivationImageSequence=[derived],
        FrameContentSequence=[dataset_of(DimensionIndexValues=[1, number])],
        PlanePositionSequence=[dataset_of(ImagePositionPatient=image.ImagePositionPatient)],
        SegmentIdentificationSequence=[dataset_of(ReferencedSegmentNumber=1)],
    )
