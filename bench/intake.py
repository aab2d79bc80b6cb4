"""Durable intake of ORM^O01 against two servers that keep nothing."""

from __future__ import annotations

from pathlib import Path

from bench.figures import Figure, against, rate_figure
from bench.load import Load, Outcome
from bench.parts import Server, generate, peer

PATIENTS = 200
ROUNDS = 3
TITLE = "HL7 v2 intake"
EXPLANATION = """\
ORM^O01 (NW, a CT order with a Greek name, 7 segments) over 16 connections, one message under way on each. Ours: parsed,
mapped, order and worklist job committed, fsynced, audited, then acknowledged AA, with the worklist files of these very
orders being written meanwhile. The peers store nothing and answer with a constant. python-hl7's reader parses each
message (`readmessage`, as its documentation has it); asked for the framed bytes alone (`readblock`) it shows what
Python's asyncio can carry. hl7apy's server parses and closes the connection after each message."""


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


def measure(server: Server, folder: Path) -> list[Figure]:
    """The three servers in turn, three times over; hl7apy's once, it is far away."""
    templates = [order(number) for number in range(PATIENTS)]
    ours: list[Outcome] = []
    blocks: list[Outcome] = []
    messages: list[Outcome] = []
    first = 0
    with (
        peer("bench.peers.python_hl7", "block", folder=folder) as constant,
        peer("bench.peers.python_hl7", "message", folder=folder) as parsing,
        peer("bench.peers.hl7apy_server", folder=folder) as hl7apy,
    ):
        generate(Load(server.mllp_port, "mllp", templates, seconds=2, good="MSA|AA|B"))  # every patient is known
        first = 1_000_000
        for _ in range(ROUNDS):
            blocks.append(generate(Load(constant, "mllp", templates, seconds=4, first=first, good="MSA|AA|")))
            ours.append(generate(Load(server.mllp_port, "mllp", templates, seconds=6, first=first, good="MSA|AA|B")))
            messages.append(generate(Load(parsing, "mllp", templates, seconds=3, first=first, good="MSA|AA|")))
            first += 1_000_000
        slow = [generate(Load(hl7apy, "mllp", templates, seconds=6, first=first, good="MSA|AA|", reconnect=True))]
    return [
        rate_figure("ours, durable", ours),
        rate_figure(
            "python-hl7 as documented: parsed, constant ACK",
            messages,
            ratio=f"ours is {against(ours, messages)}",
            goal="≥ 0.7×",
        ),
        rate_figure("python-hl7, bytes unread, constant ACK", blocks, ratio=f"ours is {against(ours, blocks)}"),
        rate_figure("hl7apy, parsed, constant ACK", slow, ratio=f"ours is {against(ours, slow)}", goal="≥ 20×"),
    ]
