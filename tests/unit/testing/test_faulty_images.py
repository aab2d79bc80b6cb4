"""The simulated modality takes items over as careless consoles do: each defect does what its name says, and says so."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from random import Random

import pytest
from pydicom.dataset import Dataset

from interop.errors import InvalidContentError
from interop.testing.defects import DEFECTS, mistyped
from interop.testing.faulty import Fault, Faults
from interop.testing.images import study_images
from interop.testing.walk_ins import DEMO, walk_in_item


def an_item() -> Dataset:
    item = walk_in_item(DEMO[1], "A100234")
    item.PatientName = "Yamada^Tarou=山田^太郎"
    item.IssuerOfPatientID = "HOSP"
    return item


def labels(dataset: Dataset) -> dict[str, str]:
    keywords = ("StudyInstanceUID", "PatientID", "IssuerOfPatientID", "PatientName", "AccessionNumber")
    return {keyword: str(dataset.get(keyword) or "") for keyword in keywords}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("missing-accession", {"AccessionNumber", "StudyInstanceUID"}),
        ("typo-in-accession", {"AccessionNumber", "StudyInstanceUID"}),
        ("typo-in-id", {"PatientID"}),
        ("swapped-name", {"PatientName"}),
        ("other-issuer", {"IssuerOfPatientID"}),
        ("own-study-uid", {"StudyInstanceUID"}),
    ],
)
def test_a_defect_is_in_the_images_and_nothing_else(name: str, changed: set[str]) -> None:
    faults = Faults([name], seed=1)
    for _ in range(20):
        item = an_item()
        before = labels(item)
        faulty, fault = faults.of(item)
        (image,) = study_images(faulty, aet="CT1", images=1, now=datetime(2026, 3, 2, tzinfo=UTC))
        assert labels(item) == before, "the worklist's item stays as it is"
        differ = {keyword for keyword, value in labels(image).items() if value != before[keyword]}
        assert fault.defects == (name,)
        assert {one.split(" ")[0] for one in fault.changed} == differ
        by_hand = "StudyInstanceUID" in differ
        assert differ - {"StudyInstanceUID"} == changed - {"StudyInstanceUID"}
        assert by_hand or "StudyInstanceUID" not in changed
        assert ("RequestAttributesSequence" in image) is not by_hand
        if "RequestAttributesSequence" in image:
            assert image.RequestAttributesSequence[0].AccessionNumber == image.AccessionNumber
        assert image.PatientBirthDate == "19710923"


def test_what_goes_wrong_with_names_and_numbers() -> None:
    faulty, _ = Faults(["swapped-name", "missing-accession"], seed=3).of(an_item())
    assert (str(faulty.PatientName), faulty.AccessionNumber) == ("Tarou^Yamada=太郎^山田", "")
    chance = Random(1)
    for text in ("100234", "DEMO-2", "AB", "7", "X"):
        for _ in range(50):
            typed = mistyped(text, chance)
            assert typed != text
            assert len(typed) <= max(len(text), 2)


def test_a_share_of_the_studies_have_one_and_a_seed_repeats_them() -> None:
    def drawn(text: str, seed: int) -> list[Fault]:
        faults = Faults.read(text, seed)
        return [faults.of(an_item())[1] for _ in range(500)]

    some = drawn("0.2", 7)
    assert [one.defects for one in drawn("0.2", 7)] == [one.defects for one in some]
    assert [one.defects for one in drawn("0.2", 8)] != [one.defects for one in some]
    assert 70 <= sum(bool(one.defects) for one in some) <= 130
    assert {name for one in some for name in one.defects} == set(DEFECTS)
    assert max(len(one.defects) for one in some) == 1
    two = Counter(name for one in drawn("1,typo-in-id,swapped-name", 7) for name in one.defects)
    assert set(two) == {"typo-in-id", "swapped-name"}
    assert two.total() == 500
    assert not any(one.defects for one in drawn("0", 7))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("typo", "'typo' is no defect; there are missing-accession"),
        ("1.5", "1.5 is no rate"),
        ("nan", "nan is no rate"),
        (",", "names, or one rate, or both"),
        ("0.1,0.2", "names, or one rate, or both"),
        ("missing-accession,typo-in-accession", "exclude each other"),
    ],
)
def test_what_are_no_defects_is_said(text: str, said: str) -> None:
    with pytest.raises(InvalidContentError, match=said):
        Faults.read(text)
