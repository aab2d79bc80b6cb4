"""HL7 clients and servers that nobody here wrote: python-hl7, hl7apy, node-hl7-client and node-hl7-server."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hl7
import hl7.client
import hl7.mllp
import hl7apy.core
import hl7apy.mllp
import hl7apy.parser
import pytest

from interop.hl7.line import Line
from interop.jobs import Backoff, JobRunner, SendJobs
from interop.jobs.runner import Lane
from interop.mapping.peers import Receiver
from interop.mllp_sender import MllpSender
from interop.store import MessageRow, Store
from tests.hl7_messages import adt, orm, oru
from tests.hospital import Hospital, an_order
from tests.mllp_door import listening
from tests.sites import RIS, a_site

ROOT = Path(__file__).resolve().parents[2]
NODE = {**os.environ, "NODE_PATH": str(ROOT / "build/peers/node_modules")}
NAMED = ("AA", "C1"), ("AE", "C2"), ("AA", "C3")  # what each client is to be told of these:


def three() -> list[bytes]:
    """An order, a cancel of one that is not there, a patient: in Greek."""
    return [orm(id="C1"), orm("CA", "NONE", id="C2"), adt(id="C3")]


async def test_python_hl7s_client(store: Store) -> None:
    async with listening(store) as (listener, _):

        def talk() -> list[tuple[str, str]]:
            found = []
            with hl7.client.MLLPClient("127.0.0.1", listener.port) as client:
                for raw in three():
                    answer = hl7.parse(client.send_message(hl7.parse(raw.decode())).strip(b"\x0b\x1c\r").decode())
                    found.append((str(answer["MSA.F1"]), str(answer["MSA.F2"])))
            return found

        assert tuple(await asyncio.to_thread(talk)) == NAMED
    (patient,) = await Hospital(store, a_site()).found("Patient", None, "100234")
    assert patient["name"][0]["family"] == "Παπαδόπουλος"


async def test_python_hl7s_streams_without_waiting_for_answers(store: Store) -> None:
    async with listening(store) as (listener, _):
        reader, writer = await hl7.mllp.open_hl7_connection("127.0.0.1", listener.port, encoding="utf-8")
        for raw in three():
            writer.writemessage(hl7.parse(raw.decode()))
        answers = [await reader.readmessage() for _ in range(3)]
        assert tuple((str(one["MSA.F1"]), str(one["MSA.F2"])) for one in answers) == NAMED
        writer.close()
        await writer.wait_closed()


async def test_messages_that_hl7apy_built_and_answers_that_it_validates(store: Store) -> None:
    made = hl7apy.core.Message("ADT_A01", version="2.5.1")
    made.msh.msh_3, made.msh.msh_4, made.msh.msh_9, made.msh.msh_10 = "RIS", "HOSP", "ADT^A01^ADT_A01", "C9"
    made.msh.msh_11, made.msh.msh_18 = "P", "UNICODE UTF-8"
    made.evn.evn_2 = "20260101101010"
    made.pid.pid_3, made.pid.pid_5 = "100234^^^HOSP^MR", "Παπαδόπουλος^Νίκος"
    made.pv1.pv1_2 = "O"
    async with listening(store) as (listener, _):

        def talk() -> str:
            with socket.create_connection(("127.0.0.1", listener.port)) as connection:
                connection.sendall(made.to_mllp().encode())
                return connection.recv(65536).decode().strip("\x0b\x1c\r")

        text = await asyncio.to_thread(talk)
    answer = hl7apy.parser.parse_message(text, validation_level=hl7apy.consts.VALIDATION_LEVEL.STRICT)
    assert answer.validate()
    assert (answer.msa.msa_1.value, answer.msa.msa_2.value) == ("AA", "C9")
    assert await Hospital(store, a_site()).found("Patient", None, "100234")


async def node_client(port: int, how: str, raws: list[bytes]) -> list[tuple[str, str]]:
    """What node-hl7-client was answered."""
    process = await asyncio.create_subprocess_exec(
        "node", str(ROOT / "tests/peers/client.cjs"), str(port), how,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=NODE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, error = await process.communicate(json.dumps([raw.decode().rstrip("\r") for raw in raws]).encode())
    assert (process.returncode, error.decode()) == (0, "")
    return [(line["code"], line["id"]) for line in map(json.loads, out.splitlines())]


async def test_node_hl7_client(store: Store) -> None:
    large = oru(id="C4", filler="F4", placer="", text="α" * 200_000)
    async with listening(store) as (listener, _):
        assert await node_client(listener.port, "each", [*three(), large]) == [*NAMED, ("AA", "C4")]
        assert listener.counts["faults"] == 0


@pytest.mark.parametrize("how", ["batch", "file"])
async def test_batches_of_node_hl7_client(store: Store, how: str) -> None:
    async with listening(store) as (listener, _):
        answered = await node_client(listener.port, how, three())
        assert answered[0] == NAMED[0]  # it reads the first frame of what comes at once, and passes over the rest
        assert (listener.counts["AA"], listener.counts["AE"], listener.counts["AR"]) == (2, 1, 0)
        assert (listener.counts["faults"], listener.counts["batch counts wrong"]) == (0, 0)


@dataclass
class Place:
    """Where a server of the test listens, and the control ids that it read."""

    host: str
    port: int
    seen: list[str] = field(default_factory=list)


@asynccontextmanager
async def python_hl7_server() -> AsyncIterator[Place]:
    """python-hl7's server, many messages on a connection."""

    async def answer(reader: Any, writer: Any) -> None:
        try:
            while True:
                message = await reader.readmessage()
                place.seen.append(str(message["MSH.F10"]))
                writer.writemessage(message.create_ack("AA"))
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await hl7.mllp.start_hl7_server(answer, "127.0.0.1", 0, encoding="utf-8")
    place = Place("127.0.0.1", server.sockets[0].getsockname()[1])
    async with server:
        yield place


class _Accepting(hl7apy.mllp.AbstractHandler):  # type: ignore[misc]
    """Accepts what hl7apy can read."""

    def __init__(self, message: str, seen: list[str]) -> None:
        super().__init__(message)
        self._seen = seen

    def reply(self) -> str:
        read = hl7apy.parser.parse_message(self.incoming_message, find_groups=False)
        self._seen.append(read.msh.msh_10.value)
        answer = hl7apy.core.Message("ACK", version="2.5.1")
        answer.msh.msh_10, answer.msh.msh_11 = f"A{read.msh.msh_10.value}"[:20], "P"
        answer.msa.msa_1, answer.msa.msa_2 = "AA", read.msh.msh_10.value
        framed: str = answer.to_mllp()
        return framed


@contextmanager
def hl7apy_server() -> Iterator[Place]:
    """hl7apy's server: one message on a connection, which it closes then."""
    seen: list[str] = []
    server = hl7apy.mllp.MLLPServer("127.0.0.1", 0, {"ORM^O01^ORM_O01": (_Accepting, seen)})
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield Place("127.0.0.1", server.server_address[1], seen)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@asynccontextmanager
async def node_server() -> AsyncIterator[Place]:
    """node-hl7-server, a process of its own."""
    process = await asyncio.create_subprocess_exec(
        "node", str(ROOT / "tests/peers/server.cjs"), stdout=asyncio.subprocess.PIPE, env=NODE
    )
    assert process.stdout is not None
    out = process.stdout
    try:
        async with asyncio.timeout(20):
            place = Place("127.0.0.1", int(await out.readline()))

        async def read() -> None:
            while line := await out.readline():
                place.seen.append(json.loads(line)["id"])

        reading = asyncio.create_task(read())
        yield place
    finally:
        process.terminate()
        await process.wait()
        await reading


async def delivered(store: Store, place: Place, orders: int = 1, connections: int = 1) -> list[MessageRow]:
    """Orders placed, changed and cancelled, told to this receiver by the jobs: the messages once none is owed."""
    receiver: Receiver = replace(RIS, host=place.host, port=place.port, line=Line(connections=connections))
    hospital = Hospital(store, a_site(receiver))
    subject = await hospital.patient()
    for number in range(1, orders + 1):
        order = (await hospital.post(an_order(subject, f"P{number}"))).resource()
        order = (await hospital.put({**order, "occurrenceDateTime": "2026-11-22T08:00:00+02:00"})).resource()
        await hospital.put({**order, "status": "revoked"})
    sender = MllpSender(reply_seconds=5, connect_seconds=5)
    jobs = SendJobs(store, sender, (receiver,), silence=0.0)
    runner = JobRunner(store, {"send": Lane(jobs, backoff=Backoff(first=0.02, most=0.1))}, poll=0.02)
    task = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(30):
            while any(row.state == "queued" for row in await hospital.outgoing()):
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.close()
    return await hospital.outgoing()


async def test_orders_reach_python_hl7s_server(store: Store) -> None:
    async with python_hl7_server() as place:
        rows = await delivered(store, place)
    assert [(row.state, row.ack_code) for row in rows] == [("sent", "AA")] * 3
    assert place.seen == [row.control_id for row in rows]


def in_their_order(place: Place, rows: list[MessageRow]) -> bool:
    """Whether all came, and each order's messages in the order they were rendered."""
    came = list(dict.fromkeys(place.seen))
    lives = {row.order_id: [one.control_id for one in rows if one.order_id == row.order_id] for row in rows}
    return sorted(came) == sorted(row.control_id for row in rows) and all(
        [id for id in came if id in life] == life for life in lives.values()
    )


@pytest.mark.parametrize("who", ["python-hl7", "hl7apy", "node"])
async def test_several_orders_at_once_reach_each_of_them(store: Store, who: str) -> None:
    async with AsyncExitStack() as stack:
        if who == "hl7apy":
            place = stack.enter_context(hl7apy_server())
        else:
            place = await stack.enter_async_context(node_server() if who == "node" else python_hl7_server())
        rows = await delivered(store, place, orders=6, connections=3)
    assert in_their_order(place, rows)
    assert {(row.state, row.ack_code) for row in rows} == {("sent", "AA")}


async def test_orders_reach_hl7apys_server_which_hangs_up_after_each(store: Store) -> None:
    with hl7apy_server() as place:
        rows = await delivered(store, place)
    assert [(row.state, row.ack_code) for row in rows] == [("sent", "AA")] * 3
    assert list(dict.fromkeys(place.seen)) == [row.control_id for row in rows]


async def test_orders_reach_node_hl7_server(store: Store) -> None:
    async with node_server() as place:
        rows = await delivered(store, place)
    assert [(row.state, row.ack_code) for row in rows] == [("sent", "AA")] * 3
    assert list(dict.fromkeys(place.seen)) == [row.control_id for row in rows]
