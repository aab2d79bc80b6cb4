"""What is wrong with a table is said at start, with file and row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from interop.hl7.acknowledgement_mode import BY_MESSAGE, Manner
from interop.mapping.manners import in_words
from interop.mapping.reference import as_markdown
from interop.mapping.rows import TableError
from interop.mapping.tables import compile_tables
from interop.shipped import shipped

Change = Callable[[Path], None]


def replaced(file: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        path = folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def added(file: str, text: str) -> Change:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text((path.read_text() if path.exists() else "") + text)

    return change


PID = "segments/PID_Patient.toml"
ROW = '\n[[row]]\nsource = ["PID-5"]\ntarget = "name[]"\n'


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replaced(PID, "cx_to_identifier", "cx_to_nothing"), [PID, "row 1 (identifier[])", "cx_to_nothing"]),
        (replaced(PID, '"PID-3"', '"PID.3"'), [PID, "row 1", "PID.3"]),
        (replaced(PID, 'source = ["PID-3"]', 'sauce = ["PID-3"]'), [PID, "row 1", "sauce"]),
        (replaced(PID, 'source = ["PID-3"]', "source = []"), [PID, "row 1", "source"]),
        (replaced(PID, 'codes = "gender"', 'codes = "sex"'), [PID, "gender", "sex"]),
        (added(PID, ROW + 'convert = "code_to_code"\n'), [PID, "code_to_code"]),
        (
            added(PID, ROW + 'codes = "gender"\nconvert = "xpn_to_humanname"\n'),
            [PID, "xpn_to_humanname", "does not take a code"],
        ),
        (added(PID, ROW + 'when = { "PID-8" = "F" }\n'), [PID, "when"]),
        (added(PID, ROW + 'when = { "sex" = ["F"] }\n'), [PID, "sex"]),
        (added(PID, ROW + "required = 1\n"), [PID, "required"]),
        (added(PID, ROW.replace("name[]", "na me")), [PID, "na me"]),
        (added(PID, ROW.replace("name[]", "extension[nothing].valueString")), [PID, "nothing"]),
        (added(PID, ROW.replace("name[]", "a..b")), [PID, "a..b"]),
        (replaced(PID, 'resource = "Patient"', 'resource = "Pat"'), [PID, "resource"]),
        (added(PID, "row = 1"), [PID]),
        (added("messages/ORU_R01.toml", "oops = true\n"), ["messages/ORU_R01.toml"]),
        (replaced("messages/ORU_R01.toml", "OBX_Observation", "OBX_Nothing"), ["messages/ORU_R01.toml", "OBX_Nothing"]),
        (
            replaced("messages/ORU_R01.toml", "OBX_Observation", "PID_Patient"),
            ["ORU_R01", "makes a Patient, not a Observation"],
        ),
        (replaced("messages/ORU_R01.toml", 'target = "patient"', 'target = "person"'), ["ORU_R01", "person"]),
        (replaced("messages/ORU_R01.toml", "ORU^R01", "ORM^O01"), ["ORM^O01 has a table already"]),
        (replaced("messages/ORU_R01.toml", 'types = ["ORU^R01"]', "types = []"), ["types is needed"]),
        (added("codes/gender.csv", "F,female,,,\n"), ["codes/gender.csv line 8", "'F' has a row already"]),
        (added("codes/gender.csv", "F;female\n"), ["codes/gender.csv line 8", "columns"]),
        (added("codes/new.csv", "a,b\n"), ["codes/new.csv", "columns have to be"]),
        (added("codes/new.csv", "code,target,display,system,note\n"), ["codes/new.csv", "no rows"]),
        (lambda folder: (folder / "codes/order_control.csv").unlink(), ["codes/order_control.csv is missing"]),
        (lambda folder: (folder / "codes/name_use_out.csv").unlink(), ["codes/name_use_out.csv is missing"]),
        (lambda folder: (folder / "codes/name_use.csv").unlink(), ["xpn_to_humanname needs", "codes/name_use.csv"]),
        (
            replaced("dicom/worklist.toml", "patient_to_pn", "patient_to_x"),
            ["dicom/worklist.toml row 1", "patient_to_x"],
        ),
        (replaced("dicom/worklist.toml", '"PatientName"', '"patientName"'), ["dicom/worklist.toml row 1", "keyword"]),
        (replaced("dicom/worklist.toml", '"PatientName"', '"PatientNaem"'), ["row 1", "Naem is no DICOM keyword"]),
        (
            replaced("dicom/worklist.toml", '"PatientName"', '"PatientID.PatientName"'),
            ["dicom/worklist.toml row 1", "the target has to be"],
        ),
        (replaced("dicom/worklist.toml", '["Patient"]', '["Person"]'), ["dicom/worklist.toml row 1", "Person"]),
        (replaced("dicom/worklist.toml", "identifier[study]", "code[study]"), ["code[study]"]),
        (replaced("dicom/worklist.toml", "extension[step]", "extension[nothing]"), ["nothing"]),
        (replaced("dicom/worklist.toml", "Encounter.serviceType", "Encounter.[x]"), ["Encounter.[x]"]),
        (replaced("dicom/worklist.toml", '"gender_dicom"', '"sex"'), ["PatientSex", "sex"]),
        (replaced("outbound/ORM_O01.toml", '"ORC-1"', '"OBR-1"'), ["outbound/ORM_O01.toml ORC row 1", "field of ORC"]),
        (replaced("outbound/ORM_O01.toml", '"NTE", "ZDS"]', '"NTE", "ZDS", "ZZZ"]'), ["no rows for ZZZ"]),
        (replaced("outbound/ORM_O01.toml", "ORM^O01^ORM_O01", "ORM^O01"), ["outbound/ORM_O01.toml", "type has to be"]),
        (
            added("authorities.toml", '\n[[authority]]\nsystem = "x:y"\nnamespace = "emr"\n'),
            ["authorities.toml", "EMR"],
        ),
        (added("authorities.toml", '\n[[authority]]\nsystem = "x:y"\n'), ["authorities.toml authority 5", "needed"]),
        (added("authorities.toml", '\n[[authority]]\nsystem = "x:y"\nnamespace = "N"\noid = "abc"\n'), ["abc"]),
        (
            added("authorities.toml", '\n[[authority]]\nsystem = "x:y"\nnamespace = "N"\nname = "abc"\n'),
            ["authority 5", "name"],
        ),
        (replaced("sites/example.toml", "Asia/Nicosia", "Asia/Nowhere"), ["sites/example.toml", "Asia/Nowhere"]),
        (replaced("sites/example.toml", "8859/7", "8859/77"), ["sites/example.toml", "8859/77"]),
        (replaced("sites/example.toml", "codes.modality", "codes.mode"), ["sites/example.toml", "mode"]),
        (
            replaced("sites/example.toml", "ei_to_accession", "ei_to_x"),
            ["sites/example.toml segments.ORC_OBR_ServiceRequest row 1", "ei_to_x"],
        ),
        (
            replaced("sites/example.toml", "segments.ORC_OBR_ServiceRequest", "segments.ORC"),
            ["sites/example.toml", "ORC"],
        ),
        (
            replaced("sites/example.toml", '"by-message"', '"sometimes"'),
            ["sites/example.toml acknowledgement", "mode", "by-message, original, enhanced"],
        ),
        (replaced("sites/example.toml", '"ack"', '"ORR"'), ["sites/example.toml acknowledgement", "ack, order"]),
        (replaced("sites/example.toml", '"connection"', '"fax"'), ["acknowledgement", "connection, receiver"]),
        (replaced("sites/example.toml", 'answer = "ack"', 'answers = "ack"'), ["acknowledgement", "answers"]),
        (
            added("sites/other.toml", 'application = "x"\nacknowledgement = "enhanced"\n'),
            ["sites/other.toml", "acknowledgement has to be a table"],
        ),
        (lambda folder: (folder / "codes/order_refusal.csv").unlink(), ["codes/order_refusal.csv is missing"]),
        (added("sites/other.toml", 'name = "x"\n'), ["sites/other.toml", "MSH-3"]),
        (added("sites/other.toml", 'application = "x"\nfacilty = "y"\n'), ["sites/other.toml", "facilty"]),
        (added("sites/other.toml", "a = [\n"), ["sites/other.toml"]),
        (added("sites/other.toml", 'application = "x"\nzone = 3\n'), ["sites/other.toml", "zone has to be text"]),
        (added("sites/other.toml", 'application = "x"\nzone = "Asia/X"\n'), ["sites/other.toml", "zone 'Asia/X'"]),
        (added("sites/other.toml", 'application = "x"\ncharset = ["8859/7"]\n'), ["other.toml", "charset has to be"]),
        (added("sites/other.toml", 'application = "x"\ncharset = "8859/77"\n'), ["other.toml", "charset '8859/77'"]),
        (added("sites/other.toml", 'application = "x"\ncodes = 3\n'), ["sites/other.toml", "codes has to be"]),
        (added("sites/other.toml", 'application = "x"\nsegments = 3\n'), ["sites/other.toml", "segments has to be"]),
        (added("sites/other.toml", 'application = "x"\n[codes]\nmodality = 3\n'), ["other.toml", "codes.modality"]),
        (
            added("sites/other.toml", 'application = "x"\n[codes.gender]\n"1" = 7\n'),
            ["other.toml", "codes.gender: '1'"],
        ),
        (added("sites/other.toml", 'application = "EXAMPLE_RIS"\nfacility = "EXAMPLE"\n'), ["example and other"]),
        (added("sites/other.toml", 'application = "x"\nname = "example"\n'), ["the same name"]),
        (lambda folder: (folder / "sites/other.toml").write_bytes(b"\xff\xfe"), ["sites/other.toml is not UTF-8"]),
    ],
)
def test_a_wrong_table_is_named_at_start(change: Change, words: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "mappings"
    shutil.copytree(str(shipped("mappings")), folder)
    change(folder)
    with pytest.raises(TableError) as caught:
        compile_tables(folder)
    for word in words:
        assert word in str(caught.value)


def test_how_a_sender_is_acknowledged_is_its_sites(tmp_path: Path) -> None:
    folder = tmp_path / "mappings"
    shutil.copytree(str(shipped("mappings")), folder)
    table = '[acknowledgement]\nmode = "enhanced"\nanswer = "order"\napplication = "receiver"\n'
    (folder / "sites/a.toml").write_text(f'application = "A"\n{table}')
    tables = compile_tables(folder)
    found = tables.site("A", "H")
    assert found is not None
    assert found.manner == Manner("enhanced", "order", "receiver")
    assert in_words(found.manner) == "enhanced, order answers, application acknowledgements to its receiver"
    example = tables.site("EXAMPLE_RIS", "EXAMPLE")
    assert (example and example.manner, tables.manner) == (BY_MESSAGE, BY_MESSAGE)
    assert in_words(BY_MESSAGE) == "by-message"


def test_the_site_of_a_sender_is_found_by_both_names_first(tmp_path: Path) -> None:
    folder = tmp_path / "mappings"
    shutil.copytree(str(shipped("mappings")), folder)
    (folder / "sites/a.toml").write_text('application = "A"\nzone = "Europe/Athens"\n')
    (folder / "sites/b.toml").write_text('facility = "H"\n')
    (folder / "sites/c.toml").write_text('application = "A"\nfacility = "H"\nname = "both"\n')
    tables = compile_tables(folder)
    found = [tables.site(*sender) for sender in (("A", "H"), ("A", "X"), ("B", "H"), ("B", "X"))]
    assert [site.name if site else None for site in found] == ["both", "a", "b", None]
    assert found[1] is not None
    assert found[1].zone == ZoneInfo("Europe/Athens")


def test_the_page_of_mappings_is_current() -> None:
    path = Path(__file__).resolve().parents[3] / "docs/reference/mappings.md"
    assert path.read_text() == as_markdown(compile_tables(shipped("mappings"))), "make pages"


def test_every_event_of_a_schedule_is_decided() -> None:
    """SIU S12 to S26 (v2.5.1 10.4; there is no S25): read, or refused with its reason."""
    tables = compile_tables(shipped("mappings"))
    for number in (*range(12, 25), 26):
        type = f"SIU^S{number}"
        reason = tables.codes["refused_message"].find(type)
        assert (type in tables.messages) != (reason is not None and bool(reason.note)), type
    assert not tables.messages.keys() & tables.codes["refused_message"].rows.keys()
