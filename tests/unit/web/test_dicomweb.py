"""What reaches the archive, what comes back, and what is written down of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from interop.errors import UnavailableError

A, B = "1.2.3.1", "1.2.3.2"
INSTANCE = f"/dicom-web/studies/{A}/series/1.2.3.4/instances/1.2.3.5"
FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"


async def get(web: Any, path: str, **headers: str) -> httpx.Response:
    async with web.client() as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response: httpx.Response = await client.get(path, headers=web.bearer() | named)
        return response


async def test_only_what_matters_goes_on_and_the_archive_learns_where_clients_are(web: Any) -> None:
    await get(
        web, f"{INSTANCE}/frames/1", Accept=FRAMES, Accept_Encoding="gzip, br", Range="bytes=0-9", Cookie="secret=1"
    )
    path, headers = web.archive.asked[-1]
    assert path == f"{INSTANCE}/frames/1"
    assert headers == {
        "accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        "forwarded": "host=testserver;proto=http",
        "range": "bytes=0-9",
    }


@pytest.mark.parametrize("host", ["evil.example/x", "a b", "x;proto=https", "[::1", "x,y", "a@b"])
async def test_a_strange_host_is_refused(web: Any, host: str) -> None:
    assert (await get(web, f"{INSTANCE}/metadata", Host=host)).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/dicom-web",
        "/dicom-web/",
        "/dicom-web/patients",
        "/dicom-web/studies/",
        f"/dicom-web/studies/{A}/",
        "/dicom-web/studies/abc",
        "/dicom-web/studies/1..2",
        "/dicom-web/studies/.1",
        f"/dicom-web/studies/{'1' * 65}",
        f"/dicom-web/studies/{A}/frames/1",
        f"/dicom-web/studies/{A}/bulk/7FE00010",
        f"/dicom-web/studies/{A}/series/1.2/series",
        f"{INSTANCE}/frames/",
        f"{INSTANCE}/frames/1/metadata",
        f"{INSTANCE}/frames/-1",
        f"{INSTANCE}/frames/1,",
        f"{INSTANCE}/bulk",
        f"{INSTANCE}/bulk/xyz",
        f"{INSTANCE}/bulk/7FE00010/secret",
        f"{INSTANCE}/instances",
        "/dicom-web/servers",
        "/dicom-web/studies/1.2.3.1/archive",
    ],
)
async def test_what_is_not_in_the_grammar_does_not_exist(web: Any, path: str) -> None:
    answer = await get(web, path)
    assert answer.status_code == 404
    assert web.archive.asked == []


@pytest.mark.parametrize("path", ["/dicom-web/%2e%2e/system", "/dicom-web/studies%2f1.2", "/dicom-web/studies/1.2%00"])
async def test_escapes_do_not_help(web: Any, path: str) -> None:
    assert (await get(web, path)).status_code in (400, 404)
    assert web.archive.asked == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_only_reading_and_storing_of_studies_is_offered(web: Any, method: str) -> None:
    async with web.client(headers=web.bearer()) as client:
        for path in ("studies", f"studies/{A}", "series", f"studies/{A}/series", f"studies/{A}/metadata", "studies/"):
            answer = await client.request(method, f"/dicom-web/{path}")
            stores = method == "POST" and path in ("studies", f"studies/{A}")
            assert answer.status_code == (415 if stores else 405), path  # 415: it came without a body of DICOM files
    assert web.archive.asked == []


async def test_who_may_not_store_is_told_so_before_the_body_is_read(web: Any) -> None:
    async def body() -> Any:
        raise AssertionError("it was read")
        yield b""

    named = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    async with web.client(headers=web.bearer("system/*.rs") | named) as reader:
        assert (await reader.post(f"/dicom-web/studies/{A}", content=body())).status_code == 403
    async with web.client(headers=web.bearer() | named) as client:
        large = await client.post("/dicom-web/studies", content=body(), headers={"Content-Length": str(1 << 40)})
        assert large.status_code == 413
    refused = await web.events(subtype="stow-rs")
    assert {row.event.outcome for row in refused} == {"4"}


async def test_the_archives_own_words_never_come_through(web: Any) -> None:
    fake = web.archive.Answer
    secret = b'{"Uri":"/dicom-web","Message":"10.0.0.9 interop:secret"}'
    for status in (400, 401, 403, 404, 406, 415, 500, 501, 502, 503):
        web.archive.answer = lambda path, headers, status=status: fake(status, [(b"server", b"Orthanc")], [secret])
        for path in ("", "/metadata", "/rendered", "/frames/1", "/bulk/7FE00010"):
            answer = await get(web, INSTANCE + path)
            assert answer.status_code >= 400
            assert answer.status_code not in (401, 403), "the archive's refusal of us is no refusal of the caller"
            assert "secret" not in answer.text
            assert "server" not in answer.headers


async def test_the_archive_down_is_503_with_a_time_to_come_back(web: Any) -> None:
    web.archive.down = True
    for path in (f"{INSTANCE}/frames/1", "/dicom-web/studies", f"/dicom-web/studies/{A}/series"):
        answer = await get(web, path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


async def test_a_failure_on_any_transfer_syntax_is_asked_again_without(web: Any) -> None:
    fake = web.archive.Answer
    web.archive.answer = lambda path, headers: (
        fake(500, [], []) if "transfer-syntax" in headers["accept"] else fake(200, [(b"content-length", b"2")], [b"ok"])
    )
    assert (await get(web, f"{INSTANCE}/frames/1", Accept=FRAMES)).content == b"ok"
    assert len([path for path, _ in web.archive.asked if "/frames/" in path]) == 2


async def test_thumbnails_and_viewports_are_put_as_the_archive_reads_them(web: Any) -> None:
    await get(web, f"{INSTANCE}/thumbnail")
    await get(web, f"{INSTANCE}/rendered?viewport=256%2C128&quality=90&script=x&window=40,400,linear")
    assert [path for path, _ in web.archive.asked] == [
        "/tools/find",  # whose study, for its series may be as it was when a thumbnail was made
        f"{INSTANCE}/metadata",  # for the window that the image brings along
        f"{INSTANCE}/rendered?viewport=128,128",
        f"{INSTANCE}/rendered?viewport=256,128&quality=90&window=40,400,linear",
    ]
    assert (await get(web, f"{INSTANCE}/rendered?viewport=1%0d%0aX:y")).status_code == 400


async def test_what_would_end_the_archive_never_reaches_it(web: Any) -> None:
    wado = f"/dicom-web/wado?requestType=WADO&studyUID={A}&seriesUID=1.3&objectUID=1.4"
    for path in (
        f"{INSTANCE}/rendered?viewport=0,0",
        f"{INSTANCE}/frames/1/thumbnail?viewport=256,0",
        f"/dicom-web/studies/{A}/thumbnail?viewport=99999,99999",
        f"{wado}&rows=0",
        f"{wado}&rows=99999&columns=99999",
        f"{INSTANCE}/rendered?window=40,400,sigmoid",  # it would be drawn as a line
    ):
        assert (await get(web, path)).status_code == 400, path
    assert web.archive.asked == []


async def test_a_frame_that_there_is_not_is_404(web: Any) -> None:
    fake = web.archive.Answer
    web.archive.answer = lambda path, headers: (
        fake(200, [], [b'[{"00280008": {"vr": "IS", "Value": [2]}}]'])
        if path.endswith("/metadata")
        else fake(200, [(b"content-length", b"2")], [b"ok"])
    )
    statuses = [(await get(web, f"{INSTANCE}/frames/{number}/rendered")).status_code for number in (0, 1, 2, 3)]
    assert statuses == [404, 200, 200, 404]


async def test_a_single_part_is_unwrapped(web: Any) -> None:
    fake = web.archive.Answer
    head = b"--b\r\nContent-Type: application/octet-stream\r\nContent-Length: 11\r\n\r\n"
    whole = head + b"%PDF-1.4 ab" + b"\r\n--b--"
    headers = [(b"content-type", b'multipart/related; boundary="b"'), (b"content-length", b"%d" % len(whole))]
    for size in (1, 7, 1000):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        web.archive.answer = lambda path, named, pieces=pieces: fake(200, list(headers), list(pieces))
        answer = await get(web, f"{INSTANCE}/bulk/00420011", Accept="application/pdf")
        assert answer.content == b"%PDF-1.4 ab"
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.headers["content-length"] == "11"
        plain = await get(web, f"{INSTANCE}/bulk/00420011", Accept="application/octet-stream")
        assert plain.headers["content-type"] == "application/octet-stream"


async def test_pixels_that_are_coded_are_called_so(web: Any) -> None:
    fake = web.archive.Answer
    for syntax, kind in (
        ("1.2.840.10008.1.2.1", "application/octet-stream"),
        ("1.2.840.10008.1.2.4.90", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.90"),
    ):
        head = f"--b\r\nContent-Type: image/x; transfer-syntax={syntax}\r\nContent-Length: 10\r\n\r\n".encode()
        whole = head + b"0123456789\r\n--b--"
        given = [(b"content-type", b"multipart/related; boundary=b"), (b"content-length", b"%d" % len(whole))]
        web.archive.answer = lambda path, named, given=given, whole=whole: fake(200, list(given), [whole])
        answer = await get(web, f"{INSTANCE}/frames/1", Accept="application/octet-stream")
        assert (answer.content, answer.headers["content-type"]) == (b"0123456789", kind)


async def test_files_that_the_archive_cannot_decode_come_as_they_are_stored(web: Any) -> None:
    fake = web.archive.Answer
    web.archive.answer = lambda path, headers: (
        fake(200, [(b"content-length", b"2")], [b"ok"])
        if "transfer-syntax=*" in headers["accept"]
        else fake(500, [], [])
    )
    assert (await get(web, INSTANCE, Accept="*/*")).content == b"ok"
    named = "1.2.840.10008.1.2.4.90"
    asked = await get(web, INSTANCE, Accept=f'multipart/related; type="application/dicom"; transfer-syntax={named}')
    assert asked.status_code == 406, "it was asked for what the archive does not make"
    web.archive.answer = lambda path, headers: fake(500, [], [])
    assert (await get(web, INSTANCE, Accept="*/*")).status_code == 502


async def test_a_frame_that_cannot_be_coded_so_is_406_and_one_that_there_is_not_404(web: Any) -> None:
    fake = web.archive.Answer
    web.archive.answer = lambda path, headers: fake(400, [], [])
    for syntax, status in (("1.2.840.10008.1.2.4.90", 406), ("1.2.840.10008.1.2.1", 404), ("*", 404)):
        accept = f'multipart/related; type="application/octet-stream"; transfer-syntax={syntax}'
        assert (await get(web, f"{INSTANCE}/frames/9", Accept=accept)).status_code == status


async def test_the_form_may_be_said_in_the_query(web: Any) -> None:
    for query in ("accept=application/dicom%2Bjson", "accept=application/dicom+json&charset=utf-8"):
        answer = await get(web, f"{INSTANCE}/metadata?{query}", Accept="text/html")
        assert answer.status_code == 200
        found = await get(web, f"/dicom-web/studies?{query}&PatientID=1", Accept="text/html")
        assert found.status_code == 200
        assert "accept" not in web.archive.asked[-1][0]
        await get(web, f"/dicom-web/studies/{A}/series?{query}", Accept="text/html")
        assert web.archive.asked[-1][0] == f"/dicom-web/studies/{A}/series"
    assert (await get(web, "/dicom-web/studies?accept=text/html")).status_code == 406


async def test_only_a_pdf_is_called_one(web: Any) -> None:
    fake = web.archive.Answer
    page = b"<html><script>alert(1)</script>"
    whole = b"--b\r\nContent-Length: %d\r\n\r\n%s\r\n--b--" % (len(page), page)
    web.archive.answer = lambda path, named: fake(200, [(b"content-type", b"multipart/related; boundary=b")], [whole])
    answer = await get(web, f"{INSTANCE}/bulk/00420011", Accept="text/html")
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/frames/1", "image/png"),
        ("/frames/1,2", "application/octet-stream"),
        ("/rendered", "video/mp4"),
        ("/metadata", "text/html"),
        ("", "application/zip"),
        ("/bulk/7FE00010", "image/jpeg"),
    ],
)
async def test_what_nobody_can_give_is_406(web: Any, path: str, accept: str) -> None:
    assert (await get(web, INSTANCE + path, Accept=accept)).status_code == 406
    assert web.archive.asked == []


async def test_a_study_cut_short_is_not_passed_off_as_whole(web: Any) -> None:
    fake = web.archive.Answer
    headers = [(b"content-type", b'multipart/related; type="application/dicom"; boundary=b')]
    whole = [b"--b\r\n\r\nDICM", b"...\r\n--b--\r\n"]
    web.archive.answer = lambda path, named: fake(200, headers, list(whole), ends_with_connection=True)
    assert (await get(web, f"/dicom-web/studies/{A}")).content == b"".join(whole)
    web.archive.answer = lambda path, named: fake(200, headers, whole[:1], ends_with_connection=True)
    with pytest.raises(AssertionError):  # httpx's transport: the response was never completed
        await get(web, f"/dicom-web/studies/{A}")


@pytest.mark.parametrize(
    "query",
    ["limit=x", "offset=-1", "a=b%00", "<x>=1", "StudyInstanceUID=a*", "x=" + "1" * 600, "&".join(["a=b"] * 80)],
)
async def test_a_query_that_dicom_does_not_know_is_refused(web: Any, query: str) -> None:
    assert (await get(web, f"/dicom-web/studies?{query}")).status_code == 400


async def test_searches_are_limited(web: Any) -> None:
    await get(web, "/dicom-web/studies?limit=1000000000&PatientName=Pap*&includefield=00081030,00080060")
    asked = web.archive.asked[-1][0]
    assert "limit=1000&" in asked
    assert "PatientName=Pap*" in asked
    assert "includefield=00081030,00080060" in asked


async def test_who_does_not_get_all_rows_is_told_so(web: Any) -> None:
    web.archive.studies = [f"1.2.3.{number}" for number in range(5)]
    cut = await get(web, "/dicom-web/studies?limit=2")
    assert len(cut.json()) == 2
    assert cut.headers["warning"] == '299 testserver "There are additional results that can be requested."'
    uids = ",".join(web.archive.studies)
    known = await get(web, f"/dicom-web/studies?limit=2&offset=1&StudyInstanceUID={uids}")
    assert [row["0020000D"]["Value"] for row in known.json()] == [["1.2.3.1"], ["1.2.3.2"]]
    assert known.headers["warning"] == '299 testserver "There are 2 additional results that can be requested."'
    for query in ("", "?limit=5", f"?limit=2&offset=3&StudyInstanceUID={uids}"):
        assert "warning" not in (await get(web, f"/dicom-web/studies{query}")).headers, query
    fake = web.archive.Answer
    web.archive.answer = lambda path, headers: fake(200, [], [b"[{}, {}, {}]"])
    within = await get(web, f"/dicom-web/studies/{A}/instances?limit=2")
    assert (len(within.json()), within.headers["warning"]) == (2, cut.headers["warning"])
    assert "limit=3&offset=0" in web.archive.asked[-1][0]
    assert "warning" not in (await get(web, f"/dicom-web/studies/{A}/instances?limit=3")).headers
    web.archive.asked.clear()
    for path in ("studies", f"studies/{A}/series"):
        nothing = await get(web, f"/dicom-web/{path}?limit=0")
        assert (nothing.json(), web.archive.asked) == ([], [])


async def test_what_a_search_leaves_unheard_is_said(web: Any) -> None:
    fake = web.archive.Answer
    web.archive.answer = lambda path, headers: fake(200, [], [b"[]"])
    for path in ("studies", f"studies/{A}/series"):
        answer = await get(web, f"/dicom-web/{path}?patientid=1&fuzzymatching=TRUE&PatientID=2")
        assert answer.headers.get_list("warning") == [
            '299 testserver "The fuzzymatching parameter is not supported. Only literal matching has been performed."',
            '299 testserver "patientid is no attribute that this archive searches by. It was ignored."',
        ]
    assert (await get(web, f"/dicom-web/studies/{A}/series?StudyDate=2026-08-01")).status_code == 400
    answer = await get(web, "/dicom-web/studies?nonsense=a%20b&StudyInstanceUID=*")
    assert (answer.status_code, len(answer.headers.get_list("warning"))) == (200, 1)
    assert web.archive.asked[-1][0] == "/dicom-web/studies?StudyInstanceUID=&limit=1000&offset=0"


async def test_long_lists_of_uids_are_searched_for(web: Any) -> None:
    web.archive.studies = [f"1.2.826.0.1.3680043.8.498.{number}" for number in range(100)]
    answer = await get(web, f"/dicom-web/studies?StudyInstanceUID={','.join(web.archive.studies)}")
    assert len(answer.json()) == 100


async def test_pixels_may_stay_in_the_browsers_own_cache_and_nothing_else_may(web: Any) -> None:
    for path in ("/frames/1", "/rendered"):
        answer = await get(web, INSTANCE + path)
        assert answer.headers["cache-control"] == "private, max-age=86400, immutable"
        assert "Cookie" in answer.headers["vary"]
        assert "Authorization" in answer.headers["vary"]
    for path in (f"{INSTANCE}/metadata", "/dicom-web/studies", f"/dicom-web/studies/{A}/series"):
        assert (await get(web, path)).headers["cache-control"] == "no-store"


# What is written down


async def test_an_access_is_one_event_per_agent_study_and_verb(web: Any) -> None:
    for _ in range(3):
        await get(web, f"{INSTANCE}/frames/1")
        await get(web, f"{INSTANCE}/metadata")
        await get(web, f"/dicom-web/studies/{A}/series")
        await get(web, f"/dicom-web/studies?StudyInstanceUID={A}")
    [read] = await web.events(kind="dicom-transfer")
    assert (read.event.subtype, read.event.action, read.event.outcome) == ("wado-rs", "R", "0")
    assert (read.event.patient, read.event.entity) == (web.patients[A], f"urn:oid:{A}")
    assert (read.agent.who, read.agent.address) == ("dr", "192.0.2.7")
    [searched] = await web.events(kind="dicom-query")
    assert (searched.event.subtype, searched.event.action, searched.event.patient) == ("qido-rs", "E", web.patients[A])


async def test_a_list_names_every_patient_it_showed(web: Any) -> None:
    await get(web, "/dicom-web/studies?PatientName=*")
    events = await web.events(kind="dicom-query")
    assert {row.event.patient for row in events} == set(web.patients.values())
    assert {row.event.query for row in events} == {"GET /dicom-web/studies?PatientName=*"}


async def test_a_search_that_finds_nothing_is_written_down_too(web: Any) -> None:
    web.archive.studies = []
    await get(web, "/dicom-web/studies?PatientID=9")
    await get(web, "/dicom-web/studies?PatientID=9")
    [event] = await web.events(kind="dicom-query")
    assert (event.event.patient, event.event.entity) == (None, None)


async def test_a_refusal_is_written_down_once(web: Any) -> None:
    async with web.viewer(A) as client:
        for _ in range(3):
            await client.get(f"/dicom-web/studies/{B}/series/1.2/metadata")
    [event] = await web.events(kind="dicom-transfer")
    assert (event.event.outcome, event.event.patient) == ("4", web.patients[B])
    assert event.agent.kind == "viewer"


async def test_nothing_is_shown_that_cannot_be_written_down(web: Any) -> None:
    sent: list[Any] = []

    async def full(agent: Any, work: Any, **options: Any) -> Any:
        raise UnavailableError("the database is full")

    original, web.store.unit = web.store.unit, full
    try:
        for path in (f"{INSTANCE}/frames/1", "/dicom-web/studies"):
            answer = await get(web, path)
            sent.append(answer.status_code)
            assert answer.content.find(b"pixels") < 0
    finally:
        web.store.unit = original
    assert sent == [503, 503]


async def test_an_access_before_the_study_is_registered_is_completed_later(web: Any) -> None:
    web.archive.studies.append("1.2.3.9")
    await get(web, "/dicom-web/studies/1.2.3.9/series")
    [event] = await web.events(kind="dicom-query")
    assert event.event.patient is None
    assert event.event.entity == "urn:oid:1.2.3.9"
