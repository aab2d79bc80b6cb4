"""Durable intake of ORM^O01 on both engines against servers that keep nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, against, rate_figure
from bench.load import Load, Outcome
from bench.parts import Server, generate, node_peer, peer, server
from tests.postgres import Cluster

PATIENTS = 200
ROUNDS = 2
CONNECTIONS = (1, 16, 64)
TITLE = "HL7 v2 intake"
EXPLANATION = """\
ORM^O01 (NW, a CT order with a Greek name, 7 segments) over 1, 16 and 64 connections, one message under way on each; the
time is from its last byte to its ACK. Ours: parsed, mapped, order and worklist job committed, fsynced, audited, then
acknowledged AA, with the worklist files of these very orders being written meanwhile; on SQLite, and on a PostgreSQL
that fsyncs on the same machine. The peers store nothing and answer with a constant. python-hl7's reader parses each
message (`readmessage`, as its documentation has it); asked for the framed bytes alone (`readblock`) it shows what
Python's asyncio can carry. node-hl7-server parses and answers by its own `sendResponse`. hl7apy's server parses and
closes the connection after each message."""


def order(patient: int) -> str:
    """A new order for one of the patients; its numbers come from the counter."""
    return (
        "\r".join(
            (
                "MSH|^~\\&|RIS|HOSP|INTEROP|IMG|20261201080000||ORM^O01|B@@@@@@@@|P|2.5.1|||||CYP|UNICODE UTF-8",
                f"PID|1||B{patient:05d}^^^HOSP^MR||Παπαδόπουλος^Νίκος^{patient}||19580402|M",
                "PV1|1|O|ECHO^1^1",
                "ORC|NW|PL@@@@@@@@^HOSP|||||^^^20261202093000||20261201080000|||1234^Georgiou^Anna",
                "OBR|1|PL@@@@@@@@^HOSP||71260^CT chest with contrast^C4||||||||||||||||||||CT|||^^^20261202093000",
                "DG1|1||R07.9^Chest pain^I10",
                "NTE|1||Claustrophobia; please call the ward before transport.",
            )
        )
        + "\r"
    )


OURS = ("ours, durable, SQLite", "ours, durable, PostgreSQL")
PARSING = "python-hl7 as documented: parsed, constant ACK"
NODE = "node-hl7-server: parsed, constant ACK"
BLOCKS = "python-hl7, bytes unread, constant ACK"


@dataclass(frozen=True, slots=True)
class Contender:
    """Who answers, on which port, how that is known for a good answer, and for how long it is asked each time."""

    port: int
    good: str
    seconds: float


@contextmanager
def contenders(folder: Path) -> Iterator[dict[str, Contender]]:
    """All that are measured in turn, up while the context lasts."""
    with ExitStack() as stack:
        cluster = Cluster(durable=True)
        stack.callback(cluster.remove)
        urls = {OURS[0]: "", OURS[1]: cluster.url(cluster.create_database())}
        servers: dict[str, Server] = {
            name: stack.enter_context(server(folder / f"intake-{number}", url))
            for number, (name, url) in enumerate(urls.items())
        }
        constant = stack.enter_context(peer("bench.peers.python_hl7", "block", folder=folder))
        parsing = stack.enter_context(peer("bench.peers.python_hl7", "message", folder=folder))
        node = stack.enter_context(node_peer("bench/peers/node_hl7_server.cjs", folder=folder))
        yield {
            **{name: Contender(one.mllp_port, "MSA|AA|B", 4) for name, one in servers.items()},
            PARSING: Contender(parsing, "MSA|AA|", 2),
            NODE: Contender(node, "MSA|AA|", 2),
            BLOCKS: Contender(constant, "MSA|AA|", 2),
        }


def measure(folder: Path) -> list[Figure]:
    """Everybody in turn, over as many connections as each time is said; hl7apy's once, it is far away."""
    templates = [order(number) for number in range(PATIENTS)]
    figures: list[Figure] = []
    first = 1_000_000
    with contenders(folder) as asked:
        for name in OURS:  # every patient is known afterwards
            generate(Load(asked[name].port, "mllp", templates, seconds=2, good=asked[name].good))
        for connections in CONNECTIONS:
            found: dict[str, list[Outcome]] = {name: [] for name in asked}
            for _ in range(ROUNDS):
                for name, one in asked.items():
                    load = Load(one.port, "mllp", templates, connections, one.seconds, first, one.good)
                    found[name].append(generate(load))
                    first += 1_000_000
            figures += _figures(connections, found)
        with peer("bench.peers.hl7apy_server", folder=folder) as port:
            slow = [generate(Load(port, "mllp", templates, seconds=5, first=first, good="MSA|AA|", reconnect=True))]
        ours = [generate(Load(asked[OURS[0]].port, "mllp", templates, 16, 4, first, asked[OURS[0]].good))]
    ratio = f"ours on SQLite is {against(ours, slow)}"
    return [*figures, rate_figure("hl7apy: parsed, constant ACK, 16 connections", slow, ratio=ratio, goal="≥ 20×")]


def _figures(connections: int, found: Mapping[str, list[Outcome]]) -> list[Figure]:
    """The goal is that of SQLite at 16 connections, where it has been from the first measurement on."""
    spoken = "1 connection" if connections == 1 else f"{connections} connections"
    figures = []
    for name, outcomes in found.items():
        ratio = goal = ""
        if name in OURS:
            to = {"python-hl7": PARSING, "node-hl7-server": NODE}
            ratio = ", ".join(f"{against(outcomes, found[theirs])} of {short}" for short, theirs in to.items())
            goal = "≥ 0.7× of python-hl7" if (name, connections) == (OURS[0], 16) else ""
        figures.append(rate_figure(f"{name}, {spoken}", outcomes, ratio=ratio, goal=goal))
    return figures
