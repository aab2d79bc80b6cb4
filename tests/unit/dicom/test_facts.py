"""What an archive tells of an instance becomes facts, and what cannot be read stays unknown."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from interop.dicom.facts import image_type_of, instance_of, series_of, study_of, tells_of_itself
from interop.dicom.study import Coded, InstanceFacts, Person, SeriesFacts, StudyFacts

NICOSIA = ZoneInfo("Asia/Nicosia")
TAGS: dict[str, Any] = {
    "0008,0016": "1.2.840.10008.5.1.4.1.1.2",
    "0008,0020": "20260701",
    "0008,0021": "20260701",
    "0008,0030": "101500",
    "0008,0050": " A1 ",
    "0008,0051": [{"0040,0031": "LOCAL", "0040,0032": "1.2.3", "0040,0033": "ISO"}],
    "0008,0060": "CT",
    "0008,0080": "Γενικό Νοσοκομείο",
    "0008,0090": "House^Gregory",
    "0008,1030": "CT Thorax",
    "0008,103e": "Axial",
    "0008,1050": "A^B\\C^D",
    "0008,1070": "E^F",
    "0010,0010": "Παπαδόπουλος^Νίκος",
    "0010,0020": "123 ",
    "0010,0021": "HOSP",
    "0010,0030": "1980.01.02",
    "0010,0040": "M",
    "0018,0015": "CHEST",
    "0020,000d": "1.2.3.4",
    "0020,000e": "1.2.3.4.5",
    "0020,0010": "RP1",
    "0020,0011": "2",
    "0020,0060": "L",
    "7fe0,0010": None,
}


def test_a_study_is_read() -> None:
    assert study_of(TAGS, NICOSIA) == StudyFacts(
        study_uid="1.2.3.4",
        patient_id="123",
        issuer="HOSP",
        patient_name="Παπαδόπουλος^Νίκος",
        birth_date="1980-01-02",
        sex="M",
        accession="A1",
        accession_issuer="1.2.3",
        study_id="RP1",
        description="CT Thorax",
        started=datetime(2026, 7, 1, 7, 15, tzinfo=UTC),
        referrer=Person("House^Gregory"),
        institution="Γενικό Νοσοκομείο",
    )


def test_a_series_is_read() -> None:
    assert series_of(TAGS, NICOSIA) == SeriesFacts(
        uid="1.2.3.4.5",
        modality="CT",
        number=2,
        description="Axial",
        body_part="CHEST",
        laterality="L",
        started=date(2026, 7, 1),
        performers=(Person("A^B"), Person("C^D"), Person("E^F")),
    )


def test_a_series_says_for_which_steps_it_was_made() -> None:
    """Request Attributes Sequence (PS3.3 10.6), and how the performed step is called."""
    asked = [{"0040,0009": "S1"}, {"0040,0007": "no id"}, {"0040,0009": "S2 "}]
    series = series_of({**TAGS, "0040,0275": asked, "0040,0253": "S1"}, NICOSIA)
    assert series is not None
    assert series.step_ids == ("S1", "S2")
    performed = series_of({**TAGS, "0040,0253": "P9"}, NICOSIA)
    assert performed is not None
    assert performed.step_ids == ("P9",)


def test_a_stated_offset_wins_over_the_site_zone() -> None:
    study = study_of({**TAGS, "0008,0201": "-0500"}, NICOSIA)
    assert study is not None
    assert study.started == datetime(2026, 7, 1, 15, 15, tzinfo=UTC)


def test_what_cannot_be_read_is_unknown() -> None:
    broken = {
        "0020,000d": "1.2.3",
        "0020,000e": "1.2.3.4",
        "0010,0030": "someday",
        "0010,0040": "X",
        "0008,0020": None,
        "0008,0051": "no sequence",
        "0020,0011": "two",
        "0020,0060": "B",
    }
    assert study_of(broken, UTC) == StudyFacts(study_uid="1.2.3")
    assert series_of(broken, UTC) == SeriesFacts(uid="1.2.3.4", modality="OT")


@pytest.mark.parametrize("uid", [None, "", "../x", "1.2\\1.3", "x" * 70])
def test_an_instance_of_no_study_or_series_is_none(uid: str | None) -> None:
    assert study_of({**TAGS, "0020,000d": uid}, UTC) is None
    assert series_of({**TAGS, "0020,000e": uid}, UTC) is None


def resource(sop_class: str, **tags: str) -> dict[str, Any]:
    return {"MainDicomTags": {"0008,0018": "1.2.9", "0020,0013": "7", **tags}, "Metadata": {"SopClassUid": sop_class}}


def test_an_image_is_read_without_its_own_tags() -> None:
    multiframe = resource("1.2.840.10008.5.1.4.1.1.3.1", **{"0028,0008": "87"})
    assert instance_of(multiframe) == InstanceFacts("1.2.9", "1.2.840.10008.5.1.4.1.1.3.1", 7, None, 87)
    assert instance_of({"MainDicomTags": {}, "Metadata": {}}) is None
    assert instance_of({}) is None


@pytest.mark.parametrize(
    ("sop_class", "tags", "title"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.33", {"0040,a043": [{"0008,0104": "Adult Echo Report"}]}, "Adult Echo Report"),
        ("1.2.840.10008.5.1.4.1.1.88.59", {"0040,a043": []}, None),
        ("1.2.840.10008.5.1.4.1.1.104.1", {"0042,0010": "Γνωμάτευση"}, "Γνωμάτευση"),
        ("1.2.840.10008.5.1.4.1.1.11.1", {"0070,0080": "LABEL", "0070,0081": "For review"}, "For review"),
        ("1.2.840.10008.5.1.4.1.1.66.4", {"0070,0080": "LABEL"}, "LABEL"),
    ],
)
def test_a_document_has_its_title(sop_class: str, tags: dict[str, Any], title: str | None) -> None:
    assert tells_of_itself(sop_class, "SR")
    read = instance_of(resource(sop_class), {"0008,0016": sop_class, **tags})
    assert read is not None
    assert read.title == title


def test_the_title_of_an_image_is_its_type() -> None:
    ct, report = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.33"
    assert not tells_of_itself(ct, "CT")
    titles = [getattr(instance_of(resource(each), None, r"ORIGINAL\PRIMARY"), "title", "") for each in (ct, report)]
    assert titles == [r"ORIGINAL\PRIMARY", None], "that of a document is what it says"


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (" ORIGINAL\\PRIMARY\\AXIAL ", r"ORIGINAL\PRIMARY\AXIAL"),
        ("DERIVED\\SECONDARY\\\\MPR", r"DERIVED\SECONDARY\\MPR"),
        ("ORIGINAL\\PRIMARY\\\\", r"ORIGINAL\PRIMARY"),
        ("\\", None),
        ("", None),
        ("made by hand", None),
        ("A" * 17, None),
        (None, None),
    ],
)
def test_an_image_type_is_codes(said: str | None, read: str | None) -> None:
    assert image_type_of({"0008,0008": said}) == read


@pytest.mark.parametrize(
    ("tags", "side"),
    [
        ({"0020,0062": "L"}, "L"),
        ({"0020,0062": "B "}, "B"),
        ({"0020,0062": "U"}, None),
        ({"5200,9229": [{"0020,9071": [{"0020,9072": "R"}]}]}, "R"),
        ({"5200,9229": [{"0020,9071": []}]}, None),
        ({"0020,0062": None}, None),
    ],
)
def test_a_mammogram_says_of_which_side_it_is(tags: dict[str, Any], side: str | None) -> None:
    mammogram = "1.2.840.10008.5.1.4.1.1.1.2"
    assert tells_of_itself(mammogram, "MG")
    read = instance_of(resource(mammogram), tags)
    assert read is not None
    assert read.laterality == side


@pytest.mark.parametrize(
    ("code", "scheme", "read"),
    [
        ("T-D3000", "SRT", Coded("51185008", "SCT", "Chest")),
        ("T-D3000", "SNM3", Coded("51185008", "SCT", "Chest")),
        ("T-D3000", "99SDM", Coded("51185008", "SCT", "Chest")),
        ("T-NONE", "SRT", Coded("T-NONE", "SRT", "Chest")),
        ("T-D3000", "LN", Coded("T-D3000", "LN", "Chest")),
        ("51185008", "SCT", Coded("51185008", "SCT", "Chest")),
    ],
)
def test_old_snomed_codes_are_read_as_those_of_today(code: str, scheme: str, read: Coded) -> None:
    region = {"0008,0100": code, "0008,0102": scheme, "0008,0104": "Chest"}
    series = series_of(TAGS | {"0008,2218": [region]}, NICOSIA)
    assert series is not None
    assert series.region == read


OF_ISSUER = {"0040,0551": "S-2", "0040,0562": [{"0040,0031": "LAB", "0040,0032": "1.2.3", "0040,0033": "ISO"}]}


def test_place_and_specimens_are_read() -> None:
    study = study_of(TAGS | {"0008,1040": "Radiology 2", "0040,0243": "Room 5"}, NICOSIA)
    elsewhere = study_of(TAGS | {"0040,0243": "Room 5"}, NICOSIA)
    assert study is not None
    assert elsewhere is not None
    assert (study.department, elsewhere.department) == ("Radiology 2", "Room 5")
    series = series_of(TAGS | {"0040,0560": [{"0040,0551": "S-1"}, OF_ISSUER, {"0040,0551": ""}]}, NICOSIA)
    assert series is not None
    assert series.specimens == (("S-1", None), ("S-2", "1.2.3"))


def a_code(value: str, scheme: str, meaning: str) -> dict[str, Any]:
    return {"0008,0100": value, "0008,0102": scheme, "0008,0104": meaning}


def known_as(*values: str) -> list[dict[str, Any]]:
    """A sequence of identifications, of whom nothing but a code is told, if that."""
    return [{"0040,1101": [a_code(value, "L", "")] if value else []} for value in values]


@pytest.mark.parametrize(
    ("names", "codes", "read"),
    [
        ("A^B", known_as("1"), (Person("A^B", Coded("1", "L")),)),
        ("A^B\\C^D", known_as("1", ""), (Person("A^B", Coded("1", "L")), Person("C^D"))),
        ("\\C^D", known_as("1", "2"), (Person("", Coded("1", "L")), Person("C^D", Coded("2", "L")))),
        ("A^B\\C^D", known_as("1"), (Person("A^B"), Person("C^D"))),
        ("", known_as("1", "", "2"), (Person("", Coded("1", "L")), Person("", Coded("2", "L")))),
        ("", [], ()),
    ],
)
def test_people_are_known_by_codes_where_it_is_certain_whose_they_are(
    names: str, codes: list[dict[str, Any]], read: tuple[Person, ...]
) -> None:
    study = study_of(TAGS | {"0008,1060": names, "0008,1062": codes, "0008,0090": names, "0008,0096": codes}, NICOSIA)
    assert study is not None
    assert (study.readers, study.referrer) == (read, next(iter(read), None))


def test_codes_and_readers_of_a_study_are_read() -> None:
    ct = a_code("24627-2", "LN", "CT Chest")
    study = study_of(TAGS | {"0008,1032": [ct, {"0008,0100": "no scheme"}], "0008,1060": "A^B\\C^D"}, NICOSIA)
    assert study is not None
    assert study.procedures == (Coded("24627-2", "LN", "CT Chest"),)
    assert study.readers == (Person("A^B"), Person("C^D"))


def test_codes_of_the_request_stand_in() -> None:
    item = {"0032,1064": [a_code("P1", "99RIS", "Chest")], "0040,100a": [], "0040,1002": "cough"}
    study = study_of(TAGS | {"0008,1032": [], "0040,0275": [item]}, NICOSIA)
    assert study is not None
    assert (study.procedures, study.reasons, study.reason) == ((Coded("P1", "99RIS", "Chest"),), (), "cough")


def test_a_urn_is_a_code_of_its_own() -> None:
    series = series_of(TAGS | {"0008,2218": [{"0008,0120": "urn:oid:1.2", "0008,0104": "X"}]}, NICOSIA)
    assert series is not None
    assert series.region == Coded("urn:oid:1.2", "", "X")


@pytest.mark.parametrize(("said", "modality"), [("CT\\MR", "CT"), ("c  t", "c t"), (" \\ ", "OT"), ("\\PT", "PT")])
def test_a_modality_is_one_code(said: str, modality: str) -> None:
    series = series_of(TAGS | {"0008,0060": said}, NICOSIA)
    assert series is not None
    assert series.modality == modality
