"""WADO-URI gives what WADO-RS gives, to the same people."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import dcmread

from tests.integration.web.conftest import CT, ECHO
from tests.integration.web.test_dicomweb_through_the_proxy import direct, instances


def named(instance: str, **more: str) -> dict[str, str]:
    _, _, _, study, _, series, _, uid = instance.split("/")
    return {"requestType": "WADO", "studyUID": study, "seriesUID": series, "objectUID": uid} | more


def test_files_and_pictures(site: Any) -> None:
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        path = instances(client, CT)[0]
        file = client.get("/dicom-web/wado", params=named(path, contentType="application/dicom"))
        assert file.headers["content-type"] == "application/dicom"
        assert dcmread(io.BytesIO(file.content)).SOPInstanceUID == path.rsplit("/", 1)[1]
        jpeg = client.get("/dicom-web/wado", params=named(path))
        assert jpeg.headers["content-type"] == "image/jpeg"
        assert jpeg.content == archive.get(f"{path}/rendered").content
        assert "immutable" in jpeg.headers["cache-control"]
        asked = named(path, contentType="image/png", rows="32", columns="64", windowCenter="40", windowWidth="400")
        png = client.get("/dicom-web/wado", params=asked)
        own = archive.get(f"{path}/rendered?viewport=64,32&window=40,400,linear", headers={"Accept": "image/png"})
        assert png.content.startswith(b"\x89PNG")
        assert png.content == own.content
        cine = instances(client, ECHO)[0]
        frame = client.get("/dicom-web/wado", params=named(cine, frameNumber="3"))
        assert frame.content == archive.get(f"{cine}/frames/3/rendered").content
        assert client.get("/dicom-web/wado", params=named(f"{path}.9")).status_code == 404


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"requestType": "OTHER"}, 400),
        ({"studyUID": ""}, 404),
        ({"studyUID": "1.2/../3"}, 404),
        ({"seriesUID": "1/instances/2"}, 400),
        ({"objectUID": "1.2?x=y"}, 400),
        ({"contentType": "video/mpeg"}, 406),
        ({"anonymize": "yes"}, 400),
        ({"region": "0,0,1,1"}, 400),
        ({"frameNumber": "0"}, 400),
        ({"rows": "many"}, 400),
        ({"windowCenter": "40"}, 400),
        ({"imageQuality": "101"}, 400),
        ({"contentType": "application/dicom", "rows": "5"}, 400),
    ],
)
def test_what_is_not_offered_is_refused(site: Any, more: dict[str, str], status: int) -> None:
    path = f"/dicom-web/studies/{CT}/series/1.2/instances/1.2.3"
    with site.client(headers=site.bearer()) as client:
        assert client.get("/dicom-web/wado", params=named(path) | more).status_code == status


def test_the_same_people(site: Any) -> None:
    with site.client(headers=site.bearer()) as client, site.client() as viewer:
        path, other = instances(client, CT)[0], instances(client, ECHO)[0]
        assert viewer.get("/dicom-web/wado", params=named(path)).status_code == 401
        viewer.get(site.launch(CT))
        assert viewer.get("/dicom-web/wado", params=named(path)).status_code == 200
        assert viewer.get("/dicom-web/wado", params=named(other)).status_code == 403
        twice = [*named(path).items(), ("studyUID", ECHO)]
        assert viewer.get("/dicom-web/wado", params=twice).status_code == 400
        crossed = named(other) | {"studyUID": CT}
        assert viewer.get("/dicom-web/wado", params=crossed).status_code == 404
