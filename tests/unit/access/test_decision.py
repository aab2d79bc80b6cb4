"""Scopes grant exactly what SMART says, and nothing by accident."""

from __future__ import annotations

import pytest

from interop.access import Agent, bound_to_patient, check_scopes, decide, may_view_study
from interop.access.scopes import VERBS, Scope, parse_scope
from interop.errors import ForbiddenError, InvalidContentError


def agent(*scopes: str, patient: str | None = None, studies: frozenset[str] | None = None) -> Agent:
    return Agent("someone", scopes=frozenset(scopes), patient=patient, studies=studies)


def allowed(who: Agent, verb: str, type_: str, patient: str | None = None) -> bool:
    try:
        decide(who, verb, type_, patient=patient)
    except ForbiddenError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("system/*.cruds", Scope("system", "*", "cruds")),
        ("user/Patient.rs", Scope("user", "Patient", "rs")),
        ("patient/ImagingStudy.r", Scope("patient", "ImagingStudy", "r")),
        ("user/*.read", Scope("user", "*", "rs")),
        ("user/*.write", Scope("user", "*", "cud")),
        ("patient/Observation.*", Scope("patient", "Observation", "cruds")),
    ],
)
def test_scopes_of_both_versions_are_read(text: str, scope: Scope) -> None:
    assert parse_scope(text) == scope


@pytest.mark.parametrize(
    "text",
    [
        "user/Patient.dus",
        "user/Patient.",
        "user/Patient",
        "user/Patient.rs?_id=1",
        "system/*.cruds ",
        "system/*.rr",
        "admin/*.cruds",
        "system/*.CRUDS",
        "system/patient.r",
        "launch/patient",
        "openid",
        "",
        "system/*.reads",
    ],
)
def test_anything_else_grants_nothing_and_is_not_issued(text: str) -> None:
    assert parse_scope(text) is None
    assert not any(allowed(agent(text), verb, "Patient", "Patient/1") for verb in VERBS)
    with pytest.raises(InvalidContentError):
        check_scopes([text])


def test_a_token_without_scopes_is_not_issued() -> None:
    with pytest.raises(InvalidContentError):
        check_scopes([])


def test_system_scope_covers_everything() -> None:
    who = agent("system/*.cruds")
    assert all(allowed(who, verb, type_) for verb in VERBS for type_ in ("Patient", "AuditEvent", "ImagingStudy"))
    assert may_view_study(who, "1.2.3")


def test_a_verb_is_never_read_as_another() -> None:
    assert [verb for verb in VERBS if allowed(agent("user/Patient.read"), verb, "Patient")] == ["r", "s"]
    assert [verb for verb in VERBS if allowed(agent("user/Patient.write"), verb, "Patient")] == ["c", "u", "d"]
    assert not allowed(agent("user/Patient.cruds"), "r", "AuditEvent")


def test_patient_scope_holds_for_its_patient_alone() -> None:
    who = agent("patient/*.rs", patient="p1")
    assert allowed(who, "r", "ImagingStudy", "Patient/p1")
    assert not allowed(who, "r", "ImagingStudy", "Patient/p2")
    assert not allowed(who, "s", "ImagingStudy")
    assert not allowed(who, "r", "ImagingStudy", "p1")
    assert allowed(who, "r", "Practitioner")
    assert not allowed(agent("patient/*.cruds", patient="p1"), "u", "Practitioner")
    assert bound_to_patient(who, "s", "ImagingStudy")


def test_missing_patient_context_is_not_system_access() -> None:
    who = agent("patient/*.cruds")
    assert not any(allowed(who, verb, "Patient", patient) for verb in VERBS for patient in (None, "Patient/None"))


def test_a_wider_scope_beside_a_patient_scope_counts() -> None:
    who = agent("patient/*.rs", "user/ImagingStudy.r", patient="p1")
    assert allowed(who, "r", "ImagingStudy", "Patient/p2")
    assert not allowed(who, "r", "DiagnosticReport", "Patient/p2")
    assert not bound_to_patient(who, "r", "ImagingStudy")


def test_a_viewer_session_sees_exactly_its_studies() -> None:
    who = agent("system/*.cruds", studies=frozenset({"1.2.3"}))
    assert may_view_study(who, "1.2.3")
    assert not may_view_study(who, "1.2.33")
    assert not any(allowed(who, verb, type_) for verb in VERBS for type_ in ("ImagingStudy", "Organization"))
    assert not may_view_study(agent(studies=frozenset()), "1.2.3")
    assert not may_view_study(agent(), "1.2.3")


def test_a_patients_app_sees_the_patients_studies() -> None:
    who = agent("patient/ImagingStudy.rs", patient="p1")
    assert may_view_study(who, "1.2.3", patient="Patient/p1")
    assert not may_view_study(who, "1.2.3", patient="Patient/p2")
    assert not may_view_study(who, "1.2.3")
