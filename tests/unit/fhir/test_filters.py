"""R4 search_filter.html: what a filter says as clauses, and what is refused where."""

from __future__ import annotations

from datetime import UTC

import pytest

from interop.errors import UnsupportedError
from interop.fhir.filter_grammar import MAX_DEPTH, MAX_TESTS, Comparison, Group, parse_filter
from interop.fhir.profile import accepted_types
from interop.fhir.query import Clause, Query
from interop.fhir.search import parse_query


def tree(text: str) -> str:
    """The filter with all its parentheses, for people."""
    return _told(parse_filter(text))


def _told(node: Comparison | Group) -> str:
    if isinstance(node, Comparison):
        return f"{'.'.join(node.path)} {node.operator} {node.value}"
    if node.kind == "not":
        return f"not({_told(node.parts[0])})"
    return f"({f' {node.kind} '.join(map(_told, node.parts))})"


def clauses(text: str, type: str = "Patient") -> tuple[Clause, ...]:
    return parse_query(type, [("_filter", text)], UTC).clauses


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('name co "pet"', "name co pet"),
        ('given eq "peter" and birthdate ge 2014-10-10', "(given eq peter and birthdate ge 2014-10-10)"),
        ('code eq http://loinc.org|1234-5', "code eq http://loinc.org|1234-5"),
        ("subject.name co pet", "subject.name co pet"),
        ("a eq 1 and b eq 2 or c eq 3", "((a eq 1 and b eq 2) or c eq 3)"),
        ("a eq 1 or b eq 2 and c eq 3", "((a eq 1 or b eq 2) and c eq 3)"),
        ("a eq 1 or (b eq 2 and c eq 3)", "(a eq 1 or (b eq 2 and c eq 3))"),
        ("a eq 1 and (b eq 2 and c eq 3)", "(a eq 1 and b eq 2 and c eq 3)"),
        ("not(a eq 1)", "not(a eq 1)"),
        ("  not  ( a eq 1 )  ", "not(a eq 1)"),
        ("not (a eq 1) and not (b eq 2 or c eq 3)", "(not(a eq 1) and not((b eq 2 or c eq 3)))"),
        ("((a eq 1))", "a eq 1"),
        ('a eq "x) and b eq (y]"', "a eq x) and b eq (y]"),
        ('a eq "\\u03b1\\"\\\\"', 'a eq α"\\'),
        ("a eq and", "a eq and"),
        ("not eq 1", None),
        ("a-b eq x(y", "a-b eq x(y"),
        ("a\teq\n1", "a eq 1"),
    ],
)  # fmt: skip
def test_the_grammar(text: str, read: str | None) -> None:
    if read is None:
        with pytest.raises(UnsupportedError, match="a parenthesis behind not"):
            tree(text)
    else:
        assert tree(text) == read


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ("", 1, "a test, not or a parenthesis"),
        ("gender", 7, "a space and an operator"),
        ("gender eq", 10, "a value is expected here, not its end"),
        ("gender is male", 8, "one of the operators eq, ne"),
        ("gender EQ male", 8, "operators"),
        ("(gender eq male", 16, "closing parenthesis"),
        ("gender eq male)", 15, "and, or, or the end"),
        ("gender eq male birthdate eq 2014", 16, "and, or, or the end"),
        ("gender eq male and", 19, "a test"),
        ("gender eq male AND active eq true", 16, "and, or, or the end"),
        ("not gender eq male", 5, "a parenthesis behind not"),
        ('name co "pet', 9, "does not end"),
        ('name co "\\x"', 9, "no JSON string"),
        ('name co "\\ud800"', 9, "no text has"),
        ('name co "a\\u0000"', 9, "no text has"),
        ('name co "a","b"', 12, "behind the value"),
        ("name. co x", 6, "the name of a search parameter"),
        ("telecom[system eq phone].value eq 1", 8, "not offered"),
        ("1a eq 2", 1, "a test"),
        ("gender eq male and nothing eq x", 20, "no search parameter 'nothing'"),
        ("gender gt male", 1, "it is by eq, ne, pr, in"),
        ("gender ss x", 1, "hierarchies of codes are not known"),
        ("birthdate co 2014", 1, "it is by eq"),
        ("birthdate eq ge2014", 1, "no prefix"),
        ("birthdate eq 2014-13", 1, "birthdate"),
        ("name pr yes", 1, "true or false"),
        ("name eq \"  \"", 1, "nothing is left"),
        ("_id co x", 1, "it is by eq, ne"),
        ("_lastUpdated pr true", 1, "it is by eq"),
        ("gender.x eq y", 1, "no reference"),
        ("organization.endpoint.managing.a.b.c eq y", 1, "no search parameter 'managing'"),
        ("link.link.link.link.link.name eq y", 1, "at most 4 links"),
        ("gender in http://example.org/vs", 1, "value sets of this server"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said_with_its_place(text: str, at: int, why: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        clauses(text)
    assert refused.value.text.startswith(f"_filter, at character {at}: ")
    assert why in refused.value.text
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "text",
    [
        "(" * (MAX_DEPTH + 1) + "gender eq male" + ")" * (MAX_DEPTH + 1),
        " and ".join(["gender eq male"] * (MAX_TESTS + 1)),
        " and active eq true or ".join(["gender eq male"] * MAX_DEPTH),
        "not(" * 5000,
        'name eq "' + "x" * 5000 + '"',
    ],
)
def test_a_filter_has_limits(text: str) -> None:
    with pytest.raises(UnsupportedError, match="at most"):
        clauses(text)


def test_tests_joined_by_and_are_clauses_of_their_own() -> None:
    gender, born = clauses("gender eq male and birthdate ge 2014")
    assert (gender.param, gender.kind, gender.modifier) == ("gender", "token", "")
    assert (gender, born) == parse_query("Patient", [("gender", "male"), ("birthdate", "ge2014")], UTC).clauses


def test_or_and_not_hold_what_they_join() -> None:
    (joined,) = clauses("gender eq male or active eq true and name sw x or not (name co y)")
    assert (joined.kind, len(joined.within)) == ("either", 2)
    first, last = joined.within
    assert [clause.kind for clause in first.clauses] == ["either", "string"]
    assert last == Query(
        "", (Clause("", "neither", within=(Query("", (Clause("name", "string", ("y",), "contains"),)),)),)
    )


def test_a_filter_stands_beside_other_parameters_and_others_of_its_kind() -> None:
    query = parse_query("Patient", [("_filter", "gender eq male"), ("family", "x"), ("_filter", "name sw a")], UTC)
    assert [clause.param for clause in query.clauses] == ["gender", "family", "name"]


def test_a_lenient_client_is_told_of_a_filter_that_is_not_offered_but_not_of_one_that_is_wrong() -> None:
    query = parse_query("Patient", [("_filter", "gender ss x")], UTC, lenient=True)
    assert [each.name for each in query.ignored] == ["_filter"]
    with pytest.raises(UnsupportedError):
        parse_query("Patient", [("_filter", "gender eq")], UTC, lenient=True)


def test_audit_events_have_none() -> None:
    with pytest.raises(UnsupportedError, match="search of their own"):
        clauses("action eq C", "AuditEvent")
    assert all(clauses("_id eq x", type) for type in accepted_types() if type != "AuditEvent")
