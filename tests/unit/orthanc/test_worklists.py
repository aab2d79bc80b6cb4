"""The worklist told over REST: items of our names, compared first, and whatever the plugin answers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from interop.errors import UnavailableError
from interop.orthanc.worklists import OrthancWorklists
from tests.worklists_plugin import PASSWORD, USER, Plugin, plugin


@pytest.fixture(scope="module")
def running() -> Iterator[Plugin]:
    with plugin() as server:
        yield server


@pytest.fixture
def there(running: Plugin) -> Plugin:
    running.items.clear()
    running.asked.clear()
    running.missing, running.broken = False, 0
    return running


@pytest.fixture
def worklist(there: Plugin) -> Iterator[OrthancWorklists]:
    opened = OrthancWorklists(there.url, USER, PASSWORD)
    yield opened
    opened.close()


def item(accession: str, step: str = "1") -> bytes:
    return json.dumps(
        {
            "Tags": {
                "AccessionNumber": accession,
                "PatientName": "Παπαδόπουλος^Νίκος",
                "ReferringPhysicianName": "",
                "ReferencedStudySequence": [],
                "ScheduledProcedureStepSequence": [{"Modality": "CT", "ScheduledProcedureStepID": step}],
            }
        }
    ).encode()


def accessions(there: Plugin) -> list[str]:
    return sorted(tags["AccessionNumber"].strip() for tags in there.items.values())


async def test_items_are_made_changed_and_removed(there: Plugin, worklist: OrthancWorklists) -> None:
    assert worklist.make_all([("o-1", {"CT1": item("A1"), "CT2": item("A2")}, ())]) == [True]
    assert (accessions(there), len(there.writes())) == (["A1", "A2"], 2)
    assert worklist.make_all([("o-1", {"CT1": item("A1"), "CT2": item("A2")}, {"CT3"})]) == [False]
    assert [one.partition(" ")[0] for one in there.writes()] == ["DELETE"]  # of what may have been there
    assert worklist.make_all([("o-1", {"CT2": item("A3")}, {"CT1"})]) == [True]
    assert accessions(there) == ["A3"]
    assert worklist.make_all([("o-1", {}, {"CT1", "CT2"}), ("o-2", {"CT1": item("B1")}, ())]) == [True, True]
    assert (accessions(there), await worklist.names()) == (["B1"], (worklist.name("o-2", "CT1"),))


async def test_without_a_list_of_what_to_take_away_the_plugin_is_asked(
    there: Plugin, worklist: OrthancWorklists
) -> None:
    there.items["5fdc7404-f9dc-4798-b6e1-8f715e2f9e71"] = {"AccessionNumber": "by somebody else"}
    worklist.make_all([("o-1", {"CT1": item("A1"), "CT2": item("A2")}, ()), ("o-10", {"CT1": item("B1")}, ())])
    assert worklist.make_all([("o-1", {"CT3": item("A4")}, None)]) == [True]
    assert accessions(there) == ["A4", "B1", "by somebody else"]
    assert {name.partition("~")[0] for name in await worklist.names()} == {"o-1", "o-10"}
    assert worklist.make_all([("o-1", {}, None)]) == [True]
    assert worklist.make_all([("o-1", {}, None)]) == [False]


async def test_what_would_be_changed_is_said_and_left(there: Plugin, worklist: OrthancWorklists) -> None:
    worklist.make_all([(order, {"CT1": item("A1")}, ()) for order in ("o-1", "o-2", "o-3")])
    there.writes()
    changes = [("o-1", {"CT1": item("A1")}, None), ("o-2", {"CT1": item("A2")}, None), ("o-3", {}, None)]
    assert worklist.looked_at().make_all([*changes, ("o-4", {"CT1": item("A1")}, None)]) == [False, True, True, True]
    assert there.writes() == []
    there.missing = True
    (failed,) = worklist.looked_at().make_all([("o-1", {}, None)])
    assert isinstance(failed, UnavailableError)


async def test_one_that_fails_takes_no_other_along(there: Plugin, worklist: OrthancWorklists) -> None:
    there.broken = 1
    failed, made = worklist.make_all([("o-1", {"CT1": item("A1")}, ()), ("o-2", {"CT1": item("B1")}, ())])
    assert isinstance(failed, UnavailableError)
    assert (failed.text, made) == ("Orthanc answered 500 to PUT /worklists", True)
    assert worklist.make_all([("o-1", {"CT1": item("A1")}, ())]) == [True]


async def test_an_orthanc_without_the_plugin_is_named(there: Plugin, worklist: OrthancWorklists) -> None:
    there.missing = True
    (failed,) = worklist.make_all([("o-1", {"CT1": item("A1")}, ())])
    assert isinstance(failed, UnavailableError)
    assert "needs the worklists plugin" in failed.text
    with pytest.raises(UnavailableError, match="needs the worklists plugin"):
        await worklist.names()


async def test_a_wrong_password_and_silence_are_named(there: Plugin) -> None:
    for url, password, text in ((there.url, "wrong", "refuses"), ("http://127.0.0.1:1", PASSWORD, "does not answer")):
        stranger = OrthancWorklists(url, USER, password)
        (failed,) = stranger.make_all([("o-1", {}, {"CT1"})])
        stranger.close()
        assert isinstance(failed, UnavailableError)
        assert text in failed.text


async def test_the_stand_in_answers_as_the_plugin_s_sources_say(there: Plugin) -> None:
    """The book's own example, and what the plugin refuses: so that whoever changes the stand-in has to look there."""
    step = {"Modality": "US", "ScheduledProcedureStepStartDate": "20251014"}
    tags = {"PatientID": "PID-45", "PatientName": "Toto", "ScheduledProcedureStepSequence": [step]}
    with httpx.Client(base_url=there.url, auth=(USER, PASSWORD), trust_env=False) as client:
        made = client.post("/worklists/create", json={"Tags": tags}).json()
        assert made == {"ID": made["ID"], "Path": f"/worklists/{made['ID']}"}
        one = client.get(made["Path"], params={"format": "Simplify"}).json()
        assert (one["ID"], one.keys(), tags.items() <= one["Tags"].items()) == (made["ID"], {"ID", "Tags"}, True)
        assert one["Tags"].keys() - tags.keys() == {"SpecificCharacterSet", "StudyInstanceUID"}
        (listed,) = client.get("/worklists/", params={"format": "Simplify"}).json()
        assert listed.keys() == {"ID", "Tags", "CreationDate"}
        assert client.post(made["Path"], json={"Tags": tags}).status_code == 405
        assert client.put("/worklists", json={"Tags": tags}).status_code == 405
        for asked in ({"Tags": {}}, {"Tags": {"ScheduledProcedureStepSequence": [{"Modality": "US"}]}}, {"tags": {}}):
            refused = client.post("/worklists/create", json=asked)
            assert (refused.status_code, refused.json()["OrthancStatus"]) == (400, 15)
            wanted = 400 if "tags" in asked else 200
            assert client.put("/worklists/of-ours", json=asked).status_code == wanted, "a PUT is not checked"
        assert client.delete(made["Path"]).json() == {}
        gone = client.delete(made["Path"])
        assert (gone.status_code, gone.json()["OrthancError"]) == (404, "Unknown resource")
