"""How the feeds stand: the last error of a receiver is the last there was, not that of its newest message."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from interop.access.agent import Agent, system_agent
from interop.errors import UnavailableError
from interop.hl7_api import status_of
from interop.hl7_api.status import PeerStatus
from interop.jobs import LaterError, SendJobs
from interop.store import Job, PeerNote, Store, Tx
from interop.workflow import stray_answers
from tests.hospital import Hospital, an_order
from tests.sites import RIS, a_site
from tests.unit.jobs.test_send import Wire, answered, run


async def ris(store: Store) -> PeerStatus:
    found = await store.view(lambda tx: status_of(tx, ["RIS"]))
    return next(one for one in found.peers if one.direction == "out")


async def failed(store: Store, job: Job, why: str) -> None:
    """An attempt that met no answer, of a sender that has no memory of the one before."""
    try:
        await SendJobs(store, Wire([UnavailableError(why)]), (RIS,))(job)
    except LaterError as error:
        await store.unit(error.outcome.agent, error.outcome.keep)


async def test_the_last_error_is_the_last_whichever_message_met_it(store: Store) -> None:
    hospital = Hospital(store, a_site(RIS))
    patient = await hospital.patient()
    for number in (1, 2):
        await hospital.post(an_order(patient, placer=f"P{number}"))
    older, newer = sorted(await store.claim(["send"], 10, 60), key=lambda job: job.id)
    await failed(store, newer, "connection refused")
    await failed(store, older, "no answer in 2 s")
    assert (await ris(store)).last_error == "no answer in 2 s"


async def test_what_an_application_refuses_after_ca_is_the_last_error(store: Store) -> None:
    receiver = replace(RIS, enhanced=True)
    hospital = Hospital(store, a_site(receiver))
    await hospital.post(an_order(await hospital.patient()))
    (job,) = await store.claim(["send"], 10, 60)

    def refused_before(tx: Tx) -> None:
        tx.note_peers([PeerNote("out", "RIS", last_error="refused", last_error_at=tx.now - timedelta(days=1))])

    await store.unit(system_agent("test"), refused_before)
    await run(store, SendJobs(store, Wire([answered("CA")]), (receiver,)), job)
    (row,) = await store.view(lambda tx: tx.find_messages(direction="out"))
    raw = f"MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20260101||ACK|A1|P|2.5.1\rMSA|AE|{row.control_id}\r".encode()
    await store.unit(Agent("RIS|HOSP", "peer"), lambda tx: stray_answers.keep(tx, hospital.site, raw, "127.0.0.1"))
    standing = await ris(store)
    assert (standing.dead, standing.refused, standing.last_error) == (1, 1, "RIS answered AE")
