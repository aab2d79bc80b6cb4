"""SIGKILL to the server in a stream of orders: what was acknowledged is there, and nothing is there twice."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from interop.fhir.query import Query
from interop.hl7.framing import frame
from interop.hl7.message import parse
from interop.orthanc.holders import holder_of
from interop.store import Tx
from interop.testing.sender import NoAnswerError
from tests.hl7_messages import orm
from tests.real_server import RealServer, gone

MESSAGES, CONNECTIONS, PATIENTS, WINDOW = 500, 4, 7, 8
STATIONS = {"CT": "CT1", "MR": "MR1", "US": "US1"}

MakeServer = Callable[..., RealServer]
Acknowledged = dict[str, bytes]


def stream() -> dict[str, bytes]:
    """The messages by control id: each an order of its own, the patients in turn."""
    modalities = sorted(STATIONS)
    return {
        f"C{n:04}": orm(
            id=f"C{n:04}",
            placer=f"P{n:04}",
            modality=modalities[n % len(modalities)],
            patient=f"PID|1||{n % PATIENTS}^^^HOSP^MR||Παπαδόπουλος^Νίκος||19670321|M",
        )
        for n in range(MESSAGES)
    }


def feed(server: RealServer, messages: Iterable[tuple[str, bytes]], acknowledged: Acknowledged) -> None:
    """Send over one connection, a few messages ahead of their answers, until all are answered or the line breaks."""
    waiting = list(messages)
    on_the_way: list[str] = []
    try:
        with server.sender() as sender:
            while waiting or on_the_way:
                while waiting and len(on_the_way) < WINDOW:
                    control_id, raw = waiting.pop(0)
                    sender.send_bytes(frame(raw))
                    on_the_way.append(control_id)
                answer = sender.receive()
                told = parse(answer)
                assert (told.get("MSA-1"), told.get("MSA-2")) == ("AA", on_the_way.pop(0))
                acknowledged[told.get("MSA-2")] = answer
    except NoAnswerError:
        return  # killed; what was not answered will be sent again


def feed_all(server: RealServer, messages: dict[str, bytes], acknowledged: Acknowledged) -> list[threading.Thread]:
    """The messages over several connections at once."""
    rows = list(messages.items())
    parts = [rows[n::CONNECTIONS] for n in range(CONNECTIONS)]
    threads = [threading.Thread(target=feed, args=(server, part, acknowledged), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    return threads


def stored_messages(tx: Tx) -> dict[str, list[tuple[bytes, bytes | None]]]:
    """Raw bytes and answers of all incoming messages, by control id."""
    found: dict[str, list[tuple[bytes, bytes | None]]] = {}
    for row in tx.find_messages(direction="in", limit=10_000):
        found.setdefault(row.control_id, []).append((row.raw, row.ack))
    return found


def test_killed_in_a_stream_of_five_hundred_orders(real_server: MakeServer) -> None:
    server = real_server()
    server.start()
    archive = server.archive_pid()
    messages = stream()
    deaf = dict(list(messages.items())[:10])  # one sender never hears its answers
    acknowledged: Acknowledged = {}

    chance = random.Random()
    moment = chance.randrange(40, 400)
    with server.sender() as sender:
        sender.send_bytes(b"".join(map(frame, deaf.values())))
        threads = feed_all(server, {id: raw for id, raw in messages.items() if id not in deaf}, acknowledged)
        while len(acknowledged) < moment:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.02)
        server.kill()
    for thread in threads:
        thread.join(30)
    assert moment <= len(acknowledged) < MESSAGES, "the kill came while the stream ran"
    assert gone(archive), "the Orthanc child goes with its parent"
    before = server.read(stored_messages)
    for control_id in acknowledged:
        assert before[control_id] == [(messages[control_id], acknowledged[control_id])]
    unheard = {id: rows[0][1] for id, rows in before.items() if id not in acknowledged}
    assert unheard.keys() >= deaf.keys(), "these were committed, and their senders do not know"

    server.start()
    repeated: Acknowledged = {}
    again = {id: raw for id, raw in messages.items() if id not in acknowledged}
    for thread in feed_all(server, again, repeated):
        thread.join(60)
    assert repeated.keys() == again.keys()
    assert {id: repeated[id] for id in unheard} == unheard, "a repeat gets the answer that was stored"
    one = next(iter(acknowledged))
    with server.sender() as sender:
        assert sender.send(messages[one]) == acknowledged[one]
    everything_is_there_once(server, messages)


def everything_is_there_once(server: RealServer, messages: dict[str, bytes]) -> None:
    after = server.read(stored_messages)
    assert {id: [raw for raw, _ in rows] for id, rows in after.items()} == {id: [raw] for id, raw in messages.items()}
    for id in random.sample(sorted(messages), 2):
        command = [sys.executable, "-m", "interop", "hl7", "show", id, "--raw"]
        shown = subprocess.run(command, env=server.environment, capture_output=True, check=True)
        assert shown.stdout == messages[id]

    orders = server.read(lambda tx: tx.find_orders(limit=10_000))
    placers = Counter(order.placer.value for order in orders if order.placer)
    assert placers == Counter({f"P{n:04}": 1 for n in range(MESSAGES)})
    for numbers in ([each.accession for each in orders], [each.study_uid for each in orders]):
        assert len(set(numbers)) == MESSAGES
    counts = server.counts()
    assert (counts["Patient"], counts["ServiceRequest"]) == (PATIENTS, MESSAGES)
    patients = server.read(lambda tx: [row.resource() for row in tx.search(Query("Patient", count=100)).rows])
    assert sorted(each["identifier"][0]["value"] for each in patients) == [str(n) for n in range(PATIENTS)]

    wanted = Counter((each.accession.value, aet) for each in orders if each.accession for aet in each.stations)
    assert {aet for _, aet in wanted} == set(STATIONS.values())
    assert server.worklist() == wanted


def test_a_start_that_meets_the_old_one_still_closing_waits(real_server: MakeServer) -> None:
    server = real_server(command="up")
    server.start()
    assert server.send(orm(id="OLD", placer="P1")).get("MSA-1") == "AA"
    old, archive = server.process, server.archive_pid()
    assert old is not None
    old.terminate()
    server.start()  # at once: the old one still holds the database, the ports and Orthanc's index
    assert old.wait(10) == 0
    assert gone(archive)
    assert server.archive_pid() != archive
    assert server.order("P1")["status"] == "active"
    assert server.stop() == 0
    assert holder_of(server.settings.orthanc_http_port) is None
