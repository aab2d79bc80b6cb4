"""STOW-RS: what is stored is in the archive, what is refused is not, and the answer says which is which."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from interop.testing.images import study_images
from tests.derived_objects import measurements, segmentation, structures
from tests.integration.web.conftest import CT, ECHO, item, stored
from tests.integration.web.test_dicomweb_through_the_proxy import direct

NEW = "1.2.826.0.1.9.77"
NOW = datetime(2026, 8, 1, 10, tzinfo=UTC)


def new_images(count: int, study: str = NEW) -> list[Dataset]:
    return list(study_images(item("CT", study), aet="CT1", images=count, now=NOW))


def body(files: Iterable[bytes], boundary: bytes = b"part-of-it") -> bytes:
    parts = (b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files)
    return b"".join(parts) + b"--" + boundary + b"--\r\n"


def headers(**more: str) -> dict[str, str]:
    return {
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=part-of-it',
        "Accept": "application/dicom+json",
    } | {name.replace("_", "-"): value for name, value in more.items()}


def store(client: httpx.Client, files: Iterable[bytes], study: str | None = None) -> httpx.Response:
    path = f"/dicom-web/studies/{study}" if study else "/dicom-web/studies"
    return client.post(path, content=body(files), headers=headers())


def count(archive: httpx.Client, study: str = NEW) -> int:
    return len(archive.get(f"/dicom-web/studies/{study}/instances").json()) if study_known(archive, study) else 0


def study_known(archive: httpx.Client, study: str) -> bool:
    return bool(archive.get(f"/dicom-web/studies?StudyInstanceUID={study}").json())


def test_images_are_stored_once_and_as_they_are(site: Any) -> None:
    images = new_images(3)
    files = [stored(image) for image in images]
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        for path in (None, NEW):  # the second time they are there already
            answer = store(client, files, path)
            assert answer.status_code == 200, answer.text
            said = answer.json()
            assert set(said) == {"00081190", "00081199"}  # no empty FailedSOPSequence
            assert said["00081190"] == {"vr": "UR", "Value": [f"{site.base}/dicom-web/studies/{NEW}"]}
            assert [each["00081155"]["Value"][0] for each in said["00081199"]["Value"]] == [
                image.SOPInstanceUID for image in images
            ]
            for each, file in zip(said["00081199"]["Value"], files, strict=True):
                address = each["00081190"]["Value"][0]
                assert client.get(address, headers={"Accept": "application/dicom"}).content == file
            assert count(archive) == 3


def test_many_who_store_at_once_get_their_turns(site: Any) -> None:
    studies = [generate_uid() for _ in range(12)]
    with site.client(headers=site.bearer()) as client, ThreadPoolExecutor(12) as at_once:
        files = [[stored(image) for image in new_images(9, study)] for study in studies]
        answers = list(at_once.map(partial(store, client), files))
    assert [answer.status_code for answer in answers] == [200] * 12
    with direct(site) as archive:
        assert [count(archive, study) for study in studies] == [9] * 12


def test_two_who_store_the_same_at_once_store_it_once(site: Any) -> None:
    images = new_images(6, generate_uid())
    files = [[stored(image) for image in images]]
    others = deepcopy(images)
    for image in others:
        image.PatientName = "Somebody^Else"
    files.append([stored(image) for image in others])
    with site.client(headers=site.bearer()) as client, ThreadPoolExecutor(2) as at_once:
        answers = list(at_once.map(partial(store, client), files))
    stored_by = [
        {each["00081155"]["Value"][0] for each in answer.json().get("00081199", {"Value": []})["Value"]}
        for answer in answers
    ]
    assert stored_by[0] | stored_by[1] == {image.SOPInstanceUID for image in images}
    assert not stored_by[0] & stored_by[1]


def test_what_is_stored_already_is_not_replaced(site: Any) -> None:
    first, second = new_images(2)
    other = deepcopy(first)
    other.PatientName = "Somebody^Else"
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        store(client, [stored(first)])
        some = store(client, [stored(other), stored(second)])
        assert some.status_code == 202
        [failed] = some.json()["00081198"]["Value"]
        assert (failed["00081155"]["Value"], failed["00081197"]["Value"]) == ([first.SOPInstanceUID], [0x0111])
        assert len(some.json()["00081199"]["Value"]) == 1
        none = store(client, [stored(other)])
        assert none.status_code == 409
        assert "00081199" not in none.json()
        names = {
            row["00100010"]["Value"][0]["Alphabetic"]
            for row in archive.get(f"/dicom-web/studies/{NEW}/metadata").json()
        }
        assert names == {str(first.PatientName)}


def test_nothing_is_stored_of_a_request_with_something_foreign_in_it(site: Any) -> None:
    good, foreign = new_images(1)[0], new_images(1, ECHO)[0]
    stray = new_images(2)[1]
    stray.PatientID = "P2"
    into_ct = new_images(1, CT)[0]
    into_ct.PatientID = ""
    nameless = deepcopy(good)
    del nameless.StudyInstanceUID
    file = stored(good)
    series = str(good.SeriesInstanceUID).encode("ascii")
    escaping = file.replace(series, b"1.2/../../3".ljust(len(series), b"0"))
    deflated = file.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
    twice = file.replace(b"\x20\0\x0d\0UI", b"\x20\0\x0e\0UI", 1)  # a SeriesInstanceUID more
    with site.client(headers=site.bearer()) as client, direct(site) as archive:
        before = archive.get("/statistics").json()["CountInstances"]
        for files, path, status in (
            ([stored(good), stored(foreign)], None, 409),
            ([stored(good)], CT, 409),
            ([stored(good), stored(stray)], None, 409),
            ([stored(into_ct)], CT, 409),
            ([stored(good), stored(good)], None, 409),
            ([stored(good), b"not DICOM at all"], None, 400),
            ([stored(good)[:200], stored(good)], None, 400),
            ([stored(nameless)], None, 400),
            ([escaping], None, 400),
            ([stored(good), b""], None, 400),
            ([deflated], None, 400),
            ([twice], None, 400),
            ([], None, 400),
        ):
            answer = store(client, files, path)
            assert answer.status_code == status, answer.text
        assert archive.get("/statistics").json()["CountInstances"] == before


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"Content_Type": "application/dicom"}, 415),
        ({"Content_Type": 'multipart/related; type="application/dicom+json"; boundary=part-of-it'}, 415),
        ({"Content_Type": 'multipart/related; type="application/dicom"'}, 415),
        ({"Content_Encoding": "gzip"}, 415),
        ({"Content_Type": "multipart/related; type=application/dicom; boundary=other"}, 400),
        ({"Accept": "image/png"}, 406),
        ({"Content_Type": "multipart/related; boundary=part-of-it; type=application/dicom"}, 200),
        ({"Content_Type": 'multipart/related;type="application/dicom"; transfer-syntax=*; boundary="part-of-it"'}, 200),
    ],
)
def test_the_request_says_what_it_holds(site: Any, given: dict[str, str], status: int) -> None:
    with site.client(headers=site.bearer()) as client:
        files = body([stored(new_images(1)[0])])
        answer = client.post("/dicom-web/studies", content=files, headers=headers(**given))
        assert answer.status_code == status, answer.text


def test_who_may_store_and_what_is_written_down(site: Any) -> None:
    files = [stored(image) for image in new_images(1, CT)]
    with site.client() as viewer:
        assert viewer.post("/dicom-web/studies", content=body(files), headers=headers()).status_code == 401
        viewer.get(site.launch(CT))
        own = headers(Origin=site.base)
        assert viewer.post(f"/dicom-web/studies/{CT}", content=body(files), headers=own).status_code == 403


def annotation(study: str) -> Dataset:
    """What OHIF stores beside the images: a structured report."""
    [report] = new_images(1, study)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(report, keyword)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    report.Modality = "SR"
    return report


def test_a_viewer_that_may_annotate_stores_annotations_of_its_studies_and_nothing_else(site: Any) -> None:
    with site.client(headers=site.bearer()) as doctor, site.client() as viewer:
        asked = {"studies": [CT], "annotate": True}
        viewer.get(doctor.post("/api/v1/launch", json=asked).json()["url"])
        viewer.get(site.launch(ECHO))  # seen in the same browser, but not to be annotated
        viewer.headers["Origin"] = site.base
        assert store(viewer, [stored(annotation(CT))], CT).status_code == 200
        assert store(viewer, [stored(annotation(CT))]).status_code == 200  # OHIF names no study in the path
        for study in (ECHO, NEW):
            assert store(viewer, [stored(annotation(study))], study).status_code == 403
            assert store(viewer, [stored(annotation(study))]).status_code == 403
        assert store(viewer, [stored(new_images(1, CT)[0])], CT).status_code == 403
        viewer.headers["Origin"] = "https://elsewhere.example"
        assert store(viewer, [stored(annotation(CT))], CT).status_code == 403
        reader = site.client(headers=site.bearer("system/ImagingStudy.rs"))
        assert reader.post("/api/v1/launch", json=asked).status_code == 403
        assert reader.post("/api/v1/launch", json={"studies": [CT]}).status_code == 200
        reader.close()


def drawn_on(study: str) -> dict[str, Dataset]:
    """One object of each kind that people make in a viewer, of the patient of the study."""
    images = new_images(2, study)
    found = {"SEG": segmentation(images), "RTSTRUCT": structures(images), "SR": measurements(images)}
    for name, leaf in (("label map", "66.7"), ("surface", "66.5"), ("presentation state", "11.1"), ("KO", "88.59")):
        found[name] = deepcopy(found["SEG"])
        sop_class = f"1.2.840.10008.5.1.4.1.1.{leaf}"
        found[name].SOPClassUID = found[name].file_meta.MediaStorageSOPClassUID = sop_class
        found[name].SOPInstanceUID = found[name].file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return found


def test_a_shared_link_with_annotations_takes_what_is_drawn_and_one_without_takes_nothing(site: Any) -> None:
    drawn, [image] = drawn_on(CT), new_images(1, CT)
    with site.client(headers=site.bearer()) as doctor, direct(site) as archive:
        before = count(archive, CT)
        for ask in ({"annotate": False}, {"annotate": True}):
            link = doctor.post("/api/v1/share", json={"studies": [CT], **ask}).json()
            with site.client(headers={"Origin": site.base}) as viewer:
                opened = viewer.post("/viewer/share", data={"secret": link["url"].partition("#")[2]})
                assert opened.status_code == 303
                for kind, dataset in drawn.items():
                    answer = store(viewer, [stored(dataset)])
                    if ask["annotate"]:
                        assert (answer.status_code, len(answer.json()["00081199"]["Value"])) == (200, 1), kind
                    else:
                        assert (answer.status_code, answer.json()["status"]) == (403, 403), kind
                        assert answer.headers["content-type"] == "application/problem+json"
                assert store(viewer, [stored(image)]).status_code == 403
                mixed = [stored(drawn["SEG"]), stored(image)]
                assert store(viewer, mixed).status_code == 403, "nothing of it"
            if not ask["annotate"]:
                assert count(archive, CT) == before
        assert count(archive, CT) == before + len(drawn)


def test_scopes_say_who_may_store_and_it_is_written_down(site: Any) -> None:
    files = [stored(image) for image in new_images(1, CT)]
    for scopes in (("system/*.rs",), ("system/Patient.c",)):
        with site.client(headers=site.bearer(*scopes)) as reader:
            assert store(reader, files, CT).status_code == 403
    patient = site.patients[CT].removeprefix("Patient/")
    token = site.http.tokens.issue("app", ("patient/ImagingStudy.c",), patient=patient)
    with site.client(headers={"Authorization": f"Bearer {token}"}) as app:
        assert store(app, files, CT).status_code == 200
        assert store(app, [stored(new_images(1, ECHO)[0])]).status_code == 403
        assert store(app, [stored(new_images(1)[0])]).status_code == 403

    async def rows() -> Any:
        from interop.fhir.query import Query

        return await site.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=100)))

    events = [(row.event.outcome, row.event.entity) for row in site.run(rows) if row.event.subtype == "stow-rs"]
    assert ("0", f"urn:oid:{CT}") in events
    assert [outcome for outcome, _ in events].count("4") >= 3


def test_a_sender_that_leaves_leaves_nothing_behind(site: Any) -> None:
    address = urlsplit(site.base)
    whole = body([stored(image) for image in new_images(2)])
    with direct(site) as archive, socket.create_connection((address.hostname, address.port or 80)) as sender:
        lines = [
            f"POST /dicom-web/studies HTTP/1.1\r\nHost: {address.netloc}",
            f"Authorization: {site.bearer()['Authorization']}",
            f"Content-Type: {headers()['Content-Type']}",
            f"Content-Length: {len(whole)}",
        ]
        sender.sendall("\r\n".join([*lines, "", ""]).encode() + whole[:-40])
        time.sleep(0.5)
        sender.close()
        time.sleep(0.5)
        assert not study_known(archive, NEW)
    with site.client(headers=site.bearer()) as client:
        assert store(client, [stored(new_images(1)[0])]).status_code == 200


def test_an_archive_that_is_down_takes_nothing_and_the_answer_says_so(site: Any) -> None:
    files = [stored(image) for image in new_images(2)]
    with site.client(headers=site.bearer()) as client:
        asyncio.run(site.orthanc.stop(grace=0))
        answer = store(client, files)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        asyncio.run(site.orthanc.start())
        assert store(client, files).status_code == 200


def test_an_archive_that_dies_between_two_instances(site: Any) -> None:
    images = new_images(60)
    files = [stored(image) for image in images]
    with site.client(headers=site.bearer()) as client:

        def kill() -> None:
            with direct(site) as archive:
                while archive.get("/statistics").json()["CountInstances"] < before + 3:
                    time.sleep(0.005)
            asyncio.run(site.orthanc.stop(grace=0))

        with direct(site) as archive:
            before = archive.get("/statistics").json()["CountInstances"]
        killer = threading.Thread(target=kill)
        killer.start()
        answer = store(client, files)
        killer.join()
        assert answer.status_code == 202, answer.text
        said = answer.json()
        done = {each["00081155"]["Value"][0] for each in said["00081199"]["Value"]}
        failed = {each["00081155"]["Value"][0] for each in said["00081198"]["Value"]}
        assert done | failed == {image.SOPInstanceUID for image in images}
        assert not done & failed
        asyncio.run(site.orthanc.start())
        with direct(site) as archive:
            rows = archive.get(f"/dicom-web/studies/{NEW}/instances").json()
            assert done <= {row["00080018"]["Value"][0] for row in rows}
        again = store(client, files)
        assert again.status_code == 200, again.text


def test_a_large_body_does_not_lie_in_memory(site: Any) -> None:
    [image] = new_images(1)
    image.Rows = image.Columns = 6000
    image.PixelData = bytes(6000 * 6000 * 2)
    file = stored(image)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    whole = body([file, stored(image)])
    with site.client(headers=site.bearer()) as client:
        before = resident()
        most = [before]

        def sent() -> Iterable[bytes]:
            for start in range(0, len(whole), 1 << 20):
                most.append(resident())
                yield whole[start : start + (1 << 20)]

        answer = client.post("/dicom-web/studies", content=sent(), headers=headers())
        assert answer.status_code == 200, answer.text
        assert max(most) - before < 40_000_000


def resident() -> int:
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
