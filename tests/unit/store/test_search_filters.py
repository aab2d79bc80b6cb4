"""``_filter`` against a naive reading of the same resources: random trees of tests, and the largest there may be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interop.fhir.filter_grammar import MAX_DEPTH, MAX_TESTS
from interop.store import Store, planning
from tests.unit.store.test_search_model import (
    AGENT,
    CODES,
    DAYS,
    FIRST,
    FOLDED,
    GENDERS,
    LAST,
    PREFIXES,
    Resource,
    booleans,
    dated,
    fill,
    found,
    numbered,
    observations,
    patients,
)


def compare(values: list[Any], holds: Any) -> bool:
    return any(holds(value) for value in values)


def one_meets(found: Resource, path: str, operator: str, value: str, everybody: dict[str, Resource]) -> bool:
    if path.startswith("patient."):
        person = everybody[found["subject"]["reference"].removeprefix("Patient/")]
        return one_meets(person, path.removeprefix("patient."), operator, value, everybody)
    codings = found.get("code", {}).get("coding", [])
    values: list[Any] = {
        "gender": [found["gender"]] if "gender" in found else [],
        "code": [coding["code"] for coding in codings],
        "given": [FOLDED[name] for each in found.get("name", []) for name in each["given"]],
        "birthdate": [found["birthDate"]] if "birthDate" in found else [],
        "date": [found["effectiveDateTime"]] if "effectiveDateTime" in found else [],
        "value-quantity": [found["valueQuantity"]["value"]] if "valueQuantity" in found else [],
        "patient": [found["subject"]["reference"]] if "subject" in found else [],
        "_id": [found["id"]],
    }[path]
    if operator == "pr":
        return bool(values) is (value == "true")
    if path in ("birthdate", "date"):
        if operator == "po":
            return compare(values, lambda each: FIRST[each] <= LAST[value] and LAST[each] >= FIRST[value])
        return compare(values, lambda each: dated(each, operator, value))
    if path == "value-quantity":
        return compare(values, lambda each: numbered(each, operator, int(value)))
    wanted = value.lower() if path == "given" else value
    return compare(
        values,
        {
            "eq": lambda each: each == wanted,
            "re": lambda each: each == wanted,
            "ne": lambda each: each != wanted,
            "co": lambda each: wanted in each,
            "sw": lambda each: each.startswith(wanted),
            "ew": lambda each: each.endswith(wanted),
        }[operator],
    )


def filtered(found: Resource, tree: Any, everybody: dict[str, Resource]) -> bool:
    match tree:
        case ("not", inner):
            return not filtered(found, inner, everybody)
        case ("and", left, right):
            return filtered(found, left, everybody) and filtered(found, right, everybody)
        case ("or", left, right):
            return filtered(found, left, everybody) or filtered(found, right, everybody)
    return one_meets(found, *tree, everybody)


def written(tree: Any) -> str:
    match tree:
        case ("not", inner):
            return f"not({written(inner)})"
        case (("and" | "or") as word, left, right):
            return f"({written(left)}) {word} ({written(right)})"
    path, operator, value = tree
    return f'{path} {operator} "{value}"' if path.endswith("given") else f"{path} {operator} {value}"


def asked_of(path: str, operators: tuple[str, ...], values: tuple[str, ...]) -> Any:
    asked = st.tuples(st.just(path), st.sampled_from(operators), st.sampled_from(values))
    return asked if path == "_id" else asked | st.tuples(st.just(path), st.just("pr"), booleans)


def trees(leaves: Any) -> Any:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.just("not"), inner), st.tuples(st.sampled_from(["and", "or"]), inner, inner)
        ),
        max_leaves=6,
    )


ORDERED = (*PREFIXES, "po")
NUMBERS = tuple(map(str, range(5)))
person_tests = (
    asked_of("gender", ("eq", "ne"), GENDERS)
    | asked_of("birthdate", ORDERED, DAYS)
    | asked_of("given", ("eq", "ne", "co", "sw", "ew"), ("Ann", "ann", "nn", "a", "Bob", "x"))
)
seen_tests = (
    asked_of("code", ("eq", "ne"), CODES)
    | asked_of("date", ORDERED, DAYS)
    | asked_of("value-quantity", PREFIXES, NUMBERS)
    | person_tests.map(lambda test: (f"patient.{test[0]}", *test[1:]))
)
filters = st.tuples(st.just("Patient"), trees(person_tests)) | st.tuples(st.just("Observation"), trees(seen_tests))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.lists(patients, min_size=1, max_size=4),
    seen=st.lists(observations, max_size=5),
    asked=st.lists(filters, min_size=1, max_size=8),
    count=st.integers(2, 6),
)
async def test_filters_find_what_a_naive_reading_finds(
    store: Store, people: list[Resource], seen: list[Resource], asked: list[Any], count: int
) -> None:
    number = await store.unit(AGENT, lambda tx: tx.next_number("run"))
    everybody = await store.unit(AGENT, lambda tx: fill(tx, number, people, seen))
    for type, tree in asked:
        expected = sorted(
            id
            for id, resource in everybody.items()
            if resource["resourceType"] == type and filtered(resource, tree, everybody)
        )
        params = [("_filter", written(tree))]
        assert sorted(await found(store, type, params, "_id", count)) == expected, (type, params)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(planning, "FEW", 0)
            assert sorted(await found(store, type, params, "_id", count)) == expected, (type, params)


@pytest.mark.parametrize("few", [0, planning.FEW])
@pytest.mark.parametrize("chain", ["", "patient.link.link.link."])
async def test_the_largest_filters_are_read_by_both_engines(
    store: Store, chain: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "FEW", few)
    deepest = f"{chain}name sw ann" if chain else "_id eq o1"
    for level in range(MAX_DEPTH // 2):
        tests = " or ".join([deepest, *(f"date ge {2000 + n}-01-01" for n in range(3 if level else 9))])
        deepest = f"not ({tests})" if level % 2 else f"({tests}) and code ne x"
    wide = " or ".join(f"{chain or 'patient.'}given co a{n}" for n in range(MAX_TESTS))
    people = [{"resourceType": "Patient", "name": ["Ann"]}]
    seen = [{"resourceType": "Observation", "codes": ["a"], "subject": 0, "date": "2026-01-01"}]
    await store.unit(AGENT, lambda tx: fill(tx, 1, people, seen))
    for text in (deepest, wide):
        assert set(await found(store, "Observation", [("_filter", text)], "_id", 10)) <= {"o1-0"}


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        ('given eq "ANN"', {"ann", "hidden"}),
        ("given ne ann", {"long"}),
        ("given ew nn", {"ann", "hidden"}),
        ("given ew ff", set()),
        ("given co %", set()),
        ("given co _nn", set()),
        ("given ew x", {"long"}),
        ("gender ne male", {"hidden"}),
        ("not (gender eq male)", {"hidden", "long"}),
        ("gender pr false", {"long"}),
        ("_id ne ann and _lastUpdated gt 2020", {"hidden", "long"}),
        ("_lastUpdated po 2020 or _id eq ann", {"ann"}),
    ],
)
async def test_what_operators_find(store: Store, filter: str, ids: set[str]) -> None:
    people: dict[str, Resource] = {
        "ann": {"name": [{"given": ["Ánn"]}], "gender": "male"},
        "hidden": {"name": [{"given": ["ann"]}], "gender": "other"},
        "long": {"name": [{"given": ["X" * 80]}]},  # whose own form is kept as a hash
    }
    for id, told in people.items():
        await store.unit(AGENT, lambda tx, id=id, told=told: tx.create({"resourceType": "Patient", **told}, id=id))
    assert set(await found(store, "Patient", [("_filter", filter)], "_id", 10)) == ids
