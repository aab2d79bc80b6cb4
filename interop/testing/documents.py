"""Objects that are no images: a PDF, structured reports, and an electrocardiogram (PS3.3 A.45.1, A.35, A.34.3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from interop.testing.attributes import code_of, dataset_of
from interop.testing.pattern import CELLS, FRAME, pattern

_PAGE = 512  # points
_HERTZ, _SECONDS = 500, 10
# PS3.16 CID 3001: MDC codes of the twelve leads, in the order in which they are written.
LEADS = (
    ("2:1", "Lead I"),
    ("2:2", "Lead II"),
    ("2:61", "Lead III"),
    ("2:62", "aVR, augmented voltage, right"),
    ("2:63", "aVL, augmented voltage, left"),
    ("2:64", "aVF, augmented voltage, foot"),
    ("2:3", "Lead V1"),
    ("2:4", "Lead V2"),
    ("2:5", "Lead V3"),
    ("2:6", "Lead V4"),
    ("2:7", "Lead V5"),
    ("2:8", "Lead V6"),
)
_GAINS = (0.7, 1.0, 0.4, -0.8, 0.3, 0.7, -0.5, -0.2, 0.4, 0.9, 1.1, 0.9)
_BEAT = ((0.20, 0.025, 0.12), (0.36, 0.010, -0.12), (0.40, 0.012, 1.0), (0.44, 0.012, -0.25), (0.68, 0.045, 0.3))


def fill_pdf(dataset: Dataset, _size: int, number: int, _images: int) -> None:
    """One page that shows the known picture."""
    dataset.update(
        dataset_of(
            ConversionType="WSD",
            AcquisitionDateTime="",
            BurnedInAnnotation="NO",
            DocumentTitle="Report",
            ConceptNameCodeSequence=[code_of("11528-7", "LN", "Radiology Report")],
            MIMETypeOfEncapsulatedDocument="application/pdf",
        )
    )
    document = pdf_page(number)
    dataset.EncapsulatedDocumentLength = len(document)
    dataset.EncapsulatedDocument = document + b"\0" * (len(document) % 2)


def fill_text(dataset: Dataset, _size: int, _number: int, _images: int) -> None:
    """TID 2000, shortened: findings and a conclusion in words."""
    _document(
        dataset,
        "2000",
        code_of("11528-7", "LN", "Radiology Report"),
        [
            _text("CONTAINS", code_of("121071", "DCM", "Finding"), "The lungs are clear. Η καρδιά είναι φυσιολογική."),
            _text("CONTAINS", code_of("121077", "DCM", "Conclusion"), "No acute finding."),
        ],
    )


def fill_measurements(dataset: Dataset, _size: int, _number: int, _images: int) -> None:
    """TID 1500, shortened: one group with a length in millimetres, of no image."""
    length = dataset_of(
        RelationshipType="CONTAINS",
        ValueType="NUM",
        ConceptNameCodeSequence=[code_of("410668003", "SCT", "Length")],
        MeasuredValueSequence=[
            dataset_of(NumericValue="42.5", MeasurementUnitsCodeSequence=[code_of("mm", "UCUM", "millimeter")])
        ],
    )
    tracking = _text("HAS OBS CONTEXT", code_of("112039", "DCM", "Tracking Identifier"), "Nodule 1")
    unique = dataset_of(
        RelationshipType="HAS OBS CONTEXT",
        ValueType="UIDREF",
        ConceptNameCodeSequence=[code_of("112040", "DCM", "Tracking Unique Identifier")],
        UID=f"{dataset.SOPInstanceUID}.1"[:64],
    )
    group = _container("CONTAINS", code_of("125007", "DCM", "Measurement Group"), [tracking, unique, length])
    groups = _container("CONTAINS", code_of("126010", "DCM", "Imaging Measurements"), [group])
    _document(dataset, "1500", code_of("126000", "DCM", "Imaging Measurement Report"), [groups])


def fill_ecg(dataset: Dataset, _size: int, _number: int, _images: int) -> None:
    """Ten seconds of twelve leads at 500 Hz, 75 beats a minute, in microvolts."""
    samples = ecg_samples()
    dataset.AcquisitionDateTime = f"{dataset.SeriesDate}{dataset.SeriesTime}"
    dataset.AcquisitionContextSequence = []
    dataset.WaveformSequence = [
        dataset_of(
            WaveformOriginality="ORIGINAL",
            NumberOfWaveformChannels=len(LEADS),
            NumberOfWaveformSamples=len(samples),
            SamplingFrequency=str(_HERTZ),
            MultiplexGroupLabel="RHYTHM",
            ChannelDefinitionSequence=[_channel(value, meaning) for value, meaning in LEADS],
            WaveformBitsAllocated=16,
            WaveformSampleInterpretation="SS",
        )
    ]
    dataset.WaveformSequence[0].add_new(0x54001010, "OW", samples.astype("<i2").tobytes())


def ecg_samples() -> npt.NDArray[np.int16]:
    """The microvolts: one row each sample, one column each lead."""
    phase = (np.arange(_HERTZ * _SECONDS) / _HERTZ % 0.8) / 0.8
    waves = [height * np.exp(-((phase - place) ** 2) / (2 * width**2)) for place, width, height in _BEAT]
    beat: npt.NDArray[np.float64] = np.sum(waves, axis=0)
    samples: npt.NDArray[np.int16] = np.rint(1000 * np.outer(beat, _GAINS)).astype(np.int16)
    return samples


def pdf_page(number: int = 0) -> bytes:
    """A PDF of one square page with the simulator's picture (ISO 32000-1 7.5), its bright cells as rectangles."""
    border, picture = _PAGE // FRAME, pattern(_PAGE, number)
    inner = _PAGE - 2 * border
    drawn = [f"1 g 0 0 {_PAGE} {_PAGE} re f 0 g {border} {border} {inner} {inner} re f 1 g"]
    edge = inner / CELLS
    for row in range(CELLS):
        for column in range(CELLS):
            if picture[border + int((row + 0.5) * edge), border + int((column + 0.5) * edge)]:
                left, bottom = border + column * edge, border + (CELLS - 1 - row) * edge
                drawn.append(f"{left:g} {bottom:g} {edge:g} {edge:g} re f")
    content = "\n".join(drawn)
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_PAGE} {_PAGE}] /Resources << >> /Contents 4 0 R >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
    )
    written, places = "%PDF-1.4\n", []
    for place, text in enumerate(objects, 1):
        places.append(len(written))
        written += f"{place} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    count = len(objects) + 1
    written_table = f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer\n<< /Size {count} /Root 1 0 R >>\n"
    return (written + written_table + f"startxref\n{len(written)}\n%%EOF\n").encode("ascii")


def _document(dataset: Dataset, template: str, title: Dataset, content: list[Dataset]) -> None:
    dataset.update(
        dataset_of(
            CompletionFlag="COMPLETE",
            VerificationFlag="UNVERIFIED",
            ReferencedPerformedProcedureStepSequence=[],
            PerformedProcedureCodeSequence=[],
            ValueType="CONTAINER",
            ContinuityOfContent="SEPARATE",
            ConceptNameCodeSequence=[title],
            ContentTemplateSequence=[dataset_of(MappingResource="DCMR", TemplateIdentifier=template)],
            ContentSequence=content,
        )
    )


def _container(relationship: str, name: Dataset, content: list[Dataset]) -> Dataset:
    return dataset_of(
        RelationshipType=relationship,
        ValueType="CONTAINER",
        ConceptNameCodeSequence=[name],
        ContinuityOfContent="SEPARATE",
        ContentSequence=content,
    )


def _text(relationship: str, name: Dataset, text: str) -> Dataset:
    return dataset_of(RelationshipType=relationship, ValueType="TEXT", ConceptNameCodeSequence=[name], TextValue=text)


def _channel(value: str, meaning: str) -> Dataset:
    return dataset_of(
        ChannelSourceSequence=[code_of(value, "MDC", meaning)],
        ChannelSensitivity="1",
        ChannelSensitivityUnitsSequence=[code_of("uV", "UCUM", "microvolt")],
        ChannelSensitivityCorrectionFactor="1",
        ChannelBaseline="0",
        ChannelSampleSkew="0",
        WaveformBitsStored=16,
        FilterLowFrequency="0.05",
        FilterHighFrequency="150",
    )
