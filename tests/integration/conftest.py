"""The real Orthanc for tests: on free ports, in a temporary folder, ended by its own pid."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interop.dicom.stations import Station, parse_stations
from interop.orthanc.child import PrivateOrthanc
from interop.orthanc.configuration import read_template
from interop.shipped import shipped
from tests.real_server import RealServer


def make_orthanc(folder: Path) -> PrivateOrthanc:
    """A private Orthanc as `interop up` makes it, not started."""
    data = shipped("orthanc")
    worklist = folder / "worklist"
    worklist.mkdir(parents=True, exist_ok=True)
    return PrivateOrthanc(
        folder / "orthanc",
        template=read_template((data / "orthanc.json").read_text(encoding="utf-8")),
        stations=parse_stations((data / "modalities.toml").read_text(encoding="utf-8")),
        worklist=worklist,
        http_port=0,
        dicom_port=0,
    )


@pytest.fixture
def stations() -> tuple[Station, ...]:
    """The shipped list of modalities."""
    return parse_stations((shipped("orthanc") / "modalities.toml").read_text(encoding="utf-8"))


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[PrivateOrthanc]:
    """A running Orthanc: .url, .aet, .dicom_port, .credentials, .worklist, .client()."""
    archive = make_orthanc(tmp_path)
    asyncio.run(archive.start())
    yield archive
    asyncio.run(archive.stop(grace=0.0))


@pytest.fixture
def real_server(tmp_path: Path) -> Iterator[Callable[..., RealServer]]:
    """Makes servers that run as processes of their own, in folders of this test; they end with it."""
    made: list[RealServer] = []

    def make(**settings: Any) -> RealServer:
        made.append(RealServer(tmp_path / f"server{len(made)}", **settings))
        return made[-1]

    yield make
    for server in made:
        server.discard()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """One running server with its private Orthanc, for tests that leave it as it was or use orders of their own."""
    server = RealServer(tmp_path_factory.mktemp("shared-server"), mllp_max_bytes=25_000_000)
    server.start()
    yield server
    server.discard()
