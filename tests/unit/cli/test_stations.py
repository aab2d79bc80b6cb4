"""``interop doctor --modality``: a station that answers, one that does not know us, one that is not there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.association import Association

from interop.cli.stations import examine_station
from interop.errors import NotFoundError
from interop.settings import Settings
from tests.postgres import free_port

VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def station() -> Iterator[AE]:
    entity = AE(ae_title="CT1")
    entity.add_supported_context(VERIFICATION)
    yield entity
    until = time.monotonic() + 10
    while not all(map(_has_gone, entity.active_associations)) and time.monotonic() < until:
        time.sleep(0.01)  # an association that is about to end cannot be aborted, which a shutdown does
    entity.shutdown()


def _has_gone(association: Association) -> bool:
    """Whether its state machine has ended: that of one whose connection is just opening is in Sta1, too (PS3.8 9.2)."""
    return association.dul.ident is not None and not association.dul.is_alive()


def listed(tmp_path: Path, port: int, aet: str = "CT1") -> Settings:
    file = tmp_path / "modalities.toml"
    file.write_text(f'[[modality]]\naet = "{aet}"\nhost = "127.0.0.1"\nport = {port}\nmodality = "CT"\n')
    return Settings(modalities_file=file, data_dir=tmp_path)


def test_a_station_that_answers(station: AE, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    station.start_server(("127.0.0.1", port), block=False)
    assert examine_station(listed(tmp_path, port), "CT1") == 0
    assert f"127.0.0.1:{port} answers C-ECHO to ORTHANC" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("calling", "called", "remedy"),
    [(["SOMEBODY"], False, "enter the AE title ORTHANC"), ([], True, "OTHER is not its AE title")],
)
def test_a_station_that_refuses(
    station: AE, tmp_path: Path, capsys: pytest.CaptureFixture[str], calling: list[str], called: bool, remedy: str
) -> None:
    port = free_port()
    station.require_calling_aet = calling
    station.require_called_aet = called
    station.start_server(("127.0.0.1", port), block=False)
    aet = "OTHER" if called else "CT1"
    assert examine_station(listed(tmp_path, port, aet), aet) == 1
    assert remedy in capsys.readouterr().out


def test_a_station_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert examine_station(listed(tmp_path, free_port()), "CT1") == 1
    assert "start its DICOM service" in capsys.readouterr().out
    with pytest.raises(NotFoundError, match="CT9 is not in the list of modalities"):
        examine_station(listed(tmp_path, 104), "CT9")
