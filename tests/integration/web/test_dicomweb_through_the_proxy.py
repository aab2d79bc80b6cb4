"""Through the proxy comes what the archive has, from nobody's address but ours."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx

CT, ECHO, PDF, BIG = "1.2.826.0.1.9.1", "1.2.826.0.1.9.2", "1.2.826.0.1.9.3", "1.2.826.0.1.9.4"
ANY_SYNTAX = "multipart/related; type=application/octet-stream; transfer-syntax=*"


def instances(client: httpx.Client, study: str) -> list[str]:
    rows = client.get(f"/dicom-web/studies/{study}/instances").json()
    return [
        f"/dicom-web/studies/{study}/series/{row['0020000E']['Value'][0]}/instances/{row['00080018']['Value'][0]}"
        for row in rows
    ]


def direct(site: Any) -> httpx.Client:
    auth = (site.orthanc.credentials.username, site.orthanc.credentials.password)
    return httpx.Client(base_url=site.orthanc.url, auth=auth, timeout=30, trust_env=False)


def payload(answer: httpx.Response) -> bytes:
    """The content of a multipart answer without its boundaries, which are new each time."""
    boundary = re.search(r'boundary="?([^";]+)', answer.headers["content-type"])
    assert boundary is not None
    parts = answer.content.split(b"--" + boundary.group(1).encode())
    return b"".join(part.split(b"\r\n\r\n", 1)[1] for part in parts[1:-1])


def test_the_archives_bytes_come_through(site: Any) -> None:
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        for study, count in ((CT, 5), (ECHO, 1)):
            found = instances(client, study)
            assert len(found) == count
            series = found[0].rsplit("/instances", 1)[0]
            for path, accept in (
                (f"/dicom-web/studies/{study}", 'multipart/related; type="application/dicom"'),
                (series, 'multipart/related; type="application/dicom"'),
                (found[0], 'multipart/related; type="application/dicom"'),
                (f"{found[0]}/frames/1", ANY_SYNTAX),
            ):
                ours = client.get(path, headers={"Accept": accept})
                theirs = archive.get(path, headers={"Accept": accept})
                assert ours.status_code == theirs.status_code == 200
                assert payload(ours) == payload(theirs)
            for path in (f"{found[0]}/rendered", f"{found[0]}/frames/1/rendered", f"{series}/rendered"):
                assert client.get(path).content == archive.get(path).content
        whole = client.get(found[0], headers={"Accept": "application/dicom"})
        assert whole.content[128:132] == b"DICM"


def test_whole_studies_leave_from_the_stored_files_as_the_archive_would_give_them(site: Any) -> None:
    stored = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        for study in (CT, ECHO, PDF):
            series = instances(client, study)[0].rsplit("/instances", 1)[0]
            for path in (f"/dicom-web/studies/{study}", series):
                ours, theirs = (each.get(path, headers=stored) for each in (client, archive))
                assert re.search("boundary=[0-9a-f]{48}$", ours.headers["content-type"]), "it was relayed"
                assert len(ours.content) == int(ours.headers["content-length"])
                assert payload(ours) == payload(theirs)
        big_endian = client.get(f"/dicom-web/studies/{BIG}", headers=stored)  # plugin 1.7 fails on it (its bug 219)
        assert b"1.2.840.10008.1.2.2\0" in payload(big_endian)
        assert client.get("/dicom-web/studies/9.9.9", headers=stored).status_code == 404


def test_its_addresses_lead_to_us_and_its_secrets_lead_nowhere(site: Any) -> None:
    secrets = (site.orthanc.credentials.password, f":{site.orthanc.http_port}", "Orthanc", "Basic ")
    with site.client(headers=site.bearer()) as client:
        found = instances(client, PDF)
        paths = [
            "/dicom-web/studies",
            "/dicom-web/series",
            "/dicom-web/instances?limit=3",
            f"/dicom-web/studies/{PDF}/series",
            f"/dicom-web/studies/{PDF}/metadata",
            f"{found[0]}/metadata",
            f"{found[0]}/frames/1",
            f"{found[0]}/rendered",
            f"{found[0]}/bulk/00420011",
            f"{found[0]}/bulk/00990099",
            "/dicom-web/studies/9.9.9",
            "/dicom-web/studies/9.9.9/metadata",
            "/dicom-web/studies?StudyDate=nonsense",
            "/viewer/iid?requestType=STUDY&studyUID=9.9.9",
            "/readyz",
            "/",
        ]
        bodies = []
        for path in paths:
            answer = client.get(path)
            text = answer.text + str(answer.headers)
            assert not [secret for secret in secrets if secret in text], path
            bodies.append(text)
        addresses = {address for text in bodies for address in re.findall(r"https?://[^/\"; ]+", text)}
        assert addresses == {site.base}
        metadata = client.get(f"{found[0]}/metadata").json()[0]
        document = client.get(metadata["00420011"]["BulkDataURI"], headers={"Accept": "application/pdf"})
        assert document.content.startswith(b"%PDF-1.4")
        assert document.headers["content-type"] == "application/pdf"


def test_big_endian_pixels_come_in_a_form_that_can_be_shown(site: Any) -> None:
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        [path] = instances(client, BIG)
        assert archive.get(f"{path}/frames/1", headers={"Accept": ANY_SYNTAX}).status_code == 500
        answer = client.get(f"{path}/frames/1", headers={"Accept": ANY_SYNTAX})
        assert answer.status_code == 200
        assert "1.2.840.10008.1.2.1" in answer.headers["content-type"]
        assert len(payload(answer)) >= 512 * 512 * 2


def test_what_has_no_picture_says_so(site: Any) -> None:
    with site.client(headers=site.bearer()) as client:
        [path] = instances(client, PDF)
        assert client.get(f"{path}/rendered").status_code == 406
        assert client.get(f"{path}/frames/1").status_code in (404, 406)
        [cine] = instances(client, ECHO)
        assert client.get(f"{cine}/frames/99", headers={"Accept": ANY_SYNTAX}).status_code == 404


def test_thumbnails_and_escaped_viewports_work(site: Any) -> None:
    with site.client(headers=site.bearer()) as client:
        path = instances(client, CT)[0]
        thumbnail = client.get(f"{path}/thumbnail")
        assert thumbnail.headers["content-type"] == "image/jpeg"
        small = client.get(f"{path}/rendered?viewport=64%2C64", headers={"Accept": "image/png"})
        assert small.content.startswith(b"\x89PNG")


def test_a_session_on_the_real_archive_sees_its_study_alone(site: Any) -> None:
    with site.client() as client:
        assert client.get(site.launch(CT)).status_code == 303
        assert client.get(f"/dicom-web/studies/{CT}/metadata").status_code == 200
        assert client.get(f"/dicom-web/studies/{ECHO}/metadata").status_code == 403
        priors = client.get("/dicom-web/studies?00100020=P1&limit=101&offset=0&fuzzymatching=false")
        assert [row["0020000D"]["Value"] for row in priors.json()] == [[CT]]
        both = client.get(f"/dicom-web/studies?StudyInstanceUID={CT},{ECHO}")
        assert both.status_code == 403
        series = client.get("/dicom-web/series?Modality=US")
        assert series.json() == []


def test_the_archive_going_down_and_coming_back(site: Any) -> None:
    with site.client(headers=site.bearer()) as client:
        path = instances(client, CT)[0]
        asyncio.run(site.orthanc.stop(grace=5))
        for address in (f"{path}/frames/1", "/dicom-web/studies"):
            answer = client.get(address)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
        launched = client.post("/api/v1/launch", json={"studies": [CT]})
        assert launched.status_code == 503
        asyncio.run(site.orthanc.start())
        assert client.get(f"{path}/frames/1").status_code == 200


def test_a_list_of_studies_always_says_what_kinds_of_images_they_hold(site: Any) -> None:
    with site.client(headers=site.bearer()) as client:
        for query in ("", "?includefield=00081030,00100020", f"?StudyInstanceUID={CT}", "?limit=2&offset=1"):
            rows = client.get(f"/dicom-web/studies{query}").json()
            assert rows, query
            for row in rows:
                assert row["00080061"]["Value"], query
                assert row["00201206"]["Value"], query
                assert row["00201208"]["Value"], query
                assert row["00081190"]["Value"][0].startswith(site.base), query
        assert len(client.get("/dicom-web/studies?PatientID=P1").json()) == 4
        assert client.get("/dicom-web/studies?PatientID=p1").json() == [], "another patient's"
        cut = client.get("/dicom-web/series?limit=1&fuzzymatching=true")
        assert len(cut.json()) == 1
        assert [text.split('"')[1][:17] for text in cut.headers.get_list("warning")] == [
            "The fuzzymatching",
            "There are additio",
        ]
