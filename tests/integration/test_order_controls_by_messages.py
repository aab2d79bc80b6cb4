"""Each order control code of table 0119, as a RIS sends it over the wire: what becomes of the order, or why nothing."""

from __future__ import annotations

from typing import Any

import pytest

from interop.fhir.query import Identity
from interop.hl7.message import Message
from interop.store import OrderRow, Store
from tests.hl7_messages import PATIENT, header, message, orm
from tests.mllp_door import Peer, listening
from tests.sites import tables

_OF_OTHERS = "AF DF FU OF RF UF OP PY CP MC LI UN"  # pharmacies, laboratories, charges, problems
_ANSWERS = "UC UD UH UM UR UX DE RR SS"  # to requests that this server never makes
_GROUPS = "PA CH CN PR"

# ORC-1 -> the answer and the order's status and step after it, of an order that is scheduled
SCHEDULED = {
    **dict.fromkeys(["XO", "XX", "XR", "NA", "OK", "SC", "SR", "RE", "RL", "OE", "OR"], ("AA", "active", "scheduled")),
    **dict.fromkeys(["CA", "OC", "CR", "UA", "DC", "OD", "DR"], ("AA", "revoked", "cancelled")),
    **dict.fromkeys(["HD", "OH", "HR"], ("AA", "on-hold", "scheduled")),
    **dict.fromkeys(f"{_OF_OTHERS} {_ANSWERS} {_GROUPS}".split(), ("AR", "active", "scheduled")),
}
# the same for an order that has begun
BEGUN = {
    **dict.fromkeys(["CA", "OC", "CR", "UA"], ("AE", "active", "in-progress")),
    **dict.fromkeys(["DC", "OD", "DR"], ("AA", "revoked", "cancelled")),
    **dict.fromkeys(["HD", "OH", "HR"], ("AE", "active", "in-progress")),
    **dict.fromkeys(["XO", "XX", "XR", "NA", "OK", "SC", "RE", "RL", "OE", "OR"], ("AA", "active", "in-progress")),
}
# and for one on hold
HELD = dict.fromkeys(["RL", "OE", "OR"], ("AA", "active", "scheduled"))
PLACE_OR_REPLACE = {"NW", "SN", "RO", "RP", "RQ", "RU"}  # tested by themselves below

CASES = [
    *((code, "", wanted) for code, wanted in SCHEDULED.items()),
    *((code, "SC|IP", wanted) for code, wanted in BEGUN.items()),
    *((code, "HD|", wanted) for code, wanted in HELD.items()),
]


def test_every_code_is_tested_here() -> None:
    assert set(SCHEDULED) | PLACE_OR_REPLACE == set(tables().codes["order_control"].rows)


async def row_of(store: Store, placer: str = "", **found_by: Any) -> OrderRow:
    """The order with that number."""
    asked = {name: Identity("urn:interop:ns:HOSP:RIS", value) for name, value in found_by.items()}
    if placer:
        asked["placer"] = Identity("urn:interop:ns:HOSP:RIS", placer)
    (row,) = await store.view(lambda tx: tx.find_orders(**asked))
    return row


async def answered(peer: Peer, raw: bytes) -> Message:
    """The answer to one message."""
    await peer.send(raw)
    return await peer.answer()


async def test_each_code_is_an_event_or_a_refusal_with_words(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        for code, first, (answer, status, step) in CASES:
            placer = f"{code}-{first[:2]}"
            assert (await answered(peer, orm(placer=placer))).get("MSA-1") == "AA"
            if first:
                control, _, state = first.partition("|")
                assert (await answered(peer, orm(control, placer=placer, status=state))).get("MSA-1") == "AA"
            said = await answered(peer, orm(code, placer=placer))
            assert said.get("MSA-1") == answer, (code, first, said.get("ERR-8"))
            row = await row_of(store, placer)
            assert (row.status, row.step) == (status, step), (code, first)
            if answer == "AR":
                assert (said.get("ERR-2"), said.get("ERR-3.1")) == ("ORC^1^1^1", "103"), code
                assert f"order control {code} (" in said.get("ERR-8")
                assert tables().codes["order_control"].rows[code].note in said.get("ERR-8")


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ("", ("active", "scheduled")),
        ("SC", ("active", "scheduled")),
        ("AR", ("active", "arrived")),
        ("IP", ("active", "in-progress")),
        ("A", ("active", "in-progress")),
        ("CM", ("completed", "scheduled")),
        ("HD", ("on-hold", "scheduled")),
        ("CA", ("revoked", "cancelled")),
        ("DC", ("revoked", "cancelled")),
        ("RP", ("revoked", "cancelled")),
        ("ER", ("entered-in-error", "cancelled")),
    ],
)
async def test_each_status_that_they_may_state(store: Store, state: str, wanted: tuple[str, str]) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        for control in ("SC", "SR", "RE"):
            await answered(peer, orm(placer=control))
            assert (await answered(peer, orm(control, placer=control, status=state))).get("MSA-1") == "AA"
            row = await row_of(store, control)
            assert (row.status, row.step) == wanted
    assert state in tables().codes["order_status"].rows


async def test_a_code_that_no_table_has_is_an_error_with_its_place(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await answered(peer, orm())
        for raw, location in ((orm("ZZ"), "ORC^1^1^1"), (orm("SC", status="QQ"), "ORC^1^5^1"), (orm(""), "ORC^1^1^1")):
            said = await answered(peer, raw)
            assert (said.get("MSA-1"), said.get("ERR-2")) == ("AE", location)
    assert (await row_of(store, "P1")).status == "active"


async def test_a_filler_that_asks_for_a_number_gets_an_order_and_tells_the_number_it_was_given(store: Store) -> None:
    """SN with the filler number alone, then NA with both (v2.5.1 4.5.1.1)."""
    async with listening(store) as (_, connect):
        peer = await connect()
        obr = "OBR|1||F7^RIS|CTCH^CT chest^L||||||||||||||||||||CT"
        sent = message(header("ORM^O01"), PATIENT, "ORC|SN||F7^RIS", obr)
        assert (await answered(peer, sent)).get("MSA-1") == "AA"
        row = await row_of(store, filler="F7")
        assert (row.status, row.placer) == ("active", None)
        assert (await answered(peer, message(header("ORM^O01"), PATIENT, "ORC|NA|P7^RIS|F7^RIS"))).get("MSA-1") == "AA"
        assert (await row_of(store, "P7")).id == row.id
        assert (await answered(peer, orm("CA", placer="P7"))).get("MSA-1") == "AA"
        assert (await row_of(store, filler="F7")).status == "revoked"


def replacement(control: str, old: str, *new: str, accession: str = "") -> bytes:
    """An order that gives way to others."""
    groups = [
        segment
        for placer in new
        for segment in (
            f"ORC|RO|{placer}^RIS|||||||20261120101000",
            f"OBR|1|{placer}^RIS||MRHEAD^MR head^L||||||||||||||{accession}||||||MR",
        )
    ]
    return message(header("ORM^O01"), PATIENT, f"ORC|{control}|{old}^RIS", *groups)


@pytest.mark.parametrize("control", ["RP", "RQ", "RU"])
async def test_a_replaced_order_ends_and_the_new_ones_say_what_they_replace(store: Store, control: str) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await answered(peer, orm(placer="OLD"))
        sent = replacement(control, "OLD", "NEW1", "NEW2")
        assert (await answered(peer, sent)).get("MSA-1") == "AA"
        assert (await answered(peer, sent.replace(b"|T", b"|U"))).get("MSA-1") == "AA"  # again, under another MSH-10
    old = await row_of(store, "OLD")
    assert (old.status, old.step) == ("revoked", "cancelled")
    for placer in ("NEW1", "NEW2"):
        row = await row_of(store, placer)
        assert (row.status, row.step, row.modality) == ("active", "scheduled", "MR")
        resource = await store.view(lambda tx, id=row.id: tx.get("ServiceRequest", id).resource())  # type: ignore[misc]
        assert resource["replaces"] == [{"reference": f"ServiceRequest/{old.id}"}]
        assert resource["authoredOn"].startswith("2026-11-20T10:10")


async def test_what_has_begun_is_replaced_as_a_fact_and_not_on_request(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await answered(peer, orm(placer="OLD"))
        await answered(peer, orm("SC", placer="OLD", status="IP"))
        said = await answered(peer, replacement("RP", "OLD", "NEW1"))
        assert (said.get("MSA-1"), said.get("ERR-3.1")) == ("AE", "207")
        assert not await store.view(lambda tx: [row for row in tx.find_orders() if row.modality == "MR"])
        assert (await answered(peer, replacement("RU", "OLD", "NEW1"))).get("MSA-1") == "AA"
    assert (await row_of(store, "OLD")).status == "revoked"


async def test_a_replacement_without_its_new_order_is_refused(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        await answered(peer, orm(placer="OLD"))
        said = await answered(peer, replacement("RP", "OLD"))
        assert (said.get("MSA-1"), said.get("ERR-3.1"), said.get("ERR-2")) == ("AE", "103", "ORC^1^1^1")
        said = await answered(peer, replacement("RP", "NEVER", "NEW1"))
        assert (said.get("MSA-1"), said.get("ERR-3.1")) == ("AE", "204")
        said = await answered(peer, replacement("RP", "OLD", "OLD"))
        assert (said.get("MSA-1"), said.get("ERR-3.1")) == ("AR", "205")
    assert (await row_of(store, "OLD")).status == "active"


async def test_a_replacement_alone_is_an_order_like_any_other(store: Store) -> None:
    async with listening(store) as (_, connect):
        peer = await connect()
        raw = orm("RO", placer="NEW")
        assert (await answered(peer, raw)).get("MSA-1") == "AA"
    assert (await row_of(store, "NEW")).status == "active"
