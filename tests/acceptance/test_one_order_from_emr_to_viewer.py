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


def test_the_world_was_real(story: Story) -> None:
    """The story ran against the server's own process."""
    world: World = story.world
    assert world.process.poll() is None
