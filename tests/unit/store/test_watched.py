"""Which writes owe a notice."""

from __future__ import annotations

import time

from interop.access import system_agent
from interop.store import Store
from interop.store.watched import FRESH_SECONDS, Watched
from interop.workflow.subscriptions import SETTLE
from tests.fhir_door import patient

AGENT = system_agent("test")


def test_nothing_is_watched_until_somebody_says_so() -> None:
    assert "Patient" not in Watched()


def test_what_was_told_holds_until_it_is_old_and_then_all_is_watched() -> None:
    watched = Watched()
    watched.tell(["Patient"], time.monotonic())
    assert "Patient" in watched
    assert "Encounter" not in watched
    old = Watched()
    old.tell([], time.monotonic() - FRESH_SECONDS - 0.1)
    assert "Encounter" in old


def test_a_subscription_begins_later_than_an_answer_can_be_old() -> None:
    assert SETTLE.total_seconds() > FRESH_SECONDS


async def test_each_version_of_a_watched_type_owes_a_notice_and_a_deletion_none(store: Store) -> None:
    await store.look_for_watchers(lambda tx: ["Patient"])
    made = await store.unit(AGENT, lambda tx: tx.create(patient()))
    await store.unit(AGENT, lambda tx: tx.update({**made.resource(), "active": True}))
    await store.unit(AGENT, lambda tx: tx.update({**made.resource(), "active": True}))  # nothing new
    await store.unit(AGENT, lambda tx: tx.delete("Patient", made.id))
    first = await store.claim(["notice"], 10, 60.0)
    assert [(job.key, job.payload["version"]) for job in first] == [(f"Patient/{made.id}", 1)]
    await store.finish(first[0])
    second = await store.claim(["notice"], 10, 60.0)
    assert [job.payload["version"] for job in second] == [2]
    await store.finish(second[0])
    assert await store.claim(["notice"], 10, 60.0) == []


async def test_dead_letters_of_a_prefix_are_owed_again(store: Store) -> None:
    for key in ("a:1", "a:2", "b:1"):
        await store.unit(AGENT, lambda tx, key=key: tx.enqueue("notify", key, {}))  # type: ignore[misc]
    for job in await store.claim(["notify"], 10, 60.0):
        await store.bury(job, "no")
    assert await store.unit(AGENT, lambda tx: tx.replay_jobs("notify", "a:")) == 2
    assert [job.key for job in await store.claim(["notify"], 10, 60.0)] == ["a:1", "a:2"]


def test_an_answer_that_was_overtaken_is_not_believed() -> None:
    watched = Watched()
    now = time.monotonic()
    watched.tell(["Patient"], now)
    watched.tell([], now - 1)
    assert "Patient" in watched
