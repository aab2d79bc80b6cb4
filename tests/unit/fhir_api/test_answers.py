"""Values of the FHIR door that need no store: dates of headers, versions, media types, routes."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.errors import ForbiddenError, InteropError, MalformedError, NotFoundError
from interop.fhir.profile import accepted_types
from interop.fhir_api.answers import http_date, http_error
from interop.fhir_api.incoming import versions_of
from interop.fhir_api.routing import FORMS, MethodNotOfferedError, Target, resolve, segments_of


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31)))
def test_http_dates(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert http_date(aware) == format_datetime(aware.replace(microsecond=0), usegmt=True)


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ('W/"3"', ["3"]),
        ('"3"', ["3"]),
        (' W/"12" ', ["12"]),
        ('W/"1", "02" ,W/"3"', ["1", "2", "3"]),
        (" * ", ["*"]),
        (None, None),
    ],
)
def test_versions_of_if_match(text: str | None, versions: list[str] | None) -> None:
    assert versions_of(text) == (None if versions is None else frozenset(versions))


@pytest.mark.parametrize(
    "text", ["", "3", "**", "*, *", 'W/"1", *', 'W/"x"', 'W/"1",', 'W/"1" W/"2"', 'W/"9999999999"', 'w/"1"']
)
def test_what_is_no_version_of_ours(text: str) -> None:
    with pytest.raises(MalformedError):
        versions_of(text)


def test_every_form_of_every_type_is_resolved_or_refused() -> None:
    paths = {"type": (), "type/_search": ("_search",), "type/_history": ("_history",), "type/id": ("x",)}
    paths |= {"type/id/_history": ("x", "_history"), "type/id/_history/version": ("x", "_history", "2")}
    assert set(paths) == {form for form in FORMS if form.startswith("type")}
    for type, accepted in accepted_types().items():
        for form, rest in paths.items():
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
                interaction = FORMS[form].get(method)
                if interaction in accepted.interactions:
                    assert resolve(method, (type, *rest)).interaction == interaction
                else:
                    with pytest.raises((MethodNotOfferedError, ForbiddenError)):
                        resolve(method, (type, *rest))


def test_targets() -> None:
    assert resolve("GET", ("Patient", "a", "_history", "2")) == Target("vread", "Patient", "a", "2")
    assert resolve("HEAD", ("Patient", "a")) == Target("read", "Patient", "a")
    assert resolve("POST", ()) == Target("bundle")
    assert resolve("GET", ("metadata",)) == Target("capabilities")
    assert resolve("GET", ("_history",)) == Target("history-system")
    assert resolve("PATCH", ("Patient",)) == Target("patch", "Patient")
    assert segments_of("/Patient/a/") == ("Patient", "a")
    assert segments_of("/") == ()


@pytest.mark.parametrize(
    "path", [("Nothing",), ("Claim", "1"), ("Patient", "a", "b"), ("Patient", "$nothing"), ("$x",)]
)
def test_addresses_of_nothing(path: tuple[str, ...]) -> None:
    with pytest.raises(NotFoundError):
        resolve("GET", path)


def test_a_405_says_what_is_allowed() -> None:
    with pytest.raises(MethodNotOfferedError) as caught:
        resolve("POST", ("Patient", "1"))
    assert http_error(caught.value).headers["allow"] == "GET, PUT, PATCH, DELETE"
    with pytest.raises(InteropError) as caught_read_only:
        resolve("POST", ("AuditEvent", "1"))
    assert http_error(caught_read_only.value).headers["allow"] == "GET"
