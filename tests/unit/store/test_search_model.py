"""Search against a naive reading of the same resources: random data, random searches, and writers beside the reader."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interop.access.agent import system_agent
from interop.fhir.search import parse_query
from interop.store import Page, Store, Tx, planning, walking

AGENT = system_agent("test")
Resource = dict[str, Any]

CODES = ("a", "b", "c")
GENDERS = ("male", "female", "other")
DAYS = ("2026-01-01", "2026-01-02", "2026-01", "2026-02-01", "2025")
FIRST = {"2026-01-01": 1, "2026-01-02": 2, "2026-01": 1, "2026-02-01": 32, "2025": -364}
LAST = {"2026-01-01": 1, "2026-01-02": 2, "2026-01": 31, "2026-02-01": 32, "2025": 0}  # days since 2025-12-31
NAMES = ("Ann", "ann", "Anna", "Bob", "Ánn")
FOLDED = {"Ann": "ann", "ann": "ann", "Anna": "anna", "Bob": "bob", "Ánn": "ann"}

patients = st.fixed_dictionaries(
    {"resourceType": st.just("Patient"), "name": st.lists(st.sampled_from(NAMES), max_size=2)},
    optional={"gender": st.sampled_from(GENDERS), "birthDate": st.sampled_from(DAYS)},
)
observations = st.fixed_dictionaries(
    {
        "resourceType": st.just("Observation"),
        "codes": st.lists(st.sampled_from(CODES), max_size=2, unique=True),
        "subject": st.integers(0, 3),
    },
    optional={"value": st.integers(0, 4), "date": st.sampled_from(DAYS)},
)


def patient(told: Resource, id: str) -> Resource:
    made = {name: value for name, value in told.items() if name != "name"} | {"id": id}
    return made | {"name": [{"given": [name]} for name in told["name"]]}


def observation(told: Resource, id: str, subjects: list[str]) -> Resource:
    made: Resource = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "subject": {"reference": f"Patient/{subjects[told['subject'] % len(subjects)]}"},
    }
    if told["codes"]:
        made["code"] = {"coding": [{"system": "urn:s", "code": code} for code in told["codes"]]}
    if "value" in told:
        made["valueQuantity"] = {"value": told["value"]}
    if "date" in told:
        made["effectiveDateTime"] = told["date"]
    return made


# the naive reading: what a search means, word by word


def dated(text: str | None, prefix: str, wanted: str) -> bool:
    if text is None:
        return False
    low, high, first, last = FIRST[text], LAST[text], FIRST[wanted], LAST[wanted]
    within = first <= low and high <= last
    return {
        "eq": within,
        "ne": not within,
        "lt": low < first,
        "gt": high > last,
        "le": low < first or within,
        "ge": high > last or within,
        "sa": low > last,
        "eb": high < first,
    }[prefix]


def numbered(value: int | None, prefix: str, wanted: int) -> bool:
    if value is None:
        return False
    return {
        "eq": value == wanted,
        "ne": value != wanted,
        "lt": value < wanted,
        "gt": value > wanted,
        "le": value <= wanted,
        "ge": value >= wanted,
        "sa": value > wanted,
        "eb": value < wanted,
    }[prefix]


def meets(found: Resource, name: str, value: str, everybody: dict[str, Resource]) -> bool:
    plain, _, modifier = name.partition(":")
    if name.startswith("_has:Observation:patient:"):
        inner = name.removeprefix("_has:Observation:patient:")
        referring = [
            each for each in everybody.values() if each.get("subject") == {"reference": f"Patient/{found['id']}"}
        ]
        return any(meets(each, inner, value, everybody) for each in referring)
    if name.startswith("patient."):
        person = everybody[found["subject"]["reference"].removeprefix("Patient/")]
        return meets(person, name.removeprefix("patient."), value, everybody)
    prefix, rest = (value[:2], value[2:]) if value[:1].isalpha() and value[:2] in PREFIXES else ("eq", value)
    if plain == "given":
        return _given([name for each in found["name"] for name in each["given"]], modifier, value)
    match plain:
        case "gender":
            return _token([found["gender"]] if "gender" in found else [], modifier, value)
        case "code":
            return _token([coding["code"] for coding in found.get("code", {}).get("coding", [])], modifier, value)
        case "birthdate":
            return dated(found.get("birthDate"), prefix, rest)
        case "date":
            return dated(found.get("effectiveDateTime"), prefix, rest)
    assert plain == "value-quantity"
    return numbered(found.get("valueQuantity", {}).get("value"), prefix, int(rest))


def _given(names: list[str], modifier: str, value: str) -> bool:
    if modifier == "exact":
        return value in names
    if modifier == "contains":
        return any(value.lower() in FOLDED[name] for name in names)
    return any(FOLDED[name].startswith(value.lower()) for name in names)


def _token(codes: list[str], modifier: str, value: str) -> bool:
    if modifier == "missing":
        return (not codes) is (value == "true")
    hit = any(code in value.split(",") for code in codes)
    return not hit if modifier == "not" else hit


PREFIXES = ("eq", "ne", "lt", "gt", "le", "ge", "sa", "eb")
dates = st.builds(lambda prefix, day: prefix + day, st.sampled_from(("", *PREFIXES)), st.sampled_from(DAYS))
numbers = st.builds(lambda prefix, n: f"{prefix}{n}", st.sampled_from(("", *PREFIXES)), st.integers(0, 4))
codes = st.lists(st.sampled_from(CODES), min_size=1, max_size=2).map(",".join)
booleans = st.sampled_from(["true", "false"])
of_patients = st.one_of(
    st.tuples(st.sampled_from(["gender", "gender:not"]), st.sampled_from(GENDERS)),
    st.tuples(st.just("gender:missing"), booleans),
    st.tuples(st.just("birthdate"), dates),
    st.tuples(
        st.sampled_from(["given", "given:exact", "given:contains"]), st.sampled_from(["Ann", "ann", "nn", "Bob", "x"])
    ),
)
of_observations = st.one_of(
    st.tuples(st.sampled_from(["code", "code:not"]), codes),
    st.tuples(st.just("code:missing"), booleans),
    st.tuples(st.just("date"), dates),
    st.tuples(st.just("value-quantity"), numbers),
)
searches = st.one_of(
    st.tuples(
        st.just("Patient"),
        st.lists(
            of_patients | of_observations.map(lambda pair: (f"_has:Observation:patient:{pair[0]}", pair[1])), max_size=3
        ),
        st.sampled_from(["_id", "-_id", "birthdate", "-birthdate,_id", "gender,-given", "_lastUpdated"]),
    ),
    st.tuples(
        st.just("Observation"),
        st.lists(of_observations | of_patients.map(lambda pair: (f"patient.{pair[0]}", pair[1])), max_size=3),
        st.sampled_from(["_id", "value-quantity", "-value-quantity,code", "-date", "patient,-_lastUpdated"]),
    ),
)


async def found(store: Store, type: str, params: list[tuple[str, str]], sort: str, count: int) -> list[str]:
    """All pages, one after the other."""
    ids: list[str] = []
    cursor: list[tuple[str, str]] = []
    while True:
        asked = parse_query(type, [*params, ("_sort", sort), ("_count", str(count)), *cursor], UTC)
        page: Page = await store.view(lambda tx, q=asked: tx.search(q))
        ids += [each.id for each in page.rows]
        if page.next is None:
            return ids
        cursor = [("_cursor", page.next)]


def fill(tx: Tx, number: int, people: list[Resource], seen: list[Resource]) -> dict[str, Resource]:
    """Everybody, by id; what other runs left goes."""
    persons = {f"p{number}-{n}": patient(told, f"p{number}-{n}") for n, told in enumerate(people)}
    values = {f"o{number}-{n}": observation(told, f"o{number}-{n}", list(persons)) for n, told in enumerate(seen)}
    for type in ("Patient", "Observation"):
        for each in tx.search(parse_query(type, [("_count", "1000")], UTC)).rows:
            tx.delete(type, each.id)
    for resource in (persons | values).values():
        tx.create(resource, id=resource["id"])
    return persons | values


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.lists(patients, min_size=1, max_size=4),
    seen=st.lists(observations, max_size=6),
    asked=st.lists(searches, min_size=1, max_size=6),
    count=st.integers(1, 4),
    stretch=st.integers(0, 3),
)
async def test_searches_find_what_a_naive_reading_finds(
    store: Store, people: list[Resource], seen: list[Resource], asked: list[Any], count: int, stretch: int
) -> None:
    number = await store.unit(AGENT, lambda tx: tx.next_number("run"))
    everybody = await store.unit(AGENT, lambda tx: fill(tx, number, people, seen))
    for type, params, sort in asked:
        expected = {
            id
            for id, resource in everybody.items()
            if resource["resourceType"] == type and all(meets(resource, *pair, everybody) for pair in params)
        }
        ids = await found(store, type, params, sort, count)
        assert sorted(ids) == sorted(expected), (type, params, sort)
        _ordered([everybody[id] for id in ids], sort)
        with pytest.MonkeyPatch.context() as patched:  # as where there is far more of everything
            patched.setattr(planning, "FEW", 0)
            patched.setattr(walking, "STRETCH", stretch)
            assert await found(store, type, params, sort, count) == ids, (type, params, sort)


def _ordered(resources: list[Resource], sort: str) -> None:
    """The first key of the sort rises or falls, and what has none comes last."""
    key, descending = sort.split(",")[0].removeprefix("-"), sort.startswith("-")
    readers = {
        "_id": lambda each: each["id"],
        "birthdate": lambda each: FIRST.get(each.get("birthDate", "")),
        "gender": lambda each: each.get("gender"),
        "value-quantity": lambda each: each.get("valueQuantity", {}).get("value"),
        "date": lambda each: FIRST.get(each.get("effectiveDateTime", "")),
        "patient": lambda each: each["subject"]["reference"],
    }
    if key not in readers:
        return
    told = [readers[key](each) for each in resources]
    there = [each for each in told if each is not None]
    assert told == there + [None] * (len(told) - len(there))
    assert there == sorted(there, reverse=descending)


@pytest.mark.parametrize(
    "sort", ["_id", "_lastUpdated", "-_lastUpdated", "birthdate", "-birthdate,gender", "gender,-given"]
)
async def test_pages_neither_skip_nor_repeat_while_others_write(store: Store, sort: str) -> None:
    """Every resource that is there all the time comes exactly once, however it is changed while somebody reads on."""
    chance = random.Random(sort)

    def person() -> Resource:
        told = {"resourceType": "Patient", "name": [chance.choice(NAMES)], "birthDate": chance.choice(DAYS)}
        return told | ({"gender": chance.choice(GENDERS)} if chance.random() < 0.7 else {})

    ids = [f"p{n:02}" for n in range(40)]
    await store.unit(AGENT, lambda tx: [tx.create(patient(person(), id), id=id) for id in ids][:0])
    await asyncio.sleep(0.005)  # the first page is of a later instant than what it shows
    reading = True

    async def write() -> int:
        written = 0
        while reading:
            id = chance.choice([*ids, f"n{written}"])
            told = person()
            await store.unit(AGENT, lambda tx, told=told, id=id: tx.update(patient(told, id)))
            written += 1
            await asyncio.sleep(0)
        return written

    writers = [asyncio.create_task(write()) for _ in range(2)]
    try:
        seen: list[str] = []
        cursor: list[tuple[str, str]] = []
        while True:
            asked = parse_query("Patient", [("_sort", sort), ("_count", "3"), *cursor], UTC)
            page: Page = await store.view(lambda tx, q=asked: tx.search(q))
            seen += [each.id for each in page.rows]
            await asyncio.sleep(0.01)
            if page.next is None:
                break
            cursor = [("_cursor", page.next)]
    finally:
        reading = False
        written = sum(await asyncio.gather(*writers))
    assert written > 10
    assert sorted(id for id in seen if id in ids) == ids
    assert len(set(seen)) == len(seen)
