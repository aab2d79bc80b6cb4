"""How the images of each modality look: their attributes beside the patient's and the study's, and their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from interop.testing.attributes import code_of, dataset_of
from interop.testing.pattern import pattern


def fill_ct(dataset: Dataset, size: int, number: int, images: int) -> None:
    _geometry(dataset, size, number, images, spacing=2.5, pixel=0.7)
    dataset.update(
        dataset_of(
            KVP="120",
            SliceThickness="2.5",
            RescaleIntercept="-1024",
            RescaleSlope="1",
            RescaleType="HU",
            WindowCenter="40",
            WindowWidth="400",
        )
    )
    # -800 and 700 HU: black and white in every window for soft tissue, lung apart
    _pixels(dataset, size, [number], dark=224, bright=1724, bits=12)


def fill_mr(dataset: Dataset, size: int, number: int, images: int) -> None:
    _geometry(dataset, size, number, images, spacing=5.0, pixel=0.9)
    dataset.update(
        dataset_of(
            ScanningSequence="SE",
            SequenceVariant="NONE",
            ScanOptions="",
            MRAcquisitionType="2D",
            RepetitionTime="550",
            EchoTime="12",
            EchoTrainLength="1",
            SliceThickness="5",
            WindowCenter="600",
            WindowWidth="1000",
        )
    )
    _pixels(dataset, size, [number], dark=60, bright=1400, bits=12)


def fill_us(dataset: Dataset, size: int, number: int, images: int) -> None:
    region = dataset_of(
        RegionSpatialFormat=1,
        RegionDataType=1,
        RegionFlags=2,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=size - 1,
        RegionLocationMaxY1=size - 1,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.03,
        PhysicalDeltaY=0.03,
    )
    _cine(dataset, images, milliseconds=33.3)
    dataset.update(dataset_of(HeartRate="68", LossyImageCompression="00", SequenceOfUltrasoundRegions=[region]))
    dataset.PatientOrientation = ""
    _pixels(dataset, size, range(images), dark=12, bright=235, bits=8)


def fill_xa(dataset: Dataset, size: int, number: int, images: int) -> None:
    _cine(dataset, images, milliseconds=66.7)
    dataset.update(
        dataset_of(
            PixelIntensityRelationship="LIN",
            RadiationSetting="GR",
            KVP="80",
            XRayTubeCurrent="500",
            ExposureTime="8",
            Exposure="4",
            PatientOrientation="",
            PositionerMotion="STATIC",
            PositionerPrimaryAngle="-30",
            PositionerSecondaryAngle="15",
            WindowCenter="128",
            WindowWidth="256",
        )
    )
    _pixels(dataset, size, range(images), dark=12, bright=235, bits=8)


def fill_cr(dataset: Dataset, size: int, number: int, images: int) -> None:
    dataset.update(
        dataset_of(
            ViewPosition="PA",
            KVP="120",
            PlateID="",
            ImagerPixelSpacing=["0.2", "0.2"],
            PatientOrientation=["L", "F"],
            WindowCenter="2048",
            WindowWidth="4096",
        )
    )
    _pixels(dataset, size, [number], dark=300, bright=3800, bits=12)


def fill_dx(dataset: Dataset, size: int, number: int, images: int) -> None:
    """PS3.3 A.26: for presentation, the more X-rays the darker."""
    dataset.update(
        dataset_of(
            PresentationIntentType="FOR PRESENTATION",
            ViewPosition="PA",
            ViewCodeSequence=[code_of("272479007", "SCT", "postero-anterior")],
            KVP="120",
            ImageLaterality="U",
            AnatomicRegionSequence=[code_of("816094009", "SCT", "Chest")],
            AcquisitionContextSequence=[],
            DetectorType="DIRECT",
            PositionerType="NONE",
            ImagerPixelSpacing=["0.15", "0.15"],
            PatientOrientation=["L", "F"],
            PixelIntensityRelationship="LOG",
            PixelIntensityRelationshipSign=-1,
            RescaleIntercept="0",
            RescaleSlope="1",
            RescaleType="US",
            PresentationLUTShape="IDENTITY",
            LossyImageCompression="00",
            BurnedInAnnotation="NO",
            WindowCenter="2048",
            WindowWidth="4096",
        )
    )
    _pixels(dataset, size, [number], dark=300, bright=3800, bits=12)


def fill_pt(dataset: Dataset, size: int, number: int, images: int) -> None:
    """PS3.3 C.8.9: activity in Bq/ml, corrected for decay to the injection."""
    _geometry(dataset, size, number, images, spacing=3.0, pixel=4.0)
    tracer = dataset_of(
        Radiopharmaceutical="FDG",
        RadiopharmaceuticalStartTime=dataset.SeriesTime,
        RadiopharmaceuticalStartDateTime=f"{dataset.SeriesDate}{dataset.SeriesTime}",
        RadionuclideTotalDose="350000000",
        RadionuclideHalfLife="6586.2",
        RadionuclidePositronFraction="0.967",
        RadionuclideCodeSequence=[code_of("77004003", "SCT", "^18^Fluorine")],
    )
    _orientation(dataset)
    dataset.update(
        dataset_of(
            Units="BQML",
            CountsSource="EMISSION",
            SeriesType=["STATIC", "IMAGE"],
            CollimatorType="NONE",
            NumberOfSlices=images,
            ImageIndex=number,
            CorrectedImage=["DECY", "ATTN", "SCAT", "RAN", "NORM"],
            DecayCorrection="START",
            DecayFactor="1",
            FrameReferenceTime="0",
            ActualFrameDuration="120000",
            SliceThickness="3",
            RescaleIntercept="0",
            RescaleSlope="10",
            RadiopharmaceuticalInformationSequence=[tracer],
            WindowCenter="10000",
            WindowWidth="20000",
        )
    )
    dataset.PatientWeight = dataset.get("PatientWeight") or "70"  # without it nobody makes an uptake value of it
    _pixels(dataset, size, [number], dark=60, bright=1900, bits=16)


def fill_nm(dataset: Dataset, size: int, number: int, images: int) -> None:
    """PS3.3 C.8.4.8: a dynamic study, one detector and one energy window, a frame for each slice of time."""
    phase = dataset_of(PhaseDelay="0", ActualFrameDuration="1000", PauseBetweenFrames="0", NumberOfFramesInPhase=images)
    window = dataset_of(EnergyWindowLowerLimit="126", EnergyWindowUpperLimit="154")
    tracer = dataset_of(
        Radiopharmaceutical="Tc-99m MAG3",
        RadionuclideCodeSequence=[code_of("72454001", "SCT", "^99m^Technetium")],
    )
    detector = dataset_of(CollimatorType="PARA", ImageOrientationPatient=None, ImagePositionPatient=None)
    _orientation(dataset)
    dataset.update(
        dataset_of(
            NumberOfFrames=str(images),
            FrameIncrementPointer=[0x00540010, 0x00540020, 0x00540030, 0x00540100],
            EnergyWindowVector=[1] * images,
            DetectorVector=[1] * images,
            PhaseVector=[1] * images,
            TimeSliceVector=list(range(1, images + 1)),
            NumberOfEnergyWindows=1,
            NumberOfDetectors=1,
            NumberOfPhases=1,
            PhaseInformationSequence=[phase],
            EnergyWindowInformationSequence=[dataset_of(EnergyWindowRangeSequence=[window])],
            DetectorInformationSequence=[detector],
            RadiopharmaceuticalInformationSequence=[tracer],
            CountsAccumulated=None,
            Laterality="",  # both kidneys
            PixelSpacing=["3.3", "3.3"],
            WindowCenter="500",
            WindowWidth="1000",
        )
    )
    _pixels(dataset, size, range(images), dark=20, bright=950, bits=16)


def fill_other(dataset: Dataset, size: int, number: int, images: int) -> None:
    dataset.ConversionType = "WSD"
    dataset.Laterality = dataset.PatientOrientation = ""
    _pixels(dataset, size, [number], dark=12, bright=235, bits=8)


def _geometry(dataset: Dataset, size: int, number: int, images: int, *, spacing: float, pixel: float) -> None:
    half = size * pixel / 2
    place = round((number - 1 - (images - 1) / 2) * spacing, 3)
    dataset.update(
        dataset_of(
            FrameOfReferenceUID=f"{dataset.SeriesInstanceUID}.1"[:64],
            PositionReferenceIndicator="",
            PatientPosition="HFS",
            ImagePositionPatient=[f"{-half:g}", f"{-half:g}", f"{place:g}"],
            ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
            PixelSpacing=[f"{pixel:g}", f"{pixel:g}"],
            SliceLocation=f"{place:g}",
            SpacingBetweenSlices=f"{spacing:g}",
            AcquisitionNumber="1",
        )
    )


def _orientation(dataset: Dataset) -> None:
    """PS3.3 C.8.4.6: on the back, head first; in place of PatientPosition."""
    if "PatientPosition" in dataset:
        del dataset.PatientPosition
    lying = code_of("102538003", "SCT", "recumbent")
    lying.PatientOrientationModifierCodeSequence = [code_of("40199007", "SCT", "supine")]
    dataset.PatientOrientationCodeSequence = [lying]
    dataset.PatientGantryRelationshipCodeSequence = [code_of("102540008", "SCT", "headfirst")]


def _cine(dataset: Dataset, frames: int, *, milliseconds: float) -> None:
    dataset.NumberOfFrames = str(frames)
    dataset.FrameTime = f"{milliseconds:g}"
    dataset.FrameIncrementPointer = 0x00181063  # FrameTime
    dataset.CineRate = str(round(1000 / milliseconds))
    dataset.RecommendedDisplayFrameRate = dataset.CineRate


def _pixels(dataset: Dataset, size: int, numbers: Any, *, dark: int, bright: int, bits: int) -> None:
    stored = np.dtype("<u2") if bits > 8 else np.dtype("u1")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = size
    dataset.BitsAllocated = stored.itemsize * 8
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    frames = [np.where(pattern(size, number), bright, dark).astype(stored).tobytes() for number in numbers]
    dataset.add_new(0x7FE00010, "OW" if bits > 8 else "OB", b"".join(frames))
