"""Entries of a transaction: their order, their links, and where their faults are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.errors import ConflictError, InteropError, Issue
from interop.fhir.bundle import Entry, conditional_reference, entries_of, links, located, ordered, referrers_first

BASE = "http://x/fhir"


def entry(index: int, method: str, url: str, full_url: str | None = None, *refers: str) -> Entry:
    resource = {"resourceType": url.split("/")[0], "x": [{"reference": reference} for reference in refers]}
    return Entry(
        index,
        method,
        tuple(url.split("/")),
        resource=resource if method in ("POST", "PUT") else None,
        full_url=full_url,
    )


def order_of(*entries: Entry) -> list[int]:
    return [entry.index for entry in ordered(entries)]


def test_verbs_in_the_order_of_the_specification() -> None:
    assert order_of(
        entry(0, "GET", "Patient/1"),
        entry(1, "PUT", "Patient/2"),
        entry(2, "POST", "Patient"),
        entry(3, "DELETE", "Patient/4"),
    ) == [3, 2, 1, 0]


def test_what_is_referred_to_comes_first() -> None:
    assert order_of(entry(0, "POST", "ServiceRequest", "urn:a", "urn:b"), entry(1, "POST", "Patient", "urn:b")) == [
        1,
        0,
    ]
    assert order_of(entry(0, "POST", "ServiceRequest", None, "Patient/1"), entry(1, "PUT", "Patient/1")) == [1, 0]
    assert order_of(entry(0, "POST", "ServiceRequest", None, "Patient?a=b"), entry(1, "POST", "Patient")) == [1, 0]
    assert order_of(
        entry(0, "POST", "Observation", "urn:c", "urn:b"),
        entry(1, "POST", "ServiceRequest", "urn:b", "urn:a"),
        entry(2, "POST", "Patient", "urn:a"),
    ) == [2, 1, 0]


def test_what_refers_goes_before_what_it_refers_to() -> None:
    assert referrers_first([3, 5, 8], {}) == [3, 5, 8]
    assert referrers_first([0, 1, 2], {1: {0}, 2: {1, 0}}) == [2, 1, 0]
    assert referrers_first([0, 1, 2], {2: {0}}) == [1, 2, 0]
    assert sorted(referrers_first([0, 1, 2], {0: {1}, 1: {0}})) == [0, 1, 2]


def test_a_circle_is_cut_somewhere() -> None:
    assert sorted(
        order_of(entry(0, "POST", "Patient", "urn:a", "urn:b"), entry(1, "POST", "Patient", "urn:b", "urn:a"))
    ) == [0, 1]
    assert order_of(entry(0, "POST", "Patient", "urn:a", "urn:a")) == [0]


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))))
    )
)
def test_every_entry_is_carried_out_once_after_what_it_needs(graph: tuple[int, list[tuple[int, int]]]) -> None:
    size, edges = graph
    forward = {(max(a, b), min(a, b)) for a, b in edges if a != b}  # a refers to b; no circles
    order = order_of(
        *(entry(n, "POST", "Patient", f"urn:{n}", *(f"urn:{b}" for a, b in forward if a == n)) for n in range(size))
    )
    assert sorted(order) == list(range(size))
    assert all(order.index(b) < order.index(a) for a, b in forward)


def test_two_entries_about_the_same_resource_are_refused() -> None:
    with pytest.raises(InteropError) as caught:
        ordered((entry(0, "PUT", "Patient/1"), entry(1, "DELETE", "Patient/1")))
    assert caught.value.issues[0].expression == ("Bundle.entry[1].request.url",)


def test_names_by_which_an_entry_is_linked() -> None:
    assert links(entry(0, "POST", "Patient", "urn:uuid:1"), "Patient/n", BASE) == {"urn:uuid:1": "Patient/n"}
    assert links(entry(0, "POST", "Patient"), "Patient/n", BASE) == {}
    assert links(entry(0, "POST", "Patient", "http://y/Patient/23"), "Patient/n", BASE) == {
        "http://y/Patient/23": "Patient/n",
        "Patient/23": "Patient/n",
        f"{BASE}/Patient/23": "Patient/n",
    }
    assert links(entry(0, "PUT", "Patient/1", f"{BASE}/Patient/1"), "Patient/1", BASE) == {
        f"{BASE}/Patient/1": "Patient/1"
    }


def test_conditional_references() -> None:
    assert conditional_reference("Patient?identifier=a|b") == ("Patient", "identifier=a|b")
    for other in ("Patient/1", "Patient?", "?a=b", "http://x/Patient?a=b", "#a?b"):
        assert conditional_reference(other) is None


def test_faults_are_located_at_their_entry() -> None:
    error = ConflictError(
        issues=(Issue("a", "t", ("Patient.name[0].use",)), Issue("b", "t"), Issue("c", "t", ("Patient",)))
    )
    moved = located(error, 3)
    assert isinstance(moved, ConflictError)
    assert (moved.status, moved.text) == (409, error.text)
    assert [issue.expression for issue in moved.issues] == [
        ("Bundle.entry[3].resource.name[0].use",),
        ("Bundle.entry[3]",),
        ("Bundle.entry[3].resource",),
    ]
    assert located(moved, 5).issues == moved.issues
    assert error.issues[0].expression == ("Patient.name[0].use",)


@pytest.mark.parametrize(
    ("url", "segments", "query"),
    [
        ("Patient", ("Patient",), ""),
        ("/Patient/1", ("Patient", "1"), ""),
        (f"{BASE}/Patient/1", ("Patient", "1"), ""),
        ("Patient?a=b%7Cc", ("Patient",), "a=b%7Cc"),
        ("Patient/1/_history/2", ("Patient", "1", "_history", "2"), ""),
    ],
)
def test_urls(url: str, segments: tuple[str, ...], query: str) -> None:
    bundle = {"entry": [{"request": {"method": "GET", "url": url}}]}
    (read,) = entries_of(bundle, BASE)
    assert (read.segments, read.query) == (segments, query)


@pytest.mark.parametrize(
    "broken",
    [
        5,
        {},
        {"request": {}},
        {"request": {"method": "GET"}},
        {"request": {"method": "GET", "url": 5}},
        {"fullUrl": 5, "request": {"method": "GET", "url": "Patient"}},
        {"request": {"method": "GET", "url": "Patient", "ifMatch": 5}},
    ],
)
def test_what_is_no_entry_of_a_batch(broken: Any) -> None:
    good = {"request": {"method": "GET", "url": "Patient"}}
    with pytest.raises(InteropError) as caught:
        entries_of({"entry": [good, broken]}, BASE)
    assert caught.value.issues[0].expression[0].startswith("Bundle.entry[1]")


@pytest.mark.parametrize(
    "broken",
    [
        {"request": {"method": "GET", "url": "http://other/fhir/Patient"}},
        {"request": {"method": "GET", "url": "patient"}},
        {"request": {"method": "HEAD", "url": "Patient"}},
        {"request": {"method": "POST", "url": "Patient"}},
        {"request": {"method": "GET", "url": "Patient"}, "resource": {}},
        {"request": {"method": "GET", "url": "a/b/c/d/e"}},
        {"request": {"method": "GET", "url": "Patient"}, "resource": []},
        {"request": {"method": "POST", "url": "Patient"}, "resource": "x"},
    ],
)
def test_requests_that_cannot_be_understood_are_faults_of_their_own_entries(broken: Any) -> None:
    good = {"request": {"method": "GET", "url": "Patient"}}
    understood, entry = entries_of({"entry": [good, broken]}, BASE)
    assert understood.problem is None
    assert entry.problem is not None
    assert entry.problem.issues[0].expression[0].startswith("Bundle.entry[1]")


def test_a_full_url_names_one_entry_or_its_versions() -> None:
    def posted(version: str | None) -> dict[str, Any]:
        meta = {} if version is None else {"meta": {"versionId": version}}
        resource = {"resourceType": "Patient", **meta}
        return {"fullUrl": "urn:a", "resource": resource, "request": {"method": "POST", "url": "Patient"}}

    assert len(entries_of({"entry": [posted("1"), posted("2")]}, BASE)) == 2
    with pytest.raises(InteropError) as caught:
        entries_of({"entry": [posted(None), posted("1"), posted(None)]}, BASE)
    assert caught.value.issues[0].expression == ("Bundle.entry[2].fullUrl",)
