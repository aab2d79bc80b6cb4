"""DICOMweb clients that nobody here wrote, against the proxy with a real Orthanc behind it: dicomweb-client for Python,
and the one of npm in a browser, which is where it runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from pydicom.dataset import Dataset
from requests import HTTPError

from interop.demo.viewing import CHROMIUM, FLAGS
from interop.testing.images import study_images
from tests.integration.web.conftest import item
from tests.real_server import RealServer

PEERS = Path(__file__).resolve().parents[3] / "build/peers"
ROUND = Path(__file__).resolve().parents[2] / "peers/dicomweb.js"
CT, US, DOC, SR = (f"1.2.826.0.1.9.69.{number}" for number in (1, 2, 3, 4))
PIXELS = 512 * 512
ANY_OCTETS = (("application/octet-stream", "*"),)
JPEG_OR_OCTETS = (
    ("image/jpeg", "1.2.840.10008.1.2.4.50"),  # not for 16 bits
    ("application/octet-stream", "1.2.840.10008.1.2.1"),
)

Client = Any


def made(modality: str, study: str, images: int) -> list[Dataset]:
    order = item(modality, study)
    order.PatientName = "Ξένου^Άννα Μαρία"
    found = list(study_images(order, aet="CT1", images=images, now=datetime(2026, 8, 1, tzinfo=UTC)))
    for each in found:
        each.preamble = bytes(128)  # pydicom writes none unless there is one
    return found


STUDIES = {study: made(modality, study, 3) for modality, study in (("CT", CT), ("US", US), ("DOC", DOC), ("SR", SR))}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    running = RealServer(tmp_path_factory.mktemp("foreign-clients"))
    running.start()
    yield running
    running.discard()


@pytest.fixture(scope="module")
def connect(server: RealServer) -> Iterator[Callable[[str], Client]]:
    """Makes Python clients with a bearer."""
    sys.path.append(str(PEERS / "python"))
    client = importlib.import_module("dicomweb_client.web").DICOMwebClient

    def connected(authorization: str) -> Client:
        found = client(f"{server.settings.base_url}/dicom-web", headers={"Authorization": authorization})
        found.set_http_retry_params(retry=False)
        return found

    yield connected
    sys.path.remove(str(PEERS / "python"))


@pytest.fixture(scope="module")
def client(connect: Callable[[str], Client], server: RealServer) -> Client:
    """One that may do everything, and has stored the studies."""
    found = connect(server.http.headers["authorization"])
    for study, instances in STUDIES.items():
        said = found.store_instances(instances)
        assert [each.ReferencedSOPInstanceUID for each in said.ReferencedSOPSequence] == [
            each.SOPInstanceUID for each in instances
        ]
        assert said.RetrieveURL == f"{found.base_url}/studies/{study}"
    return found


def uids(study: str, number: int = 0) -> tuple[str, str, str]:
    found = STUDIES[study][number]
    return found.StudyInstanceUID, found.SeriesInstanceUID, found.SOPInstanceUID


def values(rows: list[dict[str, Any]], tag: str) -> list[Any]:
    return sorted(row[tag]["Value"][0] for row in rows)


def test_python_searches(client: Client) -> None:
    assert values(client.search_for_studies(), "0020000D") == [CT, US, DOC, SR]
    paged = client.search_for_studies(limit=1, get_remaining=True)
    assert values(paged, "0020000D") == [CT, US, DOC, SR]
    filters = {"StudyDate": "20260101-20261231", "ModalitiesInStudy": "CT"}
    [row] = client.search_for_studies(search_filters=filters, fields=["StudyDescription"], fuzzymatching=True)
    assert (row["0020000D"]["Value"], row["00081030"]["Value"]) == ([CT], ["Test"])
    assert (row["00080061"]["Value"], row["00201206"]["Value"], row["00201208"]["Value"]) == (["CT"], [1], [3])
    of_two = {"search_filters": {"ModalitiesInStudy": "CT,US"}, "limit": 1}
    pages = [client.search_for_studies(**of_two, offset=at) for at in range(3)]
    assert [len(page) for page in pages] == [1, 1, 0]
    assert values(pages[0] + pages[1], "0020000D") == [CT, US]
    assert len(client.search_for_series()) == 4
    assert len(client.search_for_instances(limit=2, offset=1)) == 2
    [series] = client.search_for_series(CT, search_filters={"Modality": "CT"}, fields=["SeriesDescription"], limit=5)
    assert (series["0020000E"]["Value"], series["0008103E"]["Value"]) == ([uids(CT)[1]], ["Thorax 2.5 mm"])
    instances = client.search_for_instances(*uids(CT)[:2])
    assert values(instances, "00080018") == sorted(each.SOPInstanceUID for each in STUDIES[CT])
    assert len(client.search_for_instances(CT)) == 3
    assert client.search_for_series("1.2.3") == []


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"PatientName": "Ξένου*"}, 4),
        ({"PatientName": "ξένου^άννα μαρία"}, 4),  # no case in names, and a space
        ({"PatientName": "Ξένος*"}, 0),
        ({"00100010": "*Μαρία", "ModalitiesInStudy": "US,CT"}, 2),
        ({"PatientName": "*Μαρία", "StudyInstanceUID": f"{CT},{SR}"}, 2),
    ],
)
def test_python_searches_for_what_a_url_cannot_hold_as_it_is(
    client: Client, filters: dict[str, str], count: int
) -> None:
    rows = client.search_for_studies(search_filters=filters, fields=["StudyDescription"])
    assert len(rows) == count
    assert {row["00081030"]["Value"][0] for row in rows} <= {"Test"}
    assert len(client.search_for_studies(search_filters=filters, limit=1, offset=1)) == min(max(count - 1, 0), 1)
    assert len(client.search_for_studies(search_filters=filters, limit=1, get_remaining=True)) == count


def test_python_searches_below_studies_by_such_values(client: Client) -> None:
    [series] = client.search_for_series(search_filters={"SeriesDescription": "Thorax 2.5 mm"})
    assert series["0020000E"]["Value"] == [uids(CT)[1]]
    found = client.search_for_instances(search_filters={"PatientName": "Ξένου*", "SeriesInstanceUID": uids(CT)[1]})
    assert values(found, "00080018") == sorted(each.SOPInstanceUID for each in STUDIES[CT])
    described = {"SeriesDescription": "Thorax 2.5 mm"}
    assert len(client.search_for_series(CT, search_filters=described, fields=["StudyDescription"])) == 1
    assert client.search_for_series(US, search_filters=described) == []
    assert len(client.search_for_instances(*uids(CT)[:2], search_filters=described, limit=2)) == 2
    assert client.search_for_instances(*uids(US)[:2], search_filters=described) == []
    with pytest.raises(HTTPError) as refused:
        client.search_for_studies(search_filters={"StudyDate": "χθες"})
    assert refused.value.response.status_code == 400


def test_python_is_warned_of_what_is_not_searched_by(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    everything = client.search_for_studies()
    assert client.search_for_studies(search_filters={"NoSuchThing": "Ξένου*"}) == everything
    assert "NoSuchThing is no attribute that this archive searches by. It was ignored." in caplog.text


def test_python_retrieves(client: Client) -> None:
    stored = {each.SOPInstanceUID: each for each in STUDIES[CT]}
    study, series, instance = uids(CT)
    for files in (
        client.retrieve_study(study),
        client.iter_study(study, media_types=(("application/dicom", "1.2.840.10008.1.2.1"),)),
        client.retrieve_series(study, series),
        client.iter_series(study, series),
    ):
        found = {each.SOPInstanceUID: each for each in files}
        assert found.keys() == stored.keys()
        assert all(found[uid].PixelData == stored[uid].PixelData for uid in stored)
    assert client.retrieve_instance(study, series, instance) == stored[instance]
    assert client.retrieve_instance(study, series, instance, media_types=("application/dicom",)) == stored[instance]
    metadata = client.retrieve_instance_metadata(study, series, instance)
    assert metadata["00100010"]["Value"][0]["Alphabetic"] == "Ξένου^Άννα Μαρία"
    for several in (client.retrieve_study_metadata(study), client.retrieve_series_metadata(study, series)):
        assert values(several, "00080018") == sorted(stored)
    assert client.retrieve_bulkdata(metadata["7FE00010"]["BulkDataURI"]) == [stored[instance].PixelData]
    document = client.retrieve_instance_metadata(*uids(DOC))["00420011"]["BulkDataURI"]
    assert document.startswith(f"{client.base_url}/studies/{DOC}/"), "led elsewhere"
    for types in (None, ("application/octet-stream",)):
        [pdf] = client.iter_bulkdata(document, media_types=types)
        assert pdf.startswith(b"%PDF-")


def test_python_retrieves_pixels_and_pictures(client: Client) -> None:
    whole = STUDIES[CT][0].PixelData
    for types in (None, ("application/octet-stream",), ANY_OCTETS, JPEG_OR_OCTETS):
        assert client.retrieve_instance_frames(*uids(CT), [1], media_types=types) == [whole]
        assert list(client.iter_instance_frames(*uids(CT), [1], media_types=types)) == [whole]
    for types in (None, ANY_OCTETS):
        frames = client.retrieve_instance_frames(*uids(US), [3, 1], media_types=types)
        assert [bytes(each) for each in frames] == [STUDIES[US][0].PixelData[at * PIXELS :][:PIXELS] for at in (2, 0)]
    assert client.retrieve_instance_rendered(*uids(CT)).startswith(b"\xff\xd8")
    smaller = {"viewport": "64,64", "quality": 50, "window": "40,400,linear"}
    small = client.retrieve_instance_rendered(*uids(CT), media_types=("image/jpeg",), params=smaller)
    assert small.startswith(b"\xff\xd8")
    png = {"media_types": ("image/png",)}
    assert client.retrieve_instance_rendered(*uids(CT), **png).startswith(b"\x89PNG")
    assert client.retrieve_series_rendered(*uids(CT)[:2], **png).startswith(b"\x89PNG")
    assert client.retrieve_instance_frames_rendered(*uids(US), [2], **png).startswith(b"\x89PNG")
    assert client.retrieve_instance_rendered(*uids(DOC), media_types=("application/pdf",)).startswith(b"%PDF-")


def test_python_shows_refusals(client: Client, connect: Callable[[str], Client]) -> None:
    def refused(asked: Callable[..., Any], *words: Any, **options: Any) -> tuple[int, str]:
        with pytest.raises(HTTPError) as caught:
            asked(*words, **options)
        return caught.value.response.status_code, caught.value.response.json()["detail"]

    assert refused(connect("Bearer no").search_for_studies) == (401, "the token is not valid here")
    assert refused(client.retrieve_study, "1.2.3")[0] == 404
    assert refused(client.retrieve_study_metadata, "1.2.3")[0] == 404
    assert refused(client.retrieve_instance_frames, *uids(CT), [9])[0] == 404
    assert refused(client.retrieve_instance_frames, *uids(DOC), [1])[0] == 406
    for study, types in ((CT, ("image/gif",)), (CT, ("application/pdf",)), (SR, ("image/png",))):
        assert refused(client.retrieve_instance_rendered, *uids(study), media_types=types)[0] == 406
    assert refused(client.store_instances, STUDIES[CT], US)[0] == 409
    assert refused(client.delete_study, CT) == (405, "DELETE is not offered here")
    [bare] = made("CT", "1.2.826.0.1.9.69.5", 1)
    del bare.preamble
    status, said = refused(client.store_instances, [bare])
    assert (status, "128 bytes and DICM" in said) == (400, True)


def test_npm_in_a_browser(client: Client, server: RealServer) -> None:
    base = server.settings.base_url
    token = server.http.headers["authorization"].removeprefix("Bearer ")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), headless=True)
        page = browser.new_context(bypass_csp=True).new_page()
        page.goto(f"{base}/healthz")
        page.add_script_tag(path=PEERS / "node_modules/dicomweb-client/build/dicomweb-client.js")
        asked = {"url": f"{base}/dicom-web", "token": token, "study": CT}
        got = page.evaluate(ROUND.read_text(), asked)
        browser.close()
    size = len(STUDIES[CT][0].PixelData)
    assert got == {
        "study": [CT, "CT", 3],
        "rows": [1, 3, 1],
        "metadata": [3, 3, 1],
        "bulk": [size],
        "files": [3, 3],
        "file": "DICM",
        "wadoUri": 200,
        "frames": [[size]] * 3,
        "pictures": ["\x89PNG", "\xff\xd8\xff\xe0", "\x89PNG", "\x89PNG", "\xff\xd8\xff\xe0"],
        "stored": [3, False, f"{base}/dicom-web/studies/{CT}"],
        "refused": [401, 404, 404, 406, 409, 400],
    }
