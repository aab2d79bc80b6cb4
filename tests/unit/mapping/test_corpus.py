"""Messages that other projects wrote: each becomes correct FHIR or is refused with its place (INTEROP_CORPUS)."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from interop.errors import MalformedError
from interop.fhir.json import dumps
from interop.fhir.validation import validate
from interop.hl7.batches import messages_in
from interop.hl7.message import Message
from interop.mapping.explained import Explaining
from interop.mapping.messages import read_message
from interop.mapping.preview import preview
from interop.mapping.tables import compile_tables
from interop.shipped import shipped

TABLES = compile_tables(shipped("mappings"))
CORPUS = Path(os.environ["INTEROP_CORPUS"]) / "hl7" if "INTEROP_CORPUS" in os.environ else None


def readable(path: Path) -> list[Message]:
    found = []
    for raw in messages_in(path.read_bytes()):
        try:
            found.append(read_message(raw, TABLES))
        except MalformedError:
            continue  # tests/unit/hl7 sees to these
    return found


EXPLAINING = Explaining(shipped("mappings"), zone=ZoneInfo("Asia/Nicosia"), facility="IMG")

if CORPUS is not None:

    @pytest.mark.parametrize("folder", sorted(CORPUS.glob("*")), ids=lambda folder: folder.name)
    def test_explaining_a_message_changes_nothing_of_it(folder: Path) -> None:
        for path in sorted(folder.glob("*.hl7")):
            for message in readable(path):
                ordinary = preview(message, TABLES, zone=ZoneInfo("Asia/Nicosia"), facility="IMG")
                told = EXPLAINING.explain(message.raw, None, lambda order, patient: None)
                assert dumps({name: told[name] for name in ordinary}) == dumps(ordinary), path

    @pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*.hl7")), ids=lambda path: f"{path.parent.name}-{path.stem}")
    def test_every_message_ends_in_a_decided_state(path: Path) -> None:
        for message in readable(path):
            found = preview(message, TABLES, zone=ZoneInfo("Asia/Nicosia"), facility="IMG")
            assert found["answer"] in ("AA", "AE", "AR")
            if found["bundle"] is None:
                assert found["issues"][-1]["location"]
                assert found["issues"][-1]["text"]
                continue
            for entry in found["bundle"]["entry"]:
                validate(entry["resource"])
