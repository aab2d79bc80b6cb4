"""/api/v1/imaging: who may list and decide, what the answers are, and what is refused."""

from __future__ import annotations

import pytest

from interop.fhir.query import Query
from interop.store import Tx
from interop.workflow import tag_corrections
from tests.hl7_messages import orm
from tests.hospital import EMR, Hospital, images
from tests.unit.web.conftest import Web

UID = "2.25.77"
SCOPES = ("system/ImagingStudy.rus", "system/ServiceRequest.rus", "system/Patient.u")
PATH = f"/api/v1/imaging/studies/{UID}"


async def _a_stray(web: Web) -> str:
    hospital = Hospital(web.store)
    order = (await hospital.send(orm(accession="M1"))).orders[0]
    await hospital.register(images(UID, 1, accession="M1", patient_id="666"))
    return order


@pytest.mark.parametrize("left_out", range(2))
async def test_deciding_needs_the_right_to_both(web: Web, left_out: int) -> None:
    async with web.client() as client:
        order = await _a_stray(web)
        some = [scope for position, scope in enumerate(SCOPES) if position != left_out]
        for method, path in (
            ("GET", "/api/v1/imaging/unmatched"),
            ("GET", f"{PATH}/match"),
            ("POST", f"{PATH}/match"),
            ("POST", f"{PATH}/unmatch"),
            ("POST", f"{PATH}/merge"),
        ):
            answer = await client.request(method, path, headers=web.bearer(*some), json={"order": order})
            assert answer.status_code == 403, path
        answer = await client.post(f"{PATH}/merge", headers=web.bearer(*SCOPES[:2]))
        assert answer.status_code == 403


async def test_a_stray_is_listed_matched_taken_back_and_matched_again(web: Web) -> None:
    async with web.client() as client:
        order = await _a_stray(web)
        bearer = web.bearer(*SCOPES)
        (study,) = (await client.get("/api/v1/imaging/unmatched", headers=bearer)).json()["studies"]
        assert (study["study_uid"], study["why"]) == (UID, "other-patient")
        best = study["candidates"][0]["order"]
        assert best == f"ServiceRequest/{order}"
        assert (await client.post(f"{PATH}/unmatch", headers=bearer)).status_code == 409
        done = await client.post(f"{PATH}/match", headers=bearer, json={"order": best})
        assert (done.status_code, done.json()["order"], done.json()["person"]) == (200, best, True)
        assert (await client.get("/api/v1/imaging/unmatched", headers=bearer)).json() == {"studies": [], "next": None}
        assert (await client.post(f"{PATH}/unmatch", headers=bearer)).json()["rule"] == "undone"
        assert (await client.post(f"{PATH}/match", headers=bearer, json={"order": order})).status_code == 200
        assert (await client.post(f"{PATH}/merge", headers=bearer)).json()["rule"] == "merged"
        assert (await client.post(f"{PATH}/merge", headers=bearer)).status_code == 409
        shown = (await client.get(f"{PATH}/match", headers=bearer)).json()
        assert [one["rule"] for one in shown["decisions"]] == [
            "merged",
            "person",
            "undone",
            "person",
            "other-patient",
        ]
        rows = await web.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=500)))
        refused = [one.event.subtype for one in rows if one.event.kind == "match" and one.event.outcome == "4"]
        assert sorted(refused) == ["merge", "other-patient", "undo"]


async def test_tags_are_corrected_where_that_is_asked_for(web: Web) -> None:
    async with web.client() as client:
        order = await _a_stray(web)
        bearer = web.bearer(*SCOPES)
        await web.store.unit(EMR, lambda tx: tx.place_study(UID, "elsewhere"))
        refused = await client.post(f"{PATH}/match", headers=bearer, json={"order": order, "correct": True})
        assert (refused.status_code, "archive elsewhere" in refused.json()["detail"]) == (409, True)
        assert len((await client.get("/api/v1/imaging/unmatched", headers=bearer)).json()["studies"]) == 1
        await web.store.unit(EMR, lambda tx: tx.place_study(UID, "orthanc"))
        assert "tags" not in (await client.post(f"{PATH}/match", headers=bearer, json={"order": order})).json()
        done = await client.post(f"{PATH}/match", headers=bearer, json={"order": order, "correct": True})
        assert (done.json()["tags"]["verb"], done.json()["tags"]["state"]) == ("correct", "asked")
        assert "Παπαδόπουλος" not in done.text
        shown = (await client.get(f"{PATH}/match", headers=bearer)).json()
        assert shown["tags"] == done.json()["tags"]
        undone = (await client.post(f"{PATH}/unmatch", headers=bearer)).json()
        assert (undone["tags"]["verb"], undone["tags"]["done"]) == ("restore", 0)


async def test_a_correction_that_could_not_be_put_back_is_asked_for_again(web: Web) -> None:
    async with web.client() as client:
        order = await _a_stray(web)
        bearer = web.bearer(*SCOPES)
        await client.post(f"{PATH}/match", headers=bearer, json={"order": order, "correct": True})
        await client.post(f"{PATH}/unmatch", headers=bearer)
        assert (await client.post(f"{PATH}/unmatch", headers=bearer)).status_code == 409

        def give_up(tx: Tx) -> None:
            reached = tag_corrections.read(tx, UID)
            assert reached is not None
            tag_corrections.fail(tx, UID, reached, "no")

        await web.store.unit(EMR, give_up)
        again = await client.post(f"{PATH}/unmatch", headers=bearer)
        assert (again.status_code, again.json()["tags"]["state"]) == (200, "asked")


@pytest.mark.parametrize(
    "body",
    [
        b'{"order": "a", "correct": "yes"}',
        b"",
        b"{}",
        b'{"order": 1}',
        b'{"order": "x/../y"}',
        b'{"order": "a", "b": 1}',
        b"[",
    ],
)
async def test_a_body_that_names_no_order_is_refused(web: Web, body: bytes) -> None:
    async with web.client() as client:
        answer = await client.post(f"{PATH}/match", headers=web.bearer(*SCOPES), content=body)
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/imaging/unmatched?limit=0", 400),
        ("/api/v1/imaging/unmatched?limit=%C2%B2", 400),
        ("/api/v1/imaging/unmatched?what=1", 400),
        ("/api/v1/imaging/studies/1.2.3.99/match", 404),
        ("/api/v1/imaging/studies/x/match", 404),
    ],
)
async def test_what_asks_nothing_is_refused(web: Web, path: str, status: int) -> None:
    async with web.client() as client:
        assert (await client.get(path, headers=web.bearer(*SCOPES))).status_code == status
