"""XML by R4 xml.html: what is written, what is read, and that one is the other's inverse."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from interop.errors import MalformedError, UnsupportedError
from interop.fhir.json import dumps, loads
from interop.fhir.validation import validate
from interop.fhir.xml_reading import from_xml
from interop.fhir.xml_writing import to_xml

NS = 'xmlns="http://hl7.org/fhir"'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p>5 &lt; 6 &amp; <b>x</b><br/></p></div>'


def example(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **elements}


WRITTEN: list[tuple[str, str]] = [
    ('{"resourceType":"Patient"}', f"<Patient {NS}/>"),
    (
        '{"resourceType":"Patient","birthDate":"1970","id":"a","active":false}',
        f'<Patient {NS}><id value="a"/><active value="false"/><birthDate value="1970"/></Patient>',
    ),
    (
        '{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10},'
        '"component":[{"id":"c","code":{"text":"y"},"valueInteger":3}]}',
        f'<Observation {NS}><status value="final"/><code><text value="x"/></code>'
        '<valueQuantity><value value="1.10"/></valueQuantity>'
        '<component id="c"><code><text value="y"/></code><valueInteger value="3"/></component></Observation>',
    ),
    (
        '{"resourceType":"Patient","_birthDate":{"id":"b","extension":[{"url":"urn:x","valueString":"a\\n\\"<&>\\t"}]},'
        '"birthDate":"1970"}',
        f'<Patient {NS}><birthDate value="1970" id="b"><extension url="urn:x">'
        '<valueString value="a&#10;&quot;&lt;&amp;&gt;&#9;"/></extension></birthDate></Patient>',
    ),
    (
        '{"resourceType":"Patient","name":[{"given":["a",null,"c"],"_given":[null,{"extension":[{"url":"urn:x",'
        '"valueDecimal":1E2}]},null]}]}',
        f'<Patient {NS}><name><given value="a"/><given><extension url="urn:x"><valueDecimal value="1E2"/></extension>'
        '</given><given value="c"/></name></Patient>',
    ),
    (
        dumps(example(text={"status": "generated", "div": DIV})).decode(),
        f'<Patient {NS}><text><status value="generated"/>{DIV}</text></Patient>',
    ),
    (
        '{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","name":"n"}],'
        '"managingOrganization":{"reference":"#o"}}',
        f'<Patient {NS}><contained><Organization><id value="o"/><name value="n"/></Organization></contained>'
        '<managingOrganization><reference value="#o"/></managingOrganization></Patient>',
    ),
    (
        '{"resourceType":"Parameters","parameter":[{"name":"p","resource":{"resourceType":"Patient","id":"x"}},'
        '{"name":"q","part":[{"name":"r","valueBoolean":true}]}]}',
        f'<Parameters {NS}><parameter><name value="p"/><resource><Patient><id value="x"/></Patient></resource>'
        '</parameter><parameter><name value="q"/><part><name value="r"/><valueBoolean value="true"/></part></parameter>'
        "</Parameters>",
    ),
    (
        '{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:x","resource":'
        '{"resourceType":"ValueSet","status":"active","expansion":{"timestamp":"2020","contains":[{"code":"a",'
        '"contains":[{"code":"b"}]}]}}}]}',
        f'<Bundle {NS}><type value="collection"/><entry><fullUrl value="urn:uuid:x"/><resource><ValueSet>'
        '<status value="active"/><expansion><timestamp value="2020"/><contains><code value="a"/><contains>'
        '<code value="b"/></contains></contains></expansion></ValueSet></resource></entry></Bundle>',
    ),
]


@pytest.mark.parametrize(("as_json", "as_xml"), WRITTEN)
def test_written_and_read(as_json: str, as_xml: str) -> None:
    document = to_xml(loads(as_json))
    assert document.decode() == f'<?xml version="1.0" encoding="UTF-8"?>{as_xml}'
    assert _texts(dumps(from_xml(document))) == _texts(as_json)
    assert _texts(dumps(from_xml(to_xml(loads(as_json), pretty=True)))) == _texts(as_json)


def _texts(data: bytes | str) -> Any:
    """Every number as its text, so that 1.10 is not 1.1."""
    return json.loads(data, parse_float=str, parse_int=str)


def corpus() -> list[Path]:
    folder = os.environ.get("INTEROP_CORPUS")
    return sorted(Path(folder, "fhir").glob("*/*.json")) if folder else []


@pytest.mark.parametrize("path", corpus(), ids=lambda path: path.name)
def test_the_official_examples_come_back(path: Path) -> None:
    data = path.read_bytes()
    for pretty in (False, True):
        assert _texts(dumps(from_xml(to_xml(loads(data), pretty=pretty)))) == _texts(data)


def test_comments_and_prefixes_and_order_of_attributes() -> None:
    document = (
        '\ufeff<?xml version="1.0" encoding="utf-8" standalone="yes"?><!-- a -->'
        '<f:Patient xmlns:f="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="http://hl7.org/fhir x.xsd">\n'
        "  <f:name id='n'><!-- b --><f:family value='Παπ&#x3B1;&amp;'/></f:name>\n</f:Patient>"
    )
    assert from_xml(document.encode()) == example(name=[{"id": "n", "family": "Παπα&"}])


def test_names_of_characters_that_xml_does_not_know() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">a&nbsp;&eacute;&amp;</div>'
    written = to_xml(example(text={"status": "generated", "div": div}))
    assert b"a&#160;&#233;&amp;</div>" in written
    validate(from_xml(written))


def test_numbers_that_are_none_are_left_to_validation() -> None:
    for text in ("+1", "1.", ".5", "01", "x", "NaN"):
        read = from_xml(
            f'<Observation {NS}><status value="final"/><code><text value="x"/></code>'
            f'<valueQuantity><value value="{text}"/></valueQuantity></Observation>'.encode()
        )
        assert read["valueQuantity"]["value"] == text


REFUSED: list[tuple[str, str, str]] = [
    ("", "not XML", ""),
    ("<Patient", "not XML", ""),
    ("<Patient/>", "no resource of R4", ""),
    (f"<HumanName {NS}/>", "no resource of R4", ""),
    (f"<Nothing {NS}/>", "no resource of R4", ""),
    (f'<!DOCTYPE Patient [<!ENTITY a "b">]><Patient {NS}><language value="&a;"/></Patient>', "document type", ""),
    (f'<!DOCTYPE Patient SYSTEM "file:///etc/passwd"><Patient {NS}/>', "document type", ""),
    (f"<?xml-stylesheet href='x'?><Patient {NS}/>", "processing instruction", ""),
    (f'<Patient {NS}><language value="&a;"/></Patient>', "not XML", ""),
    (f'<Patient {NS} id="a"/>', "attribute id", ""),
    (f'<Patient {NS}>\n<name>\n<surname value="x"/></name></Patient>', "line 3: <surname>", "Patient.name[0]"),
    (f'<Patient {NS}><name xmlns="urn:x"/></Patient>', "<name> has no place", "Patient"),
    (f'<Patient {NS}><birthDate value="1970"/><active value="true"/></Patient>', "out of order", "Patient.active"),
    (f'<Patient {NS}><active value="true"/><active value="true"/></Patient>', "once", "Patient.active"),
    (f'<Patient {NS}><active value="true" unit="x"/></Patient>', "attribute unit", "Patient.active"),
    (f'<Patient {NS}><name value="x"/></Patient>', "attribute value", "Patient.name[0]"),
    (f"<Patient {NS}><active>true</active></Patient>", "text has no place", "Patient.active"),
    (f"<Patient {NS}>x</Patient>", "text has no place", "Patient"),
    (f"<Patient {NS}><active/></Patient>", "neither a value", "Patient.active"),
    (f'<Patient {NS}><deceasedBoolean value="true"/><deceasedDateTime value="2020"/></Patient>', "one type", ""),
    (f"<Patient {NS}><contained/></Patient>", "holds no resource", "Patient.contained"),
    (f"<Patient {NS}><contained><Patient/><Patient/></contained></Patient>", "one resource", ""),
    (f'<Patient {NS}><contained><name value="x"/></contained></Patient>', "no resource of R4", ""),
    (f'<Patient {NS}><text><status value="generated"/><div>x</div></text></Patient>', "<div> has no place", ""),
    (f'<Patient {NS}><extension><url value="x"/></extension></Patient>', "<url> has no place", ""),
    ("<a>" * 10_000, "no resource of R4", ""),
    (f"<Patient {NS}>" + '<extension url="x">' * 100, "deeper", ""),
    (f'<Patient {NS}><text><div xmlns="http://www.w3.org/1999/xhtml">' + "<b>" * 100, "deeper", ""),
]


@pytest.mark.parametrize(("document", "words", "expression"), REFUSED)
def test_what_is_no_resource(document: str, words: str, expression: str) -> None:
    with pytest.raises(MalformedError) as caught:
        from_xml(document.encode())
    assert words in caught.value.text
    if expression:
        assert caught.value.issues[0].expression[0].startswith(expression)


def test_other_encodings_are_refused() -> None:
    with pytest.raises(MalformedError, match="UTF-8"):
        from_xml(f"<Patient {NS}/>".encode("utf-16"))


@pytest.mark.parametrize(
    "resource",
    [
        example(name=[{"family": "a\x01"}]),
        example(surname="x"),
        {"resourceType": "Nothing"},
        example(contained=[{"resourceType": "Medication", "code": 5}]),
        example(contained=[{"resourceType": "Medication", "text": {"div": "<script/>"}}]),
        example(contained=[5]),
    ],
)
def test_what_xml_cannot_hold(resource: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        to_xml(resource)
    assert caught.value.status == 406
