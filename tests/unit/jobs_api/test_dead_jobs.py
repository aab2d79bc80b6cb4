"""Dead letters of every kind: seen by whoever may see what they are about, owed again, given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interop.access import Agent
from interop.errors import ConflictError, ForbiddenError, InvalidContentError, NotFoundError
from interop.fhir.query import Query
from interop.jobs_api import DeadJobs
from interop.store import Store
from interop.workflow.dead_jobs import TYPES
from tests.hospital import Hospital, an_order
from tests.sites import RIS, a_site

ENGINEER = Agent("engineer", "user", client="cli", scopes=frozenset({"system/*.cruds"}))


async def buried(store: Store, kind: str, key: str, payload: dict[str, Any], why: str = "it was refused") -> int:
    """A dead letter."""
    await store.unit(ENGINEER, lambda tx: tx.enqueue(kind, key, payload))
    (job,) = await store.claim([kind], 1, 60.0)
    assert await store.bury(job, why)
    return job.id


async def steered(store: Store) -> list[tuple[str, str, str | None]]:
    """Who did what to which job, as the audit trail has it."""
    rows = await store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=500)))
    return [(row.agent.who, row.event.subtype, row.event.detail) for row in rows if row.event.kind == "steering"]


async def test_they_are_listed_by_kind_and_in_pages_with_what_they_are_about(store: Store) -> None:
    first = await buried(store, "tags", "1.2", {"study": "1.2"}, "no archive orthanc")
    second = await buried(store, "report-pdf", "r1", {"report": "r1", "studies": ["1.2"]})
    third = await buried(store, "worklist", "o1", {"order": "o1"})
    dead = DeadJobs(store)
    page = await dead.list(ENGINEER, {"limit": "2"})
    assert [(one["id"], one["about"]) for one in page["jobs"]] == [
        (third, "ServiceRequest/o1"),
        (second, "DiagnosticReport/r1"),
    ]
    rest = await dead.list(ENGINEER, {"limit": "2", "before": str(page["next"])})
    assert rest["next"] is None
    [one] = rest["jobs"]
    assert one["created"]
    told = (one["id"], one["kind"], one["about"], one["state"], one["attempts"], one["error"])
    assert told == (first, "tags", "urn:oid:1.2", "dead", 1, "no archive orthanc")
    assert (await dead.list(ENGINEER, {"kind": "tags"}))["jobs"] == [one]
    assert await store.view(lambda tx: tx.dead_counts()) == {"report-pdf": 1, "tags": 1, "worklist": 1}
    assert [what for _, what, _ in await steered(store)] == ["list-jobs"] * 3


@pytest.mark.parametrize(
    "words", [{"kind": "laundry"}, {"limit": "0"}, {"limit": "501"}, {"before": "x"}, {"state": "x"}]
)
async def test_a_question_that_asks_nothing_is_refused(store: Store, words: dict[str, str]) -> None:
    with pytest.raises(InvalidContentError):
        await DeadJobs(store).list(ENGINEER, words)


async def test_one_that_is_retried_is_owed_again_and_one_that_is_dropped_no_more(store: Store) -> None:
    dead = DeadJobs(store)
    kept = await buried(store, "report-pdf", "r1", {"report": "r1", "studies": []})
    gone = await buried(store, "report-pdf", "r2", {"report": "r2", "studies": []})
    assert (await dead.act("retry", ENGINEER, kept))["state"] == "ready"
    assert (await dead.act("drop", ENGINEER, gone))["state"] == "dropped"
    (claimed,) = await store.claim(["report-pdf"], 10, 60.0)
    assert (claimed.id, claimed.attempt) == (kept, 2)
    for id in (kept, gone, 999):
        with pytest.raises(NotFoundError, match=str(id)):
            await dead.act("retry", ENGINEER, id)
    assert await steered(store) == [
        ("engineer", "retry", f"job {kept} (report-pdf), DiagnosticReport/r1"),
        ("engineer", "drop", f"job {gone} (report-pdf), DiagnosticReport/r2"),
    ]


async def test_whoever_may_not_change_what_it_is_about_may_not_steer_it(store: Store) -> None:
    tags = await buried(store, "tags", "1.2", {"study": "1.2"})
    await buried(store, "report-pdf", "r1", {"report": "r1", "studies": []})
    dead, nurse = DeadJobs(store), replace(ENGINEER, scopes=frozenset({"user/ImagingStudy.rs"}))
    assert [one["id"] for one in (await dead.list(nurse, {}))["jobs"]] == [tags]
    for verb in ("retry", "drop"):
        with pytest.raises(ForbiddenError):
            await dead.act(verb, nurse, tags)
    with pytest.raises(ForbiddenError):
        await dead.list(nurse, {"kind": "report-pdf"})
    own = replace(ENGINEER, scopes=frozenset({"patient/*.cruds"}), patient="p1")
    with pytest.raises(ForbiddenError):
        await dead.list(own, {})
    assert (await dead.act("retry", ENGINEER, tags))["state"] == "ready"


async def test_a_message_and_its_job_stay_of_one_mind(store: Store) -> None:
    hospital, dead = Hospital(store, a_site(RIS)), DeadJobs(store)
    patient = await hospital.patient()
    await hospital.post(an_order(patient))
    (row,) = await hospital.outgoing()

    async def refused() -> int:
        (job,) = await store.claim(["send"], 1, 60.0)
        await store.unit(ENGINEER, lambda tx: tx.update_message(row.id, state="dead", attempts=1, issues=[]))
        await store.bury(job, "AR")
        return job.id

    id = await refused()
    [shown] = (await dead.list(ENGINEER, {}))["jobs"]
    assert (shown["id"], shown["about"]) == (id, f"message {row.id}")
    await dead.act("retry", ENGINEER, id)
    assert [one.state for one in await hospital.outgoing()] == ["queued"]
    await dead.act("drop", ENGINEER, await refused())
    assert [one.state for one in await hospital.outgoing()] == ["dropped"]
    assert await store.view(lambda tx: tx.dead_jobs()) == []
    stray = await buried(store, "send", "RIS:x", {"message": row.id})
    with pytest.raises(ConflictError, match="dropped by now"):
        await dead.act("retry", ENGINEER, stray)
    nothing = await buried(store, "send", "RIS:y", {"message": 4711})
    with pytest.raises(ConflictError, match="can only be dropped"):
        await dead.act("retry", ENGINEER, nothing)
    for one in (stray, nothing):
        assert (await dead.act("drop", ENGINEER, one))["state"] == "dropped"


async def test_a_subscription_in_error_says_what_is_to_be_done(store: Store) -> None:
    def fallen(status: str) -> dict[str, Any]:
        channel = {"type": "rest-hook", "endpoint": "https://app.example/hook"}
        return {"resourceType": "Subscription", "id": "s1", "status": status, "criteria": "Patient?", "reason": "x"} | {
            "channel": channel
        }

    await store.unit(ENGINEER, lambda tx: tx.create(fallen("error"), id="s1"))
    id = await buried(store, "notify", "s1:Patient/p", {"subscription": "s1", "event": 1})
    with pytest.raises(ConflictError, match=r"Subscription/s1 is in error: PUT it with status requested"):
        await DeadJobs(store).act("retry", ENGINEER, id)
    await store.unit(ENGINEER, lambda tx: tx.update(fallen("active")))
    assert (await DeadJobs(store).act("retry", ENGINEER, id))["about"] == "Subscription/s1"


def test_every_kind_that_is_run_has_a_name_to_the_scopes() -> None:
    """The lanes of the worker, by the kinds that they claim."""
    import ast
    from pathlib import Path

    import interop

    root = Path(interop.__file__).parent
    owed = set()
    for file in [*root.rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "enqueue":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    owed.add(first.value)
    assert {"send", "worklist", "notify", "subscription", "heartbeat"} <= owed
    assert owed <= TYPES.keys()
