"""The five flows, in the order in which a hospital lives them: the story of ``make demo``, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.demo.story import Story
from interop.demo.world import World, stage
from interop.testing.ports import free_ports
from tests.postgres import Cluster

pytestmark = pytest.mark.timeout(300)

SENTENCES = [sentence for sentence, _ in Story.__new__(Story).steps()]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One world per database; the steps that follow are told in it in order."""
    http, mllp, orthanc_http, orthanc_dicom, ris, emr = free_ports(6)
    environment = {
        "INTEROP_HTTP_PORT": str(http),
        "INTEROP_MLLP_PORT": str(mllp),
        "INTEROP_ORTHANC_HTTP_PORT": str(orthanc_http),
        "INTEROP_ORTHANC_DICOM_PORT": str(orthanc_dicom),
        "INTEROP_TIME_ZONE": "Asia/Nicosia",
    }
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgres_cluster")
        environment["INTEROP_DATABASE_URL"] = cluster.url(cluster.create_database())
    folder: Path = tmp_path_factory.mktemp("story")
    with stage(folder, environment, ris_port=ris, emr_port=emr) as world:
        yield Story(world)


@pytest.mark.parametrize("number", range(len(SENTENCES)), ids=[s.replace(" ", "-") for s in SENTENCES])
def test_step(story: Story, number: int) -> None:
    """Each sentence holds; one that does not leaves those that build on it failing too."""
    sentence, deed = list(story.steps())[number]
    assert deed(), sentence


PROFILES = {
    "ServiceRequest": "imaging-order-placed",
    "ImagingStudy": "imaging-study",
    "DiagnosticReport": "imaging-report",
    "Patient": "imaging-patient",
    "AuditEvent": "audit",
}


@pytest.mark.parametrize("type", PROFILES)
def test_what_came_of_it_keeps_our_profiles(story: Story, type: str) -> None:
    http = story.world.client("auditor", "system/*.rs")
    entries = http.get(f"/fhir/{type}", params={"_count": "500"}).json()["entry"]
    assert entries
    for entry in entries:
        answer = http.post(
            f"/fhir/{type}/$validate",
            params={"profile": f"urn:interop:StructureDefinition:{PROFILES[type]}"},
            json=entry["resource"],
            headers={"Content-Type": "application/fhir+json"},
        )
        told = [issue.get("details", {}).get("text") for issue in answer.json()["issue"]]
        assert [issue["severity"] for issue in answer.json()["issue"]] == ["information"], told


def test_the_timeline_of_the_echo_tells_the_story(story: Story) -> None:
    order = story.world.client("auditor", "system/*.rs").get(f"/fhir/{story.facts['echo']}/$timeline").json()
    kinds = [part["valueCode"] for event in order["parameter"] for part in event["part"] if part["name"] == "kind"]
    assert kinds[0] == "order"
    assert {"order", "message-out", "study", "report", "access"} <= set(kinds)


def test_the_world_was_real(story: Story) -> None:
    """The story ran against the server's own process."""
    world: World = story.world
    assert world.process.poll() is None
