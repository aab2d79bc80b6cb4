"""Metadata of a series come from memory only while the archive has the series as it was."""

from __future__ import annotations

import gzip
import time
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import httpx
from pydicom.uid import generate_uid

from interop.access import system_agent
from interop.dicomweb.reading_ahead import QUIET
from interop.testing.images import study_images
from tests.integration.web.conftest import CT, PDF, item, stored
from tests.integration.web.test_dicomweb_through_the_proxy import direct, instances

JSON = "application/dicom+json"


def address(client: httpx.Client, study: str) -> str:
    return instances(client, study)[0].rsplit("/instances", 1)[0] + "/metadata"


def counts(client: httpx.Client) -> dict[str, int]:
    found: dict[str, int] = client.get("/api/v1/dicomweb").json()["series_metadata"]
    return found


def settle() -> None:
    """Orthanc says to the second when a series last changed."""
    time.sleep(2.2)


def uids(answer: httpx.Response) -> set[str]:
    return {each["00080018"]["Value"][0] for each in answer.json()}


def test_the_second_answer_is_the_archives_own_without_the_archive(site: Any) -> None:
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        path = address(client, CT)
        settle()
        own = archive.get(path, headers={"Forwarded": f"host={site.base.removeprefix('http://')};proto=http"})
        first = client.get(path, headers={"Accept": JSON})
        assert counts(client)["asked"] == 1
        packed = client.get(path, headers={"Accept": JSON})
        plain = client.get(path, headers={"Accept": JSON, "Accept-Encoding": "identity"})
        assert counts(client)["kept"] == 2
        assert first.content == packed.content == plain.content == own.content
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) < len(plain.content) == int(plain.headers["content-length"])
        assert "content-encoding" not in plain.headers
        assert packed.headers["cache-control"] == "private, no-cache"
        same = client.get(path, headers={"If-None-Match": packed.headers["etag"]})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", packed.headers["etag"])
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
        assert client.get(path, headers={"Accept": "image/jpeg"}).status_code == 406


def test_what_changes_in_the_archive_shows_at_once(site: Any) -> None:
    now = datetime(2026, 8, 1, 10, tzinfo=UTC)
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        path = address(client, CT)
        settle()
        before = uids(client.get(path))
        assert uids(client.get(path)) == before
        assert counts(client)["series"] == 1
        [image] = study_images(item("CT", CT), aet="CT1", images=1, now=now)
        image.SeriesInstanceUID = path.split("/")[5]
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        added = archive.post("/instances", content=stored(image)).raise_for_status().json()
        assert uids(client.get(path)) == before | {image.SOPInstanceUID}
        settle()
        tag = client.get(path).headers["etag"]
        other = deepcopy(image)
        other.ImageComments = "another one under the same UID"
        archive.delete(f"/instances/{added['ID']}").raise_for_status()
        assert uids(client.get(path)) == before
        archive.post("/instances", content=stored(other)).raise_for_status()
        changed = client.get(path, headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert [each["00204000"]["Value"] for each in changed.json() if "00204000" in each] == [
            ["another one under the same UID"]
        ]
        archive.delete(f"/series/{added['ParentSeries']}").raise_for_status()
        assert client.get(path).status_code == 404


def test_an_answer_that_may_still_change_in_its_second_is_not_kept(site: Any) -> None:
    now = datetime(2026, 8, 1, 10, tzinfo=UTC)
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        path = address(client, CT)
        settle()
        [image] = study_images(item("CT", CT), aet="CT1", images=1, now=now)
        image.SeriesInstanceUID = path.split("/")[5]
        for text in ("one", "two", "three"):  # all in a second or two: what Orthanc says of the series stays the same
            image.ImageComments = text
            archive.post("/instances", content=stored(image)).raise_for_status()
            found = client.get(path).json()
            assert [each["00204000"]["Value"] for each in found if "00204000" in each] == [[text]]


def test_nobody_reads_from_memory_what_the_archive_would_not_be_asked(site: Any) -> None:
    with site.client(headers=site.bearer()) as client, site.client() as viewer:
        path = address(client, CT)
        settle()
        assert client.get(path).status_code == client.get(path).status_code == 200
        assert viewer.get(path).status_code == 401
        assert viewer.get(site.launch(PDF)).status_code == 303
        assert viewer.get(path).status_code == 403
        assert viewer.get("/api/v1/dicomweb").status_code == 403
        crossed = path.replace(f"/studies/{CT}/", f"/studies/{PDF}/")
        assert client.get(crossed).status_code == 404


def test_gzip_is_for_those_who_ask(site: Any) -> None:
    with site.client(headers=site.bearer()) as client:
        path = address(client, CT)
        settle()
        client.get(path)
        cases = {"gzip": True, "br, gzip;q=0.5": True, "*": True, "gzip;q=0": False, "": False}
        for accepted, packed in cases.items():
            with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
                body = b"".join(answer.iter_raw())
            assert (answer.headers.get("content-encoding") == "gzip") is packed, accepted
            assert (gzip.decompress(body) if packed else body).startswith(b"[")


def test_a_launch_reads_the_metadata_ahead_of_the_viewer(site: Any) -> None:
    with site.client(headers=site.bearer()) as client, site.client() as viewer:
        path = address(client, CT)
        settle()
        link = site.launch(CT)
        until = time.monotonic() + 10
        while counts(client)["series"] == 0 and time.monotonic() < until:
            time.sleep(0.05)
        assert viewer.get(link).status_code == 303
        assert viewer.get(path).status_code == 200
        assert (counts(client)["kept"], counts(client)["asked"]) == (1, 0)


def test_a_complete_study_is_read_ahead_of_whoever_opens_it_first(site: Any) -> None:
    with site.client(headers=site.bearer()) as client:
        path = address(client, CT)
        series = {"uid": path.split("/")[5], "modality": {"code": "CT"}}
        site.run(
            lambda: site.store.unit(
                system_agent("test"), lambda tx: tx.update(tx.study(CT).resource() | {"series": [series]})
            )
        )
        time.sleep(QUIET.total_seconds() + 0.1)
        for _ in range(2):
            site.run(site.http.ahead.turn)
        assert counts(client)["ahead"] == 1
        assert client.get(path).status_code == client.get(path).status_code == 200
        shown = client.get(path.replace("/metadata", "/thumbnail"))
        assert shown.content.startswith(b"\xff\xd8")
        for told in client.get("/api/v1/dicomweb").json().values():
            assert (told["ahead"], told["ahead_used"], told["asked"]) == (1, 1, 0), "nobody had to wait for the archive"


def test_a_thumbnail_is_made_once_while_its_series_stays_as_it_was(site: Any) -> None:
    def kept() -> tuple[int, int, int]:
        found = client.get("/api/v1/dicomweb").json()["thumbnails"]
        return found["asked"], found["kept"], found["pictures"]

    now = datetime(2026, 8, 1, 10, tzinfo=UTC)
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        image = instances(client, CT)[0]
        series = image.rsplit("/instances", 1)[0]
        settle()
        first, again = client.get(f"{image}/thumbnail"), client.get(f"{image}/thumbnail")
        assert first.content == again.content
        assert first.content.startswith(b"\xff\xd8")
        assert (again.headers["content-type"], again.headers["content-length"]) == (
            "image/jpeg",
            str(len(first.content)),
        )
        same = client.get(f"{image}/thumbnail", headers={"If-None-Match": again.headers["etag"]})
        assert (same.status_code, same.content, kept()) == (304, b"", (1, 2, 1))
        larger = client.get(f"{image}/thumbnail?viewport=200%2C200")
        assert larger.content != first.content
        assert kept() == (2, 2, 2)
        assert client.get(f"{series}/thumbnail").headers["cache-control"] == "private, no-cache"
        [added] = study_images(item("CT", CT), aet="CT1", images=1, now=now)
        added.SeriesInstanceUID = series.split("/")[-1]
        added.SOPInstanceUID = added.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        stored_as = archive.post("/instances", content=stored(added)).raise_for_status().json()["ID"]
        assert client.get(f"{image}/thumbnail").content == first.content
        assert kept() == (4, 2, 3), "the series is another: asked for, and not kept while it may still change"
        archive.delete(f"/instances/{stored_as}").raise_for_status()
        with site.client() as stranger:
            assert stranger.get(f"{image}/thumbnail").status_code == 401


def test_a_thumbnail_of_a_study_is_kept_until_an_image_is_deleted(site: Any) -> None:
    def kept() -> tuple[int, int]:
        found = client.get("/api/v1/dicomweb").json()["thumbnails"]
        return found["asked"], found["kept"]

    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        path = f"/dicom-web/studies/{CT}/thumbnail"
        settle()
        first, again = client.get(path), client.get(path)
        assert first.content.startswith(b"\xff\xd8")
        assert (again.content, kept()) == (first.content, (1, 1))
        assert again.headers["cache-control"] == "private, no-cache"
        same = client.get(path, headers={"If-None-Match": again.headers["etag"]})
        assert (same.status_code, same.content, kept()) == (304, b"", (1, 2))
        found = {"Level": "Instance", "Query": {"StudyInstanceUID": CT}}
        archive.delete(f"/instances/{archive.post('/tools/find', json=found).json()[0]}").raise_for_status()
        assert client.get(path).status_code == 200
        assert kept() == (2, 2), "the study is another"
