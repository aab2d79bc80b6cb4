"""A table that would put something where R4 has no place, or a code that it does not take, cannot be used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from interop.mapping.element_rules import WORDS, element_at
from interop.mapping.rows import TableError
from interop.mapping.tables import compile_tables
from interop.shipped import shipped
from interop.workflow.lifecycle import EVENTS

SITE = 'name = "x"\napplication = "X"\n'


def refusal(tmp_path: Path, text: str, file: str = "sites/x.toml") -> str:
    folder = tmp_path / "mappings"
    shutil.copytree(str(shipped("mappings")), folder)
    path = folder / file
    path.write_text((path.read_text() if path.exists() else SITE) + text)
    with pytest.raises(TableError) as caught:
        compile_tables(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("foo", "R4 has no Patient.foo"),
        ("extension.foo", "Patient.extension repeats; say extension["),
        ("gender.foo", "R4 has no Patient.gender.foo"),
        ("name", "Patient.name repeats; say name[]"),
        ("birthDate[]", "Patient.birthDate does not repeat"),
        ("deceased", "Patient.deceased has a type in its name, such as deceasedBoolean, deceasedDateTime"),
        ("deceasedString", "R4 has no Patient.deceasedString"),
        ("_name", "R4 has no Patient._name"),
        ("maritalStatus.coding", "Patient.maritalStatus.coding repeats"),
        ("contact[].name.family", "further than one element below contact"),
        ("contact[].nmae", "R4 has no Patient.contact.nmae"),
        ("extension[birthPlace].valueNothing", "R4 has no Patient.extension.valueNothing"),
        ("maritalStatus.text[x]", "is no target"),
    ],
)
def test_a_target_that_r4_does_not_have_is_named_by_file_table_and_row(target: str, words: str, tmp_path: Path) -> None:
    row = f'[[segments.PID_Patient]]\nsource = ["PID-30"]\ntarget = "{target}"\n'
    said = refusal(tmp_path, f'[[segments.PID_Patient]]\nsource = ["PID-5"]\ntarget = "name[]"\n{row}')
    assert said.startswith(f"sites/x.toml segments.PID_Patient row 2 ({target}): ")
    assert words in said


@pytest.mark.parametrize(
    "target", ["_birthDate", "maritalStatus.text", "link[].type", "identifier[MR]", "deceasedBoolean"]
)
def test_a_target_that_r4_has_leads_there(target: str) -> None:
    element, _ = element_at("Patient", target)
    assert element.key == target.rpartition(".")[2].partition("[")[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[codes.gender]\n"9" = "femail"\n', ["codes.gender", "'9'", "'femail'", "Patient.gender", "female, male"]),
        ('[codes.priority]\n"9" = "soon"\n', ["codes.priority", "'9'", "'soon'", "ServiceRequest.priority", "stat"]),
        ('[codes.report_status]\n"9" = "done"\n', ["codes.report_status", "DiagnosticReport.status", "final"]),
        ('[codes.telecom_use]\n"9" = "house"\n', ["codes.telecom_use", "'9'", "ContactPoint.use", "home"]),
        ('[codes.order_control]\nZZ = "nwe"\n', ["codes.order_control", "'ZZ'", "'nwe'", "none of new"]),
        ('[codes.coding_system]\nLAB = "our codes"\n', ["codes.coding_system", "'LAB'", "absolute URI"]),
        ('[codes.modality]\n"X-RAY" = "x-ray"\n', ["codes.modality", "'X-RAY'", "DICOM modality"]),
        (
            '[[segments.PID_Patient]]\nsource = ["PID-8"]\ntarget = "gender"\ncodes = "priority"\n',
            ["segments.PID_Patient row 1 (gender)", "'S' becomes in codes/priority.csv line 2", "'stat'"],
        ),
        (
            '[[segments.PID_Patient]]\nsource = ["PID-16"]\ntarget = "maritalStatus"\ncodes = "marital_status"\n',
            ["row 1 (maritalStatus)", "is a CodeableConcept, not a code alone"],
        ),
        (
            '[[segments.PID_Patient]]\nsource = ["PID-8"]\ntarget = "gender"\ncodes = "gender"\n'
            'convert = "code_to_coding"\n',
            ["row 1 (gender)", "is a code, not a Coding"],
        ),
    ],
)  # fmt: skip
def test_a_code_that_the_element_does_not_take_is_named_by_file_table_and_key(
    text: str, words: list[str], tmp_path: Path
) -> None:
    said = refusal(tmp_path, text)
    for word in ("sites/x.toml", *words):
        assert word in said


def test_a_wrong_code_of_a_table_is_named_by_its_line(tmp_path: Path) -> None:
    said = refusal(tmp_path, "Q,other-still,,,\n", "codes/gender.csv")
    assert "'Q' becomes in codes/gender.csv line 8" in said
    assert said.startswith("segments/PID_Patient.toml row ")


def test_what_a_site_makes_of_an_order_is_what_orders_can_do() -> None:
    assert set(WORDS["order_control"]) - {"refuse", "status"} <= set(EVENTS)
    assert set(WORDS["order_status"]) <= set(EVENTS)
