"""The command line in this process: answers, refusals and exit statuses that need no server."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path

import pytest

from interop.cli import main
from interop.shipped import shipped

GREEK = (
    "MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20261201080000||ORM^O01|MSG-1|P|2.5.1|||||CYP|8859/7\n"
    "PID|1||4712^^^HOSP^MR||Γεωργίου^Άννα||19700515|F\n"
    "ORC|NW|PL-77^HOSP\n"
    "OBR|1|PL-77^HOSP||71260^CT chest^C4||||||||||||||||||||CT|||^^^20261201100000\n"
)


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTEROP_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status."""
    monkeypatch.setattr(sys, "argv", ["interop", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_token_prints_the_bearer_last_and_keeps_its_key_private(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    assert run(monkeypatch, "token", "--scope", "patient/*.rs user/Patient.r", "--patient", "p1", "--minutes", "5") == 0
    assert capsys.readouterr().out.splitlines()[-1].count(".") == 2
    assert stat.S_IMODE((data_dir / "signing.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["token", "--scope", "banana"], "'banana' is not a scope"),
        (["token", "--minutes", "0"], "--minutes"),
        (["token", "--minutes", "527041"], "--minutes"),
        (["serve", "--role", "everything"], "unknown role everything; there are http, mllp, worker"),
        (["hl7", "send", "/no/such/file"], "/no/such/file: No such file or directory"),
        (["hl7", "show", "MSG-1"], "there is no database"),
        (["orthanc-config", "--docker", "out.json"], "INTEROP_ORTHANC_PASSWORD"),
    ],
)
def test_a_refusal_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run(monkeypatch, *words) != 0
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out


def test_preview_reads_the_declared_character_set_and_stores_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, data_dir: Path
) -> None:
    (tmp_path / "order.hl7").write_bytes(GREEK.encode("iso8859_7"))
    assert run(monkeypatch, "hl7", "preview", "--json", str(tmp_path / "order.hl7")) == 0
    shown = json.loads(capsys.readouterr().out)
    patient, order = (entry["resource"] for entry in shown["bundle"]["entry"])
    assert patient["name"] == [{"family": "Γεωργίου", "given": ["Άννα"]}]
    assert order["resourceType"] == "ServiceRequest"
    assert shown["answer"] == "AA"
    assert isinstance(shown["issues"], list)
    assert not data_dir.exists()


def test_preview_plans_for_the_station_that_a_room_chooses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    station = '[[modality]]\naet = "CT{0}"\nhost = "127.0.0.1"\nport = 104\nmodality = "CT"\nlocation = "Room {0}"\n'
    (tmp_path / "modalities.toml").write_text(station.format(1) + station.format(2))
    monkeypatch.setenv("INTEROP_MODALITIES_FILE", str(tmp_path / "modalities.toml"))
    omi = GREEK.replace("ORM^O01", "OMI^O23").encode("iso8859_7")
    for ipc, stations in ((b"IPC|A1||||CT||", ["CT1", "CT2"]), (b"IPC|A1||||CT|||^Room 2^L", ["CT2"])):
        (tmp_path / "order.hl7").write_bytes(omi + ipc + b"\r")
        assert run(monkeypatch, "hl7", "preview", "--json", str(tmp_path / "order.hl7")) == 0
        shown = json.loads(capsys.readouterr().out)
        assert [item["station"] for item in shown["worklist"][0]["items"]] == stations


def test_preview_by_a_site_file_reads_as_its_sender_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The site's own character set, codes and rows, though MSH-3 names somebody else."""
    silent = GREEK.replace("8859/7", "").replace("|CT", "|CAT SCAN")
    (tmp_path / "order.hl7").write_bytes(silent.encode("iso8859_7"))
    assert run(monkeypatch, "hl7", "preview", "--json", "--site", "example", str(tmp_path / "order.hl7")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["site"] == "example"
    assert shown["bundle"]["entry"][0]["resource"]["name"] == [{"family": "Γεωργίου", "given": ["Άννα"]}]
    assert run(monkeypatch, "hl7", "preview", "--site", "nobody", str(tmp_path / "order.hl7")) == 1
    assert "there are: example" in capsys.readouterr().err


def test_preview_shows_each_element_with_its_field_in_120_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, data_dir: Path
) -> None:
    (tmp_path / "order.hl7").write_bytes(GREEK.encode("iso8859_7"))
    assert run(monkeypatch, "hl7", "preview", str(tmp_path / "order.hl7")) == 0
    shown = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert max(map(len, shown.splitlines())) <= 120
    assert "name[0].family Γεωργίου <- PID-5.1" in lines
    assert "orderDetail[0].coding[0].code CT <- OBR-24" in lines
    assert "PatientName Γεωργίου^Άννα Patient PID-5.1," in lines
    assert "> Modality CT ServiceRequest.orderDetail[0].coding[0 OBR-24" in lines
    assert any(line.startswith("worklist: NW new, on CT1") for line in lines)
    assert not any("v2-0203" in line and "identifier-type" in line for line in lines)
    assert not data_dir.exists()


def test_mappings_are_checked_where_they_are_edited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "mappings", "check") == 0
    assert capsys.readouterr().out.endswith("all tables can be used\n")
    mine = tmp_path / "mappings"
    shutil.copytree(str(shipped("mappings")), mine)
    site = mine / "sites" / "example.toml"
    site.write_text(site.read_text().replace("ei_to_accession", "ei_to_acession"))
    assert run(monkeypatch, "mappings", "check", str(mine)) == 1
    told = capsys.readouterr()
    assert "sites/example.toml" in told.err
    assert "ei_to_acession" in told.err
    site.write_text(site.read_text().replace("ei_to_acession", "ei_to_accession"))
    peers = mine / "peers.toml"
    for wrong, words in (('version = "3"', "version has to be one of"), ('omit = ["ZSD"]', "omit has ZSD")):
        peers.write_text((shipped("mappings") / "peers.toml").read_text() + f"{wrong}\n")
        assert run(monkeypatch, "mappings", "check", str(mine)) == 1
        assert words in capsys.readouterr().err


def test_orthanc_config_for_docker_is_private(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("INTEROP_ORTHANC_PASSWORD", "geheim")
    file = tmp_path / "orthanc.json"
    assert run(monkeypatch, "orthanc-config", "--docker", str(file)) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["RegisteredUsers"] == {"interop": "geheim"}
    assert "geheim" not in capsys.readouterr().out


def test_doctor_before_the_first_start_makes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    run(monkeypatch, "doctor")
    told = capsys.readouterr().out
    assert "data directory" in told
    assert "not there yet" in told
    assert not data_dir.exists()


def test_doctor_goes_on_after_a_fault_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    data_dir.mkdir()
    (data_dir / "signing.key").write_text("x")
    (data_dir / "signing.key").chmod(0o644)
    wrong = {
        "INTEROP_HTTP_HOST": "0.0.0.0",
        "INTEROP_MLLP_PEERS": "[bogus/]",
        "INTEROP_OHIF_DIR": "/no/ohif",
        "INTEROP_MODALITIES_FILE": "/no/modalities.toml",
        "INTEROP_DATABASE_URL": "postgresql+psycopg://interop:geheim@127.0.0.1:1/interop",
        "INTEROP_ORTHANC_URL": "http://127.0.0.1:1",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    assert run(monkeypatch, "doctor") == 1
    told = capsys.readouterr().out
    faults = [line for line in told.splitlines() if line.startswith("fault")]
    assert all("  ->  " in line for line in faults)
    for said in ("chmod 600", "INTEROP_ALLOW_REMOTE=true", "bogus", "/no/ohif", "/no/modalities.toml", "127.0.0.1:1/"):
        assert any(said in line for line in faults), said
    assert any("Orthanc does not answer" in line for line in faults)
    assert "geheim" not in told


def test_validate_reports_a_feed_and_every_segment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, data_dir: Path
) -> None:
    good = GREEK.replace("PL-77", "P1").encode("iso8859_7")
    bad = good.replace(b"|F\n", b"|X\n").replace(b"PID|1|", b"ZZZ|1\nPID|one|")
    (tmp_path / "feed.hl7").write_bytes(good + bad + bad)
    assert run(monkeypatch, "hl7", "validate", str(tmp_path / "feed.hl7")) == 1
    printed = capsys.readouterr().out
    assert "3 messages, 2 errors" in printed
    assert next(line.split() for line in printed.splitlines() if line.startswith("error"))[:3] == [
        "error",
        "PID-1",
        "type",
    ]
    assert run(monkeypatch, "hl7", "validate", "--json", str(tmp_path / "feed.hl7")) == 1
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(one["segments"]) for one in reports] == [4, 5, 5]
    assert [line["standing"] for line in reports[1]["segments"]] == ["fits", "local", "fits", "fits", "fits"]
    (tmp_path / "good.hl7").write_bytes(b"\x0b" + good.replace(b"\n", b"\r") + b"\x1c\r")
    assert run(monkeypatch, "hl7", "validate", str(tmp_path / "good.hl7")) == 0
    (tmp_path / "odd.hl7").write_bytes(b"GET / HTTP/1.1\r\n")
    assert run(monkeypatch, "hl7", "validate", str(tmp_path / "odd.hl7")) == 1
    assert "cannot be read" in capsys.readouterr().out
    assert not data_dir.exists()
