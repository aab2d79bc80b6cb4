"""An order's life told by HL7 messages to the real server, as FHIR and the worklist folder show it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from interop.demo.world import eventually
from interop.hl7.message import parse
from tests.hl7_messages import orm
from tests.real_server import RealServer, accession_of, step_of

# after each message: its ORC-1 and ORC-5, the answer, the order's status and step, and whether modalities see it
STEPS = {
    "changed, held, released, cancelled": (
        ("NW", "", "AA", "active", "scheduled", True),
        ("XO", "", "AA", "active", "scheduled", True),
        ("HD", "", "AA", "on-hold", "scheduled", False),
        ("RL", "", "AA", "active", "scheduled", True),
        ("CA", "", "AA", "revoked", "cancelled", False),
        ("RL", "", "AE", "revoked", "cancelled", False),
        ("XO", "", "AE", "revoked", "cancelled", False),
    ),
    "arrived, begun, completed": (
        ("NW", "", "AA", "active", "scheduled", True),
        ("SC", "AR", "AA", "active", "arrived", True),
        ("SC", "IP", "AA", "active", "in-progress", False),
        ("CA", "", "AE", "active", "in-progress", False),
        ("SC", "CM", "AA", "completed", "in-progress", False),
        ("HD", "", "AE", "completed", "in-progress", False),
    ),
    "held and cancelled": (
        ("NW", "", "AA", "active", "scheduled", True),
        ("HD", "", "AA", "on-hold", "scheduled", False),
        ("CA", "", "AA", "revoked", "cancelled", False),
        ("CA", "", "AA", "revoked", "cancelled", False),
    ),
    "discontinued when begun": (
        ("NW", "", "AA", "active", "scheduled", True),
        ("SC", "IP", "AA", "active", "in-progress", False),
        ("DC", "", "AA", "revoked", "cancelled", False),
    ),
    "completed at once": (
        ("NW", "", "AA", "active", "scheduled", True),
        ("SC", "CM", "AA", "completed", "scheduled", False),
    ),
}


@pytest.mark.parametrize("life", STEPS)
def test_a_life(shared_server: RealServer, life: str) -> None:
    placer = "LIFE-" + life.replace(" ", "-").replace(",", "")
    told(shared_server, placer, STEPS[life])


def told(server: RealServer, placer: str, steps: Sequence[tuple[str, str, str, str, str, bool]]) -> None:
    accession = ""
    with server.sender() as sender:
        for control, state, answer, status, step, shown in steps:
            said = parse(sender.send(orm(control, placer=placer, status=state)))
            assert said.get("MSA-1") == answer, (control, state, said.get("ERR-8"))
            order = server.order(placer)
            assert (order["status"], step_of(order)) == (status, step), (control, state)
            accession = accession or accession_of(order)
            assert accession_of(order) == accession
            becomes(server, accession, {(accession, "CT1"): 1} if shown else {})


def becomes(server: RealServer, accession: str, wanted: dict[tuple[str, str], int]) -> None:
    """Wait for these worklist files of the order."""
    eventually(f"the worklist shows {wanted or 'nothing'}", lambda: of(server, accession) == wanted)


def of(server: RealServer, accession: str) -> dict[tuple[str, str], int]:
    """The worklist files of one order."""
    return {key: count for key, count in server.worklist().items() if key[0] == accession}


def test_a_change_shows_in_fhir_and_in_the_worklist_file(shared_server: RealServer) -> None:
    assert shared_server.send(orm(placer="MOVED", start="20261121083000")).get("MSA-1") == "AA"
    accession = accession_of(shared_server.order("MOVED"))
    eventually("the order is on the worklist", lambda: of(shared_server, accession))
    assert shared_server.send(orm("XO", placer="MOVED", start="20261121154500")).get("MSA-1") == "AA"
    assert shared_server.order("MOVED")["occurrenceDateTime"].startswith("2026-11-21T15:45:00")
    eventually("the worklist shows the new time", lambda: shared_server.starts(accession) == ["154500"])


def test_a_repeated_message_gets_the_stored_answer_and_another_body_none(shared_server: RealServer) -> None:
    first = orm(id="REPEATED", placer="REPEATED")
    with shared_server.sender() as sender:
        answer = sender.send(first)
        assert parse(answer).get("MSA-1") == "AA"
        before = shared_server.counts()
        version = shared_server.order("REPEATED")["meta"]["versionId"]
        assert sender.send(first) == answer
        later = first.replace(b"|20261120101500|", b"|20261120113000|")  # sent again, MSH-7 says when
        assert sender.send(later) == answer
    with shared_server.sender() as another:
        assert another.send(first) == answer
        reused = parse(another.send(orm(id="REPEATED", placer="ANOTHER")))
    assert (reused.get("MSA-1"), reused.get("ERR-3.1"), reused.get("ERR-2")) == ("AR", "205", "MSH^1^10^1")
    assert shared_server.counts() == before
    assert shared_server.order("REPEATED")["meta"]["versionId"] == version
    alerts = shared_server.found("AuditEvent?subtype=control-id-reused")
    assert len(alerts) == 1
