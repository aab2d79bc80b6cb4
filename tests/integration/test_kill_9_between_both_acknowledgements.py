"""SIGKILL to the server in a stream of enhanced mode: what was accepted is told to the application once, in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import islice

from interop.hl7.framing import frame
from interop.hl7.message import parse
from interop.store import Tx
from interop.testing.listener import HL7Listener
from interop.testing.sender import NoAnswerError
from tests.hl7_messages import asking, orm
from tests.real_server import RealServer

MESSAGES = 120
UNDER_WAY, KILLED_AT = 40, 30
PEERS = """\
[[receiver]]
name = "RIS"
host = "{host}"
port = {port}
application = "RIS"
facility = "HOSP"
types = ["ACK^O01"]
"""


def states(tx: Tx) -> list[str]:
    return [row.state for row in tx.find_messages(direction="out", limit=1000)]


def test_killed_between_the_accept_acknowledgement_and_the_applications(
    real_server: Callable[..., RealServer],
) -> None:
    raws = {f"C{n:03}": asking(orm(id=f"C{n:03}", placer=f"P{n:03}"), "AL", "AL") for n in range(MESSAGES)}
    accepted: dict[str, bytes] = {}
    server = real_server(command="serve")
    with HL7Listener(answer="CA") as ris:
        (server.folder / "peers.toml").write_text(PEERS.format(host=ris.host, port=ris.port))
        server.start("/healthz")

        def feed() -> None:
            try:
                with server.sender() as sender:
                    frames = map(frame, raws.values())
                    sender.send_bytes(b"".join(islice(frames, UNDER_WAY)))
                    while len(accepted) < MESSAGES:
                        answer = sender.receive()
                        told = parse(answer)
                        if told.get("MSA-1") != "CA":
                            continue
                        accepted[told.get("MSA-2")] = answer
                        if len(accepted) == KILLED_AT:  # as many more at most were answered by then
                            server.kill()
                        elif len(accepted) < KILLED_AT:
                            sender.send_bytes(next(frames))
            except NoAnswerError:
                return  # killed

        feeding = threading.Thread(target=feed, daemon=True)
        feeding.start()
        feeding.join(60)
        assert KILLED_AT <= len(accepted) < MESSAGES, "the kill came while the stream ran"
        owed = server.read(lambda tx: tx.find_messages(direction="out", limit=1000))
        assert len(owed) >= len(accepted), "an accepted message has its application's answer in the same commit"

        server.start("/healthz")
        with server.sender() as sender:
            for id, raw in raws.items():
                sender.send_bytes(frame(raw))
                accept, application = sender.receive(), sender.receive()
                assert (parse(accept).get("MSA-1"), parse(application).get("MSA-1")) == ("CA", "AA")
                assert accepted.get(id, accept) == accept, "a repeat gets the answer that was stored"
        deadline = time.monotonic() + 30
        while set(found := server.read(states)) != {"sent"} and time.monotonic() < deadline:
            time.sleep(0.1)
        assert found == ["sent"] * MESSAGES
        assert len(server.read(lambda tx: tx.find_orders(limit=1000))) == MESSAGES
        twice = [parse(raw).get("MSA-2") for raw in ris.messages]
        assert len(set(ris.messages)) == len(set(twice)), "what is sent again is sent under the same MSH-10"
