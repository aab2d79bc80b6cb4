"""Narrative: https://hl7.org/fhir/R4/narrative.html (txt-1, txt-2)"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.fhir.narrative import check_xhtml

OPEN = '<div xmlns="http://www.w3.org/1999/xhtml">'


@pytest.mark.parametrize(
    "content",
    [
        "text",
        "a&nbsp;&lt;b&#233;",
        "<p>x</p><br/><table><tr><td colspan='2'>y</td></tr></table>",
        '<img src="#a" alt="x"/>',
        '<a href="http://x/y:z?a=b">l</a>',
        '<a href="Patient/1">l</a>',
        "<p xml:lang='el' style='color:red' class='a'>Νίκος</p>",
        '<img src="data:image/png;base64,AAAA"/>',
        '<a name="x">t</a>',
        "<![CDATA[x]]>",
        "<!-- c -->x",
    ],
)
def test_formatting_is_allowed(content: str) -> None:
    assert check_xhtml(f"{OPEN}{content}</div>") is None


@pytest.mark.parametrize(
    "content",
    [
        "<script>x</script>",
        "<style>x</style>",
        "<form>x</form>",
        "<iframe>x</iframe>",
        "<object>x</object>",
        "<p onclick='x'>y</p>",
        "<a href='javascript:x'>y</a>",
        "<a href=' java\nscript:x'>y</a>",
        "<a href='&#106;avascript:x'>y</a>",
        "<a href='data:text/html,x'>y</a>",
        "<a href='vbscript:x'>y</a>",
        "",
        "  \n",
        "<p> </p>",
        "<p>",
        "&nothing;",
        "</div><div>",
        "<x:script xmlns:x='http://www.w3.org/1999/xhtml'>x</x:script>",
        "<P>x</P>",
        "\x01",
    ],
)
def test_everything_else_is_not(content: str) -> None:
    assert check_xhtml(f"{OPEN}{content}</div>")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "<div>x</div>",
        '<p xmlns="http://www.w3.org/1999/xhtml">x</p>',
        '<div xmlns="urn:x">x</div>',
        f'<!DOCTYPE div [<!ENTITY a "b">]>{OPEN}&a;</div>',
        f'<!DOCTYPE div SYSTEM "file:///etc/passwd">{OPEN}x</div>',
        f"{OPEN}x</div>y",
    ],
)
def test_it_is_one_div_of_xhtml(text: str) -> None:
    assert check_xhtml(text)


@pytest.mark.parametrize("value", [None, 5, {}, []])
def test_it_is_a_string(value: object) -> None:
    assert check_xhtml(value)


@given(st.text() | st.text(alphabet="<>/ap=\"'&;! -[]x"))
def test_any_text_is_checked(text: str) -> None:
    check_xhtml(f"{OPEN}{text}</div>")
    check_xhtml(text)
