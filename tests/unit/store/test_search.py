"""Searches: clauses, prefixes of dates, pages that neither skip nor repeat."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import sqlite3
from datetime import tzinfo
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interop.access.agent import system_agent
from interop.errors import MalformedError, UnsupportedError
from interop.fhir.query import Clause, DateValue, IndexRow, Query, ReferenceValue, TokenValue
from interop.store import Page, Store, Tx, open_store
from interop.store.conditions import Condition, date_condition, moment_condition
from interop.store.planning import FEW

AGENT = system_agent("test")
PREFIXES = ("eq", "ne", "lt", "le", "gt", "ge", "sa", "eb", "ap")


def index(resource: dict[str, Any], zone: tzinfo) -> list[IndexRow]:
    """Index rows as the test says them."""
    return [IndexRow(*row) for row in resource.get("rows", ())]


@pytest.fixture
async def store(database_url: str) -> Any:
    opened = await open_store(database_url, index=index)
    yield opened
    await opened.close()


async def add(store: Store, *rows: tuple[Any, ...], **elements: Any) -> str:
    resource = {"resourceType": "Basic", "rows": [list(row) for row in rows], **elements}
    return (await store.unit(AGENT, lambda tx: tx.create(resource))).id


async def find(store: Store, *clauses: Clause, **options: Any) -> list[str]:
    query = Query("Basic", clauses, **options)
    return [each.id for each in (await store.view(lambda tx: tx.search(query))).rows]


def token(system: str | None, code: str | None, param: str = "code") -> Clause:
    return Clause(param, "token", (TokenValue(system, code),))


async def test_tokens_match_by_system_and_code(store: Store) -> None:
    a = await add(store, ("code", "token", "urn:a", "1"))
    b = await add(store, ("code", "token", "urn:b", "1"))
    bare = await add(store, ("code", "token", "", "1"), ("code", "token", "urn:a", "2"))
    assert await find(store, token(None, "1")) == [a, b, bare]
    assert await find(store, token("urn:a", "1")) == [a]
    assert await find(store, token("", "1")) == [bare]
    assert await find(store, token("urn:a", None)) == [a, bare]
    assert await find(store, token("urn:a", "1"), token("urn:a", "2")) == []
    assert await find(store, token("urn:a", "2"), token("", "1")) == [bare]
    either = Clause("code", "token", (TokenValue("urn:a", "1"), TokenValue("urn:b", None), TokenValue(None, "9")))
    assert await find(store, either) == [a, b]
    assert await find(store, token(None, "1", "other")) == []


async def test_references_match_with_and_without_type(store: Store) -> None:
    a = await add(store, ("subject", "reference", "Patient", "1"))
    b = await add(store, ("subject", "reference", "Group", "1"))
    url = await add(store, ("subject", "reference", "", "https://elsewhere/Patient/1"))

    def clause(type: str | None, id: str) -> Clause:
        return Clause("subject", "reference", (ReferenceValue(type, id),))

    assert await find(store, clause("Patient", "1")) == [a]
    assert await find(store, clause(None, "1")) == [a, b]
    assert await find(store, clause(None, "https://elsewhere/Patient/1")) == [url]


async def test_strings_match_by_their_beginning(store: Store) -> None:
    a = await add(store, ("name", "string", "", "παπαδοπουλος"))
    b = await add(store, ("name", "string", "", "παπας"))
    await add(store, ("name", "string", "", "another"))
    percent = await add(store, ("name", "string", "", "100%_sure"))
    assert await find(store, Clause("name", "string", ("παπα",))) == [a, b]
    assert await find(store, Clause("name", "string", ("παπαδ", "100%"))) == [a, percent]
    assert await find(store, Clause("name", "string", ("1%",))) == []


async def test_ids_and_last_updated(store: Store) -> None:
    ids = [await add(store) for _ in range(3)]
    assert await find(store, Clause("_id", "id", (ids[2], "none", ids[0]))) == [ids[0], ids[2]]
    first = (await store.view(lambda tx: tx.get("Basic", ids[0]))).last_updated
    moment = int(first.timestamp() * 1000) * 1000

    def clause(prefix: str, low: int, high: int) -> Clause:
        return Clause("_lastUpdated", "last-updated", (DateValue(prefix, low, high),))

    day = 86_400_000_000
    assert await find(store, clause("eq", moment - moment % day, moment - moment % day + 2 * day)) == ids
    assert await find(store, clause("lt", moment, moment + 1000)) == []
    assert ids[0] in await find(store, clause("eq", moment, moment + 1000))
    assert await find(store, clause("gt", moment + day, moment + day + 1)) == []


async def test_deleted_resources_and_other_types_are_not_found(store: Store) -> None:
    gone = await add(store, ("code", "token", "", "1"))
    await store.unit(AGENT, lambda tx: tx.delete("Basic", gone))
    other = {"resourceType": "Other", "rows": [["code", "token", "", "1"]]}
    await store.unit(AGENT, lambda tx: tx.create(other))
    assert await find(store, token(None, "1")) == []
    assert await find(store) == []


async def test_a_search_answers_alike_from_few_and_from_many(store: Store) -> None:
    """Beyond FEW rows a condition no longer begins the search; what is found must not depend on that."""

    def fill(tx: Tx) -> None:
        for number in range(FEW + 50):
            rows = [["status", "token", "", "active"], ["n", "token", "", str(number % 7)]]
            tx.create({"resourceType": "Basic", "rows": rows, "number": number})

    await store.unit(AGENT, fill)
    query = Query("Basic", (token(None, "active", "status"), token(None, "3", "n")), count=20, total=True)
    page = await store.view(lambda tx: tx.search(query))
    assert page.total == len([number for number in range(FEW + 50) if number % 7 == 3])
    assert [each.resource()["number"] for each in page.rows] == [3 + 7 * n for n in range(20)]
    many = Query("Basic", (token(None, "active", "status"),), count=1, total=True)
    assert (await store.view(lambda tx: tx.search(many))).total == FEW + 50


@pytest.mark.parametrize(
    "after",
    [
        "rubbish",
        "",
        "é",
        "A" * 10_000,
        base64.urlsafe_b64encode(b'[">",1]').decode(),
        base64.urlsafe_b64encode(b'["?",1,"a"]').decode(),
        base64.urlsafe_b64encode(b'[">","1","a"]').decode(),
        base64.urlsafe_b64encode(b'[">",true,"a"]').decode(),
        base64.urlsafe_b64encode(json.dumps([">", 1 << 80, "a"]).encode()).decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b'[">",1,"\\u0000"]').decode(),
        base64.urlsafe_b64encode(b'[">",1,"\\ud800"]').decode(),
    ],
)
async def test_a_page_link_of_others_is_refused(store: Store, after: str) -> None:
    with pytest.raises(UnsupportedError):
        await find(store, after=after)


@pytest.mark.parametrize("text", ["half \ud800 a pair", "nul \0"])
async def test_a_text_that_is_none_finds_nothing_or_is_refused(store: Store, text: str) -> None:
    for clause in (token(None, text), Clause("_id", "id", (text,)), Clause("name", "string", (text,))):
        with contextlib.suppress(MalformedError):
            assert await find(store, clause) == []
    assert await find(store) == []


# dates


def stands(prefix: str, low: int, high: int, search_low: int, search_high: int) -> bool:
    """R4 search.html#prefix, word by word, on sets of instants."""
    target, search = set(range(low, high)), set(range(search_low, search_high))
    below, above = set(range(-50, search_low)), set(range(search_high, 100))
    return {
        "eq": target <= search,  # the range of the search value fully contains the range of the target value
        "ne": not target <= search,
        "gt": bool(above & target),  # the range above the search value intersects with the range of the target value
        "lt": bool(below & target),
        "ge": bool(above & target) or target <= search,
        "le": bool(below & target) or target <= search,
        "sa": target <= above,  # no overlap, and the range above contains the target
        "eb": target <= below,
        "ap": bool(search & target),
    }[prefix]


spans = st.tuples(st.integers(0, 12), st.integers(1, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(targets=st.lists(spans, min_size=1, max_size=6), search=spans)
async def test_dates_stand_as_the_prefixes_say(store: Store, targets: list[tuple[int, int]], search: Any) -> None:
    param = f"date{await store.unit(AGENT, lambda tx: tx.next_number('param'))}"
    ids = [await add(store, (param, "date", "", "", *span)) for span in targets]
    for prefix in PREFIXES:
        found = await find(store, Clause(param, "date", (DateValue(prefix, *search),)))
        assert found == [id for id, span in zip(ids, targets, strict=True) if stands(prefix, *span, *search)], prefix


async def test_an_unknown_prefix_is_refused(store: Store) -> None:
    with pytest.raises(UnsupportedError):
        await find(store, Clause("date", "date", (DateValue("xx", 1, 2),)))


# pages


async def pages(store: Store, query: Query, *, backwards_from: str | None = None) -> list[list[str]]:
    """All pages from the first, or back from one."""
    found: list[list[str]] = []
    after = backwards_from
    while True:
        asked = Query(query.type, query.clauses, query.count, query.sort, after)
        page: Page = await store.view(lambda tx, q=asked: tx.search(q))
        found.append([each.id for each in page.rows])
        after = page.next if backwards_from is None else page.previous
        if after is None:
            return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    count=st.integers(1, 7),
    sort=st.sampled_from(["_lastUpdated", "-_lastUpdated"]),
    narrowed=st.booleans(),
)
async def test_pages_neither_skip_nor_repeat(
    store: Store, groups: list[int], count: int, sort: str, narrowed: bool
) -> None:
    type = f"Kind{await store.unit(AGENT, lambda tx: tx.next_number('type'))}"

    def create(tx: Tx, number: int) -> list[str]:  # resources of one unit share their instant
        resource = {"resourceType": type, "rows": [["code", "token", "", "1"]]}
        return [tx.create(resource).id for _ in range(number)]

    made = [await store.unit(AGENT, lambda tx, n=number: create(tx, n)) for number in groups]
    everything = [id for ids in made for id in ids]
    clauses = (token(None, "1"),) if narrowed else ()
    query = Query(type, clauses, count, sort)
    forwards = await pages(store, query)
    assert sorted(id for page in forwards for id in page) == sorted(everything)
    assert all(len(page) == count for page in forwards[:-1])

    last = Query(type, clauses, count, sort, await _token_of_last(store, query))
    previous = (await store.view(lambda tx: tx.search(last))).previous
    if previous is not None:
        backwards = await pages(store, query, backwards_from=previous)
        flat = [id for page in reversed(backwards) for id in page]
        assert flat == [id for page in forwards[:-1] for id in page]


async def _token_of_last(store: Store, query: Query) -> str | None:
    after = None
    while True:
        asked = Query(query.type, query.clauses, query.count, query.sort, after)
        page = await store.view(lambda tx, q=asked: tx.search(q))
        if page.next is None:
            return after
        after = page.next


async def test_a_page_found_backwards_leads_forwards_again(store: Store) -> None:
    ids = [await add(store) for _ in range(5)]
    first = await store.view(lambda tx: tx.search(Query("Basic", count=2)))
    assert first.previous is None
    second = await store.view(lambda tx: tx.search(Query("Basic", count=2, after=first.next)))
    back = await store.view(lambda tx: tx.search(Query("Basic", count=2, after=second.previous)))
    assert [each.id for each in back.rows] == ids[:2]
    assert back.previous is None
    again = await store.view(lambda tx: tx.search(Query("Basic", count=2, after=back.next)))
    assert [each.id for each in again.rows] == ids[2:4]


async def test_a_count_of_nothing_still_totals(store: Store) -> None:
    await asyncio.gather(*(add(store) for _ in range(3)))
    page = await store.view(lambda tx: tx.search(Query("Basic", count=0, total=True)))
    assert (page.rows, page.next, page.total) == ([], None, 3)


def test_instants_of_ours_stand_like_any_date() -> None:
    """The conditions on one column say the same as those on a range of one millisecond."""
    connection = sqlite3.connect(":memory:")

    def holds(condition: Condition) -> bool:
        return bool(connection.execute(f"SELECT {condition.sql}", condition.values).fetchone()[0])

    begins, lengths, moments = range(-2000, 4500, 500), (1, 1000, 2000), (0, 1000, 2000)
    for prefix, begin, length, moment in itertools.product(PREFIXES, begins, lengths, moments):
        value = DateValue(prefix, begin, begin + length)
        wide = date_condition(value, str(moment), str(moment + 1000))
        assert holds(moment_condition(value, str(moment))) == holds(wide), (value, moment)
    connection.close()


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_searches_begin_where_few_are(store: Store) -> None:
    """SQLite has no statistics here, so the order of the walk is ours to say."""
    plans = await store.view(_plans)
    assert "resource_identity (type=? AND id=?)" in plans["id"]
    assert "SEARCH x USING PRIMARY KEY (type=? AND param=? AND value=?)" in plans["identifier"]
    assert "SEARCH r USING INTEGER PRIMARY KEY" in plans["identifier"]
    assert "resource_updated (type=? AND last_updated>?" in plans["updated"]
    assert "audit_patient (patient=? AND recorded>?" in plans["audit"]


def _plans(tx: Tx) -> dict[str, str]:
    since = DateValue("ge", 1000, 2000)
    queries = {
        "id": Query("Basic", (Clause("_id", "id", ("a", "b")),)),
        "identifier": Query("Basic", (token(None, "1", "identifier"), token(None, "2", "status"))),
        "updated": Query("Basic", (Clause("_lastUpdated", "last-updated", (since,)),)),
        "audit": Query(
            "AuditEvent",
            (
                Clause("patient", "reference", (ReferenceValue("Patient", "p"),)),
                Clause("date", "date", (since,)),
                Clause("date", "date", (DateValue("le", 3000, 4000),)),
            ),
        ),
    }
    explained: dict[str, str] = {}
    ask = tx.session.rows

    for name, query in queries.items():

        def explain(sql: str, values: Any = (), name: str = name) -> list[tuple[Any, ...]]:
            steps = ask(f"EXPLAIN QUERY PLAN {sql}", values)
            explained[name] = explained.get(name, "") + "\n".join(step[3] for step in steps)
            return ask(sql, values)

        tx.session.rows = explain  # type: ignore[method-assign]
        tx.search(query)
    return explained
