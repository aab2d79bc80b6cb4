"""Every message of the corpus over MLLP: a decided state, no segment lost unseen, and the page that says so."""

from __future__ import annotations

import os
from pathlib import Path

from tests.conformance import PAGE, Outcome, files, outcomes, page

if "INTEROP_CORPUS" in os.environ:
    CORPUS = Path(os.environ["INTEROP_CORPUS"])

    async def test_every_message_of_the_corpus_ends_in_a_decided_state() -> None:
        found = await outcomes(CORPUS)
        assert {one.file for one in found} == {str(path.relative_to(CORPUS / "hl7")) for path in files(CORPUS)}
        assert {one.answer for one in found} <= {"AA", "AE", "AR", "none"}
        assert [one for one in found if one.answer != "AA" and not one.reason] == []
        assert [one for one in found if "this server" in one.reason] == [], "an unexplained error"
        assert [one for one in found if one.silent] == []
        assert PAGE.read_text() == page(found), "make conformance"


def test_the_page_groups_what_became_of_messages() -> None:
    made = page(
        [
            Outcome("a+b/1.hl7", "ORM^O01", "AA", "", ("ZZZ",), ()),
            Outcome("a+b/2.hl7", "ORM^O01", "AA", "", (), ()),
            Outcome("c+d/3.hl7", "ADT^A01", "AE", "PID: no | PID", (), ()),
        ]
    )
    assert "| AA | 2 |" in made
    assert "| ORM^O01 | 2 | ZZZ | a+b/1.hl7 |" in made
    assert "| AE | ADT^A01 | PID: no \\| PID | 1 | c+d/3.hl7 |" in made
