"""Resources: versions, contents as sent, what is there and what was."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.errors import DuplicateError, GoneError, NotFoundError, UnsupportedError
from interop.fhir.json import loads
from interop.store import Store, Tx

AGENT = system_agent("test")


def patient(*identifiers: tuple[str, str], **elements: Any) -> dict[str, Any]:
    listed = [{"system": system, "value": value} if system else {"value": value} for system, value in identifiers]
    return {"resourceType": "Patient", **({"identifier": listed} if listed else {}), **elements}


async def test_a_created_resource_reads_back_with_id_and_meta_in_front(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.create(patient(("urn:a", "1"), active=True)))
    read = await store.view(lambda tx: tx.get("Patient", made.id))
    assert read == made
    assert re.fullmatch(r"[A-Za-z0-9-]{26,36}", made.id)
    assert list(read.resource()) == ["resourceType", "id", "meta", "identifier", "active"]
    assert read.resource()["meta"] == {
        "versionId": "1",
        "lastUpdated": made.last_updated.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    assert read.etag == 'W/"1"'


async def test_ids_sort_by_the_time_they_were_made(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: [tx.new_id() for _ in range(1000)])
    assert made == sorted(made)
    assert len(set(made)) == 1000


async def test_decimals_and_other_meta_are_kept_as_sent(store: Store) -> None:
    sent = loads('{"resourceType":"Observation","meta":{"tag":[{"code":"x"}]},"valueQuantity":{"value":1.10}}')
    made = await store.unit(AGENT, lambda tx: tx.create(sent))
    body = (await store.view(lambda tx: tx.get("Observation", made.id))).body
    assert b'"value":1.10}' in body
    assert b'"tag":[{"code":"x"}]' in body


async def test_every_version_can_be_read(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.create(patient(gender="male")))
    second = await store.unit(AGENT, lambda tx: tx.update(patient(gender="female", id=made.id)))
    assert second.version == 2

    def versions(tx: Tx) -> list[Any]:
        return [tx.read("Patient", made.id, version) for version in (None, 2, 1, 3, 0)]

    current, newest, first, *absent = await store.view(versions)
    assert current == newest == second
    assert first == made
    assert absent == [None, None]


async def test_an_update_that_changes_nothing_makes_no_version(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.create(patient(("a", "1"), gender="male")))
    again = made.resource()
    again["meta"]["versionId"] = "77"
    assert await store.unit(AGENT, lambda tx: tx.update(again)) == made
    reordered = {"gender": again["gender"], **again}
    assert (await store.unit(AGENT, lambda tx: tx.update(reordered))).version == 1


async def test_a_decimal_written_otherwise_is_a_change(store: Store) -> None:
    text = '{"resourceType":"Observation","id":"o","valueQuantity":{"value":%s}}'
    await store.unit(AGENT, lambda tx: tx.update(loads(text % "1.10")))
    changed = await store.unit(AGENT, lambda tx: tx.update(loads(text % "1.1")))
    assert changed.version == 2
    assert b"1.1}" in changed.body


async def test_an_update_of_what_is_absent_creates_it(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.update(patient(id="chosen")))
    assert (made.id, made.version) == ("chosen", 1)


async def test_create_with_a_taken_id_is_refused(store: Store) -> None:
    await store.unit(AGENT, lambda tx: tx.create(patient(), id="one"))
    with pytest.raises(DuplicateError):
        await store.unit(AGENT, lambda tx: tx.create(patient(), id="one"))


async def test_a_deleted_resource_is_gone_but_its_versions_stay(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.create(patient(("a", "1"))))
    deleted = await store.unit(AGENT, lambda tx: tx.delete("Patient", made.id))
    assert (deleted.version, deleted.deleted, deleted.body) == (2, True, b"")
    with pytest.raises(GoneError):
        await store.view(lambda tx: tx.get("Patient", made.id))
    with pytest.raises(GoneError):
        await store.unit(AGENT, lambda tx: tx.delete("Patient", made.id))
    assert await store.view(lambda tx: tx.read("Patient", made.id, 1)) == made
    assert await store.view(lambda tx: tx.by_identifier("Patient", None, "1")) == []


async def test_a_deleted_resource_may_come_back(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.create(patient(("a", "1")), id="p"))
    await store.unit(AGENT, lambda tx: tx.delete("Patient", "p"))
    back = await store.unit(AGENT, lambda tx: tx.update(patient(("a", "1"), id="p")))
    assert back.version == 3
    assert await store.view(lambda tx: tx.by_identifier("Patient", "a", "1")) == [back]
    await store.unit(AGENT, lambda tx: tx.delete("Patient", "p"))
    assert (await store.unit(AGENT, lambda tx: tx.create(patient(), id="p"))).version == 5
    assert made.version == 1


async def test_what_never_was_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        await store.view(lambda tx: tx.get("Patient", "none"))
    with pytest.raises(NotFoundError):
        await store.unit(AGENT, lambda tx: tx.delete("Patient", "none"))
    assert await store.view(lambda tx: tx.read("Patient", "none")) is None


async def test_by_identifier_tells_systems_apart(store: Store) -> None:
    def three(tx: Tx) -> list[str]:
        return [tx.create(patient((system, "7"))).id for system in ("urn:a", "urn:b", "")]

    a, b, bare = await store.unit(AGENT, three)

    def found(tx: Tx, system: str | None) -> list[str]:
        return [each.id for each in tx.by_identifier("Patient", system, "7")]

    assert await store.view(lambda tx: found(tx, "urn:a")) == [a]
    assert await store.view(lambda tx: found(tx, "")) == [bare]
    assert sorted(await store.view(lambda tx: found(tx, None))) == sorted([a, b, bare])


async def test_an_identifier_of_any_length_is_found_and_not_confused(store: Store) -> None:
    long, other = "x" * 5000 + "1", "x" * 5000 + "2"
    made = await store.unit(AGENT, lambda tx: tx.create(patient(("a", long), ("a", "nul\0inside"))))
    assert await store.view(lambda tx: tx.by_identifier("Patient", "a", long)) == [made]
    assert await store.view(lambda tx: tx.by_identifier("Patient", "a", other)) == []


async def test_the_index_follows_an_update(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.create(patient(("a", "1"), ("a", "2"))))
    changed = made.resource() | {"identifier": [{"system": "a", "value": "2"}, {"system": "a", "value": "3"}]}
    await store.unit(AGENT, lambda tx: tx.update(changed))
    for value, count in (("1", 0), ("2", 1), ("3", 1)):
        assert len(await store.view(lambda tx, value=value: tx.by_identifier("Patient", "a", value))) == count


async def test_referrers_are_named(store: Store) -> None:
    def work(tx: Tx) -> tuple[str, str]:
        one = tx.create(patient())
        order = {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            "subject": {"reference": one.reference},
        }
        return one.id, tx.create(order).id

    one, order = await store.unit(AGENT, work)
    assert await store.view(lambda tx: tx.referrers("Patient", one, limit=5)) == [("ServiceRequest", order)]
    assert await store.view(lambda tx: tx.referrers("Patient", "other")) == []
    await store.unit(AGENT, lambda tx: tx.delete("ServiceRequest", order))
    assert await store.view(lambda tx: tx.referrers("Patient", one)) == []


async def test_history_is_newest_first_and_paged(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.create(patient()))
    for gender in ("male", "female", "other"):
        await store.unit(AGENT, lambda tx, g=gender: tx.update(patient(id=made.id, gender=g)))
        await asyncio.sleep(0.002)
    await store.unit(AGENT, lambda tx: tx.delete("Patient", made.id))
    other = await store.unit(AGENT, lambda tx: tx.create({"resourceType": "Practitioner"}))

    seen, after = [], None
    while True:
        page = await store.view(lambda tx, a=after: tx.history("Patient", made.id, count=2, after=a))
        seen += [(each.version, each.deleted) for each in page.rows]
        after = page.next
        if after is None:
            break
    assert seen == [(5, True), (4, False), (3, False), (2, False), (1, False)]
    assert [each.version for each in (await store.view(lambda tx: tx.history("Patient", None))).rows] == [5, 4, 3, 2, 1]
    everything = (await store.view(lambda tx: tx.history(None, None))).rows
    assert len(everything) == 6
    assert everything[0] == other


async def test_history_refuses_a_token_it_did_not_write(store: Store) -> None:
    with pytest.raises(UnsupportedError):
        await store.view(lambda tx: tx.history("Patient", None, after="rubbish"))


async def test_a_unit_reads_what_it_has_written_itself(store: Store) -> None:
    def work(tx: Tx) -> list[Any]:
        id = tx.new_id()
        seen: list[Any] = [tx.read("Patient", id)]
        seen.append(tx.create(patient(gender="male"), id=id).version)
        seen.append(tx.get("Patient", id).resource()["gender"])
        tx.update(patient(gender="female", id=id))
        seen.append(tx.get("Patient", id).resource()["gender"])
        tx.delete("Patient", id)
        seen.append(tx.read("Patient", id).deleted)  # type: ignore[union-attr]
        return seen

    assert await store.unit(AGENT, work) == [None, 1, "male", "female", True]


async def test_what_is_read_behind_a_lock_is_what_its_holder_before_has_left(store: Store) -> None:
    made = await store.unit(AGENT, lambda tx: tx.create(patient(multipleBirthInteger=0)))

    def increment(tx: Tx) -> int:
        tx.get("Patient", made.id)  # before the lock: it may be older
        tx.lock(made.reference)
        current = tx.get("Patient", made.id).resource()
        current["multipleBirthInteger"] += 1
        return tx.update(current).version

    await asyncio.gather(*(store.unit(AGENT, increment) for _ in range(16)))
    last = await store.view(lambda tx: tx.get("Patient", made.id))
    assert (last.version, last.resource()["multipleBirthInteger"]) == (17, 16)


async def test_an_id_that_a_unit_made_is_good_for_one_resource(store: Store) -> None:
    def work(tx: Tx) -> None:
        id = tx.new_id()
        tx.create(patient(), id=id)
        tx.create(patient(), id=id)

    with pytest.raises(DuplicateError):
        await store.unit(AGENT, work)


async def test_several_resources_of_one_unit_are_each_found_by_their_own(store: Store) -> None:
    def work(tx: Tx) -> list[str]:
        first = tx.create(patient(("urn:a", "1")))
        second = tx.create(patient(("urn:a", "2")))
        tx.update(patient(("urn:a", "3"), id=first.id))
        tx.enqueue("send", "k", {})
        third = tx.create(patient(("urn:a", "4")))
        return [first.id, second.id, third.id]

    ids = await store.unit(AGENT, work)
    found = await store.view(lambda tx: [[s.id for s in tx.by_identifier("Patient", "urn:a", v)] for v in "1234"])
    assert found == [[], [ids[1]], [ids[0]], [ids[2]]]
