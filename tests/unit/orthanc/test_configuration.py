"""Orthanc's configuration is closed by default, and no overlay opens it."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from interop.dicom.stations import parse_stations
from interop.errors import InvalidContentError
from interop.orthanc.configuration import (
    Credentials,
    PostgresIndex,
    docker_configuration,
    private_configuration,
    read_overlay,
    read_template,
    write_configuration,
)
from interop.shipped import shipped

TEMPLATE = read_template((shipped("orthanc") / "orthanc.json").read_text(encoding="utf-8"))
STATIONS = parse_stations((shipped("orthanc") / "modalities.toml").read_text(encoding="utf-8"))
CREDENTIALS = Credentials("interop", "s3cret")


def generated(overlay: dict[str, Any] | None = None) -> dict[str, Any]:
    text = private_configuration(
        TEMPLATE,
        STATIONS,
        http_port=18042,
        dicom_port=14242,
        aet="PRIVATE",
        storage=Path("/data/orthanc"),
        worklist=Path("/data/worklist"),
        plugins=[Path("/plugins/a.so")],
        credentials=CREDENTIALS,
        overlay=overlay,
    )
    result = json.loads(text)
    assert isinstance(result, dict)
    return result


def test_the_private_archive_is_closed() -> None:
    configuration = generated()
    assert configuration["RemoteAccessAllowed"] is False
    assert configuration["AuthenticationEnabled"] is True
    assert configuration["RegisteredUsers"] == {"interop": "s3cret"}
    assert configuration["DicomCheckModalityHost"] is True
    assert not any(value for key, value in configuration.items() if key.startswith("DicomAlwaysAllow"))
    assert sum(key.startswith("DicomAlwaysAllow") for key in configuration) == 6
    for key in ("WebDavEnabled", "ExecuteLuaEnabled", "RestApiWriteToFileSystemEnabled", "OrthancExplorerEnabled"):
        assert configuration[key] is False


def test_names_and_worklist_work_as_this_server_needs_them() -> None:
    configuration = generated()
    assert configuration["DefaultEncoding"] == "Utf8"
    assert configuration["OverwriteInstances"] is True
    assert configuration["Worklists"]["Database"] == "/data/worklist"
    assert configuration["Worklists"]["Enable"] is True
    assert configuration["DicomWeb"]["Root"] == "/dicom-web/"
    assert (configuration["HttpPort"], configuration["DicomPort"], configuration["DicomAet"]) == (
        18042,
        14242,
        "PRIVATE",
    )


def test_each_station_may_find_and_store_and_nothing_more_unless_said() -> None:
    modalities = generated()["DicomModalities"]
    assert list(modalities) == ["FINDSCU", "STORESCU", "ECHOSCU", "CT1", "MR1", "US1", "XA1"]
    for name, entry in modalities.items():
        assert entry["AET"] == name
        assert entry["Host"] == "127.0.0.1"
        assert all(entry[f"Allow{verb}"] for verb in ("Echo", "Find", "FindWorklist", "Store"))
        assert not entry["AllowMove"]
        assert not entry["AllowGet"]


def test_the_template_is_not_touched() -> None:
    before = json.dumps(TEMPLATE)
    generated({"Worklists": {"LimitAnswers": 5}})
    assert json.dumps(TEMPLATE) == before


def test_an_overlay_tunes_storage_caches_jobs_and_plugins() -> None:
    overlay = read_overlay(
        json.dumps(
            {
                "StorageDirectory": "/big",
                "StorageCompression": True,
                "ConcurrentJobs": 8,
                "Plugins": ["/plugins/b.so", "/plugins/a.so"],
                "Worklists": {"LimitAnswers": 5},
                "Transfers": {"Threads": 2},
            }
        )
    )
    configuration = generated(overlay)
    assert configuration["StorageDirectory"] == "/big"
    assert configuration["StorageCompression"] is True
    assert configuration["Plugins"] == ["/plugins/a.so", "/plugins/b.so"]
    assert configuration["Worklists"]["LimitAnswers"] == 5
    assert configuration["Worklists"]["Enable"] is True
    assert configuration["Transfers"] == {"Threads": 2}


@pytest.mark.parametrize(
    "overlay",
    [
        {"RemoteAccessAllowed": True},
        {"remoteaccessallowed": True},
        {"AuthenticationEnabled": False},
        {"RegisteredUsers": {"a": "b"}},
        {"DicomAlwaysAllowStore": True},
        {"DicomAlwaysAllowFindWorklist": True},
        {"DicomAlwaysAllowSomethingNew": True},
        {"DicomCheckModalityHost": False},
        {"DicomModalities": {}},
        {"ExecuteLuaEnabled": True},
        {"LuaScripts": ["x.lua"]},
        {"WebDavEnabled": True},
        {"WebDavDeleteAllowed": True},
        {"RestApiWriteToFileSystemEnabled": True},
        {"HttpPort": 80},
        {"DicomPort": 104},
        {"DicomAet": "X"},
        {"DefaultEncoding": "Latin1"},
        {"OverwriteInstances": False},
        {"Worklists": {"Database": "/tmp"}},
        {"Worklists": {"Directory": "/tmp"}},
        {"Worklists": {"Enable": False}},
        {"worklists": {}},
        {"DicomWeb": {"Root": "/x/"}},
        {"Authorization": {"WebService": "http://x"}},
        {"DeidentifyLogs": False},
    ],
)
def test_what_would_open_it_is_refused_by_name(overlay: dict[str, Any]) -> None:
    (key,) = overlay
    with pytest.raises(InvalidContentError, match=f"may not set {key}"):
        read_overlay(json.dumps(overlay))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ('{"ConcurrentJobs": 1, "ConcurrentJobs": 2}', "twice"),
        ('{"Name": "${HOME}"}', "may not hold"),
    ],
)
def test_an_overlay_that_cannot_be_read_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidContentError, match=said):
        read_overlay(text)


def test_a_section_cannot_be_replaced_by_another_kind_of_value() -> None:
    with pytest.raises(InvalidContentError, match="Worklists has to be"):
        generated({"Worklists": False})
    with pytest.raises(InvalidContentError, match="Plugins has to be"):
        generated({"Plugins": "/x.so"})


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "orthanc.json"
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        write_configuration(path, "{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "{}"
    assert os.listdir(tmp_path) == ["orthanc.json"]


def test_credentials_are_generated_and_not_shown() -> None:
    one, two = Credentials.generated(), Credentials.generated()
    assert one.password != two.password
    assert len(one.password) >= 43
    assert one.password not in repr(one)


def docker(password: str = "s3cret") -> dict[str, Any]:
    text = docker_configuration(
        TEMPLATE,
        STATIONS,
        aet="ORTHANC",
        credentials=CREDENTIALS,
        index=PostgresIndex("db", "orthanc", "orthanc", password),
    )
    result = json.loads(text)
    assert isinstance(result, dict)
    return result


def test_the_compose_archive_uses_the_newer_plugin_and_postgresql() -> None:
    configuration = docker()
    assert configuration["Worklists"]["Directory"] == "/var/lib/interop/worklist"
    assert configuration["Worklists"]["DeleteWorklistsOnStableStudy"] is False
    assert "Database" not in configuration["Worklists"]
    assert configuration["PostgreSQL"]["EnableIndex"] is True
    assert configuration["PostgreSQL"]["Host"] == "db"
    assert configuration["ExtraMainDicomTags"] == {"Instance": ["ImageType"]}
    assert "Plugins" not in configuration
    assert configuration["AuthenticationEnabled"] is True
    assert configuration["DicomAlwaysAllowStore"] is False


def test_without_an_index_the_images_environment_names_the_database() -> None:
    text = docker_configuration(TEMPLATE, STATIONS, aet="ORTHANC", credentials=CREDENTIALS)
    assert "Host" not in json.loads(text)["PostgreSQL"]


def test_a_value_that_the_image_would_substitute_is_refused() -> None:
    with pytest.raises(InvalidContentError, match=r"substitutes \$"):
        docker("pa$$word")


def test_without_a_folder_the_worklist_is_in_orthancs_database() -> None:
    text = docker_configuration(TEMPLATE, STATIONS, aet="ORTHANC", credentials=CREDENTIALS, worklist=None)
    worklists = json.loads(text)["Worklists"]
    assert (worklists["SaveInOrthancDatabase"], worklists["DeleteWorklistsDelay"]) == (True, 0)
    assert "Directory" not in worklists
