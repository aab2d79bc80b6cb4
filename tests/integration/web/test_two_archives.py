"""Two real Orthancs behind one server: each is asked for its own studies, and one may die without the other."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import httpx
import pytest

from interop.demo.world import eventually
from interop.orthanc.child import PrivateOrthanc
from interop.parts import archive_credentials, archive_url
from interop.testing.images import study_images
from tests.integration.conftest import make_orthanc
from tests.integration.web.conftest import item, stored
from tests.real_server import RealServer

CT, US = "1.2.826.0.1.9.54.1", "1.2.826.0.1.9.54.2"


@dataclass
class House:
    """The server, its own archive, and a second one."""

    server: RealServer
    second: PrivateOrthanc

    def get(self, path: str, accept: str = "application/dicom+json") -> httpx.Response:
        return self.server.http.get(f"/dicom-web/{path}", headers={"Accept": accept})

    def uids(self, query: str = "") -> list[str]:
        answer = self.get(f"studies{query}")
        assert answer.status_code == 200, answer.text
        return [row["0020000D"]["Value"][0] for row in answer.json()]


def fill(url: str, auth: tuple[str, str], modality: str, study: str, images: int) -> None:
    with httpx.Client(base_url=url, auth=auth, timeout=30, trust_env=False) as client:
        for image in study_images(
            item(modality, study), aet="CT1", images=images, now=datetime(2026, 8, 1, tzinfo=UTC)
        ):
            client.post("/instances", content=stored(image)).raise_for_status()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("two-archives")
    second = make_orthanc(folder / "second")
    asyncio.run(second.start())
    (folder / "password").write_text(second.credentials.password)
    (folder / "archives.toml").write_text(
        f"""
[[archive]]
name = "orthanc"
driver = "orthanc"

[[archive]]
name = "second"
driver = "orthanc"
url = "{second.url}"
username = "{second.credentials.username}"
password_file = "{folder / "password"}"
"""
    )
    server = RealServer(folder / "server", pacs=folder / "archives.toml")
    server.start()
    username, password = archive_credentials(server.settings)
    fill(archive_url(server.settings), (username, password or ""), "CT", CT, 3)
    fill(second.url, (second.credentials.username, second.credentials.password), "US", US, 2)
    yield House(server, second)
    server.discard()
    asyncio.run(second.stop(grace=0.0))


def first_pixel(house: House, study: str) -> httpx.Response:
    series = house.get(f"studies/{study}/series").json()[0]["0020000E"]["Value"][0]
    instance = house.get(f"studies/{study}/series/{series}/instances").json()[0]["00080018"]["Value"][0]
    path = f"studies/{study}/series/{series}/instances/{instance}/frames/1"
    return house.get(path, "multipart/related; type=application/octet-stream; transfer-syntax=*")


def registered(house: House, study: str, images: int = 1) -> dict[str, object] | None:
    """Once it shows so many images: it grows while they arrive."""
    found = house.server.found(f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{study}&status=available")
    return found[0] if found and found[0]["numberOfInstances"] >= images else None


def test_studies_of_both_are_registered_each_with_its_archives_endpoint(house: House) -> None:
    for study, endpoint, images in ((CT, "dicom-wado-rs", 3), (US, "dicom-wado-rs-second", 1)):
        whole = partial(registered, house, study, images)
        resource = eventually(f"study {study} is registered", whole, 30)
        assert resource["endpoint"][0]["reference"] == f"Endpoint/{endpoint}"
        assert resource["numberOfInstances"] == images
        [shared] = house.server.found(f"Endpoint?_id={endpoint}")
        assert shared["address"] == f"{house.server.settings.base_url}/dicom-web"
        found = house.server.found(f"ImagingStudy?endpoint=Endpoint/{endpoint}")
        assert [each["id"] for each in found] == [resource["id"]]


def test_frames_and_metadata_come_from_the_archive_that_holds_the_study(house: House) -> None:
    for study in (CT, US):
        frame = first_pixel(house, study)
        assert frame.status_code == 200, frame.text
        assert frame.content
        metadata = house.get(f"studies/{study}/metadata")
        assert {each["0020000D"]["Value"][0] for each in metadata.json()} == {study}


def test_a_search_shows_the_studies_of_both_page_by_page(house: House) -> None:
    whole = house.uids()
    assert sorted(whole) == sorted([CT, US])
    assert [house.uids("?limit=1&offset=0"), house.uids("?limit=1&offset=1")] == [[whole[0]], [whole[1]]]
    assert house.uids("?limit=5&offset=2") == []
    assert house.uids("?ModalitiesInStudy=US") == [US]
    assert sorted(house.uids(f"?StudyInstanceUID={CT},{US}")) == sorted([CT, US])


def test_a_viewer_session_sees_a_study_of_either(house: House) -> None:
    for study in (CT, US):
        launch = house.server.http.post("/api/v1/launch", json={"studies": [study]})
        assert launch.status_code == 200, launch.text
        with httpx.Client(trust_env=False) as browser:
            browser.get(launch.json()["url"])
            base = house.server.settings.base_url
            answer = browser.get(f"{base}/dicom-web/studies/{study}/series")
            assert answer.status_code == 200
            other = US if study == CT else CT
            assert browser.get(f"{base}/dicom-web/studies/{other}/series").status_code == 403


def test_a_comparison_that_is_asked_for_is_carried_out(house: House) -> None:
    asked = house.server.http.post("/api/v1/pacs/second/sync", json={"dry_run": True})
    assert asked.status_code == 202, asked.text

    def done() -> dict[str, object] | None:
        archives = {each["name"]: each for each in house.server.http.get("/api/v1/pacs").json()["archives"]}
        sync = archives["second"]["sync"]
        return archives["second"] if sync["state"] == "done" else None

    second = eventually("the comparison has ended", done, 30)
    assert (second["registered"], second["sync"]["done"], second["sync"]["differing"]) == (1, 1, 0)
    assert house.server.http.post("/api/v1/pacs/third/sync", json={}).status_code == 404
    assert house.server.http.post("/api/v1/pacs/second/sync", json={"since": "soon"}).status_code == 400


def test_the_command_line_shows_both_and_has_one_compared(house: House) -> None:
    def interop(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "interop", "pacs", *words]
        return subprocess.run(command, env=house.server.environment, capture_output=True, text=True, timeout=60)

    synced = interop("sync", "--archive", "second")
    assert synced.returncode == 0, synced.stderr
    assert "second: done, 1 studies, 0 differed" in synced.stdout
    shown = json.loads(interop("status", "--json").stdout)
    assert [(each["name"], each["registered"]) for each in shown["archives"]] == [("orthanc", 1), ("second", 1)]
    assert "second" in interop("status").stdout
    doctor = [sys.executable, "-m", "interop", "doctor"]

    def in_step() -> str | None:
        """A feed says how it stands every ten seconds."""
        told = subprocess.run(doctor, env=house.server.environment, capture_output=True, text=True, timeout=60).stdout
        [step] = [line for line in told.splitlines() if "in step: second" in line]
        assert step.startswith("ok")
        return told if "1 studies here, 1 there, compared" in step else None

    assert f"orthanc at {house.second.url} answers" in eventually("the doctor sees it in step", in_step, 60)
    refused = interop("sync", "--archive", "third")
    assert (refused.returncode, "no archive third" in refused.stderr) == (1, True)


def test_one_that_is_killed_takes_its_own_studies_along_and_no_others(house: House) -> None:
    asyncio.run(house.second.stop(grace=0.0))
    try:
        gone = house.get(f"studies/{US}/series")
        assert gone.status_code == 503
        assert int(gone.headers["retry-after"]) > 0
        assert first_pixel(house, CT).status_code == 200
        listed = house.get("studies")
        assert [row["0020000D"]["Value"][0] for row in listed.json()] == [CT]
        assert "archive second does not answer" in listed.headers["warning"]
        assert house.get(f"studies?StudyInstanceUID={US}").status_code == 503

        def degraded() -> dict[str, object] | None:
            answer = house.server.http.get("/readyz")
            assert answer.status_code == 200
            return answer.json() if answer.json()["status"] == "degraded" else None

        checks = eventually("readiness tells", degraded, 10)["checks"]
        assert (checks["archive second"]["ok"], checks["archive orthanc"]["ok"]) == (False, True)
        assert registered(house, US) is not None
    finally:
        asyncio.run(house.second.start())
