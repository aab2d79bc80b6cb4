"""An order with a letter for which one receiver's character set has no place: taken, and told to the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interop.access.agent import system_agent
from interop.fhir.query import Query
from interop.hl7.message import parse
from interop.store import Store
from interop.workflow import outbox
from tests.hl7_messages import orm
from tests.hospital import Hospital
from tests.sites import RIS, a_site

AGENT = system_agent("test")
NAME = "Γεωργίου^Άννα"


@pytest.mark.parametrize("charset", ["ASCII", "8859/1", "WINDOWS-1252", "KS X 1001", "BIG-5"])
async def test_a_receiver_that_cannot_be_told_keeps_no_order_from_being_taken(store: Store, charset: str) -> None:
    other = replace(RIS, name="OLD", application="OLD", charset=charset)
    hospital = Hospital(store, a_site(RIS, other))
    raw = orm(id="C1", sender="EMR|HOSP").decode()
    reply = await hospital.send(named(raw, NAME).encode())
    assert reply.code == "AA", reply.issues
    told, dead = sorted(await hospital.outgoing(), key=lambda row: row.state, reverse=True)
    assert (told.peer, told.state, dead.peer, dead.state) == ("RIS", "queued", "OLD", "dead")
    assert parse(dead.raw).get("PID-5.1") == parse(told.raw).get("PID-5.1") == "Γεωργίου"
    assert parse(dead.raw).get("MSH-18") == "UNICODE UTF-8"
    assert "has no place in" in dead.issues[0]["text"]
    assert "(PID)" in dead.issues[0]["text"]
    assert len(await store.claim(["send"], 10, 60)) == 1
    events = await store.view(lambda tx: [one.resource() for one in tx.search(Query("AuditEvent")).rows])
    assert [one["subtype"][0]["code"] for one in events].count("message-unwritable") == 1
    await store.unit(AGENT, lambda tx: outbox.resend(tx, dead))
    assert len(await store.claim(["send"], 10, 60)) == 1


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("8859/7", "Γεωργίου^Άννα"),
        ("WINDOWS-1253", "Γεωργίου^Άννα"),
        ("8859/5", "Петров^Иван"),
        ("GB 18030-2000", "王^小明"),
        ("ISO IR87", "山田^太郎"),
        ("8859/1", "Müller^Jürgen"),
    ],
)
async def test_what_a_set_can_say_goes_out_in_it(store: Store, charset: str, name: str) -> None:
    hospital = Hospital(store, a_site(replace(RIS, charset=charset)))
    assert (await hospital.send(named(orm(id="C1", sender="EMR|HOSP").decode(), name).encode())).code == "AA"
    (row,) = await hospital.outgoing()
    assert (row.state, parse(row.raw).get("PID-5.1")) == ("queued", name.partition("^")[0])
    assert charset in parse(row.raw).get("MSH-18") or charset in parse(row.raw).get("MSH[1]-18[2]")


def named(raw: str, name: str) -> str:
    """The message about a patient of this name."""
    lines = raw.split("\r")
    at = next(number for number, line in enumerate(lines) if line.startswith("PID|"))
    fields = lines[at].split("|")
    fields[5] = name
    lines[at] = "|".join(fields)
    header = lines[0].split("|")
    header += [""] * (18 - len(header))
    header[17] = "UNICODE UTF-8"
    return "\r".join(["|".join(header), *lines[1:]])
