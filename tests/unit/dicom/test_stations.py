"""The list of modalities is read with checks that name what is wrong."""

import pytest

from interop.dicom.stations import Station, parse_stations
from interop.errors import InvalidContentError
from interop.shipped import shipped

GOOD = '[[modality]]\naet = "CT1"\nhost = "10.0.0.21"\nport = 104\nmodality = "CT"\nlocation = "Αίθουσα 2"\n'


def test_a_station_is_read_with_defaults() -> None:
    assert parse_stations(GOOD) == (Station("CT1", "10.0.0.21", 104, "CT", "Αίθουσα 2", "ISO_IR 192"),)
    assert parse_stations("") == ()


def test_the_shipped_list_holds_the_local_test_stations() -> None:
    stations = parse_stations((shipped("orthanc") / "modalities.toml").read_text(encoding="utf-8"))
    assert [station.aet for station in stations] == ["FINDSCU", "STORESCU", "ECHOSCU", "CT1", "MR1", "US1", "XA1"]
    assert {station.host for station in stations} == {"127.0.0.1"}
    assert [station.modality for station in stations] == ["", "", "", "CT", "MR", "US", "XA"]
    assert len({station.port for station in stations}) == len(stations)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aet = ", "modalities file:"),
        ('[modalty]\naet = "X"', "'modalty'"),
        ("modality = 3", "tables"),
        (GOOD.replace("aet", "ae"), "'ae'"),
        (GOOD.replace('aet = "CT1"\n', ""), "aet is missing"),
        (GOOD.replace("CT1", "A" * 17), "no AE title"),
        (GOOD.replace("CT1", "A\\\\B"), "no AE title"),
        (GOOD.replace("CT1", ""), "no AE title"),
        (GOOD.replace("CT1", " CT1"), "no AE title"),
        (GOOD.replace("10.0.0.21", "a b"), "(CT1): host has to be an IP address, not 'a b'"),
        (GOOD.replace("10.0.0.21", "ct1.hospital.example"), "IP address"),
        (GOOD + 'retrieve = "yes"', "true or false"),
        (GOOD.replace("104", "0"), "port"),
        (GOOD.replace("104", '"104"'), "port"),
        (GOOD.replace("104", "true"), "port"),
        (GOOD.replace('"CT"', '"ct scan"'), "modality code"),
        (GOOD.replace('"CT"', "7"), "modality has to be text"),
        (GOOD + 'charset = "utf-8"', "character set"),
        (GOOD + GOOD, "stands twice"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(InvalidContentError) as caught:
        parse_stations(text)
    assert said in caught.value.text
