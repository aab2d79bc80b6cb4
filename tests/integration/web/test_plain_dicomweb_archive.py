"""An archive asked by DICOMweb alone: a real Orthanc of which nothing else is used, behind TLS and a bearer."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import httpx

from interop.demo.world import eventually
from interop.orthanc.child import PrivateOrthanc
from interop.testing.images import study_images
from tests.integration.conftest import make_orthanc
from tests.integration.web.conftest import item, stored
from tests.integration.web.test_two_archives import fill
from tests.real_server import RealServer
from tests.tls_front import TlsFront

CT, NEW = "1.2.826.0.1.9.54.3", "1.2.826.0.1.9.54.4"


def test_studies_are_noticed_shown_and_stored(tmp_path: Path) -> None:
    orthanc = make_orthanc(tmp_path / "plain")
    asyncio.run(orthanc.start())
    auth = (orthanc.credentials.username, orthanc.credentials.password)
    front = TlsFront(tmp_path, orthanc.url, auth)
    front.start()
    token = tmp_path / "token"
    token.write_text(f"{front.token}\n")
    (tmp_path / "archives.toml").write_text(
        f"""
[[archive]]
name = "vna"
driver = "dicomweb"
url = "{front.url}"
token_file = "{token}"
ca_file = "{front.ca}"
poll_seconds = 1
poll_days = 3650
thumbnails = true
page = 2
"""
    )
    server = RealServer(tmp_path / "server", command="serve", pacs=tmp_path / "archives.toml")
    try:
        fill(orthanc.url, auth, "CT", CT, 3)
        front.tags = True
        server.start()
        found = f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{CT}"
        [study] = eventually("the study is registered", lambda: server.found(found), 30)
        assert (study["numberOfInstances"], study["started"][:10]) == (3, "2026-08-01")
        json = {"Accept": "application/dicom+json"}
        listed = server.http.get("/dicom-web/studies", headers=json).json()
        assert [row["00080061"]["Value"] for row in listed] == [["CT"]]
        series = study["series"][0]
        path = f"/dicom-web/studies/{CT}/series/{series['uid']}/instances/{series['instance'][0]['uid']}"
        metadata = server.http.get(f"{path}/metadata", headers=json)
        host = front.url.removeprefix("https://").encode()
        assert host not in metadata.content
        assert server.settings.base_url in metadata.json()[0]["7FE00010"]["BulkDataURI"]
        xml = server.http.get(f"{path}/metadata", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
        assert (xml.status_code, host in xml.content) == (200, False)
        assert f'URI="{path}/bulk/7fe00010"' in xml.text
        accept = {"Accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}
        frame = server.http.get(f"{path}/frames/1", headers=accept)
        assert host not in frame.content
        [location] = re.findall(rb"\r\nContent-Location: (\S+) *\r\n", frame.content)
        assert location.decode() == f"{path}/frames/1"
        whole = server.http.get(f"{path}/frames/1", headers={"Accept": "application/octet-stream"}).content
        assert frame.content.partition(b"\r\n\r\n")[2].startswith(whole)
        files = server.http.get(path, headers={"Accept": "application/dicom"})
        assert whole in files.content
        front.token = "renewed"
        assert server.http.get(f"{path}/metadata", headers=json).status_code == 503
        token.write_text("renewed")
        assert server.http.get(f"{path}/metadata", headers=json).content == metadata.content
        _keeps_pictures_that_are_tagged(server, path)
        _keeps_metadata_that_are_tagged(server, front, orthanc, path.rsplit("/instances", 1)[0])
        now = datetime(2026, 8, 2, tzinfo=UTC)
        [image] = study_images(item("CT", NEW), aet="CT1", images=1, now=now)
        body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + stored(image) + b"\r\n--b--\r\n"
        kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
        first = server.http.post("/dicom-web/studies", content=body, headers=kind)
        assert (first.status_code, "00081198" in first.json()) == (200, False), first.text
        again = server.http.post("/dicom-web/studies", content=body, headers=kind)
        assert again.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0x0111]
        eventually("what was stored is registered", lambda: server.found(found.replace(CT, NEW)), 30)
    finally:
        server.discard()
        front.stop()
        asyncio.run(orthanc.stop(grace=0.0))


def _keeps_metadata_that_are_tagged(server: RealServer, front: TlsFront, orthanc: PrivateOrthanc, series: str) -> None:
    """The archive's own word, each time; what changes there shows at once."""

    def told() -> dict[str, int]:
        found: dict[str, int] = server.http.get("/api/v1/dicomweb").json()["series_metadata"]
        return found

    def asked() -> tuple[int, int, int]:
        answer = server.http.get(f"{series}/metadata", headers={"Accept": "application/dicom+json"})
        now = told()
        return len(answer.json()), now["asked"], now["kept"]

    eventually("the complete study is read ahead", lambda: told()["ahead"], 30)
    assert [asked(), asked(), asked()] == [(3, 0, 1), (3, 0, 2), (3, 0, 3)]
    assert told()["ahead_used"] == 1
    auth = (orthanc.credentials.username, orthanc.credentials.password)
    with httpx.Client(base_url=orthanc.url, auth=auth, trust_env=False) as archive:
        gone = archive.get("/instances").json()[0]
        archive.delete(f"/instances/{gone}").raise_for_status()
    assert [asked(), asked()] == [(2, 1, 3), (2, 1, 4)]


def _keeps_pictures_that_are_tagged(server: RealServer, image: str) -> None:
    """As metadata; the picture of a series was read ahead."""

    def told() -> dict[str, int]:
        found: dict[str, int] = server.http.get("/api/v1/dicomweb").json()["thumbnails"]
        return found

    def asked(path: str) -> tuple[bytes, int, int]:
        answer = server.http.get(f"{path}/thumbnail")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        now = told()
        return answer.content, now["asked"], now["kept"]

    eventually("the picture of the complete study is read ahead", lambda: told()["ahead"], 30)
    picture, *counts = asked(image.rsplit("/instances", 1)[0])
    assert (picture[:2], counts, told()["ahead_used"]) == (b"\xff\xd8", [0, 1], 1)
    small, *counts = asked(image)
    assert counts == [1, 1]
    assert asked(image) == (small, 1, 2)
