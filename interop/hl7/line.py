"""How one receiver is to be spoken to over MLLP: times, TLS, and what it does otherwise than the standard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from interop.errors import UnavailableError

Answers = Literal["framed", "unframed", "none"]
ANSWERS: tuple[Answers, ...] = ("framed", "unframed", "none")


class NotTriedError(UnavailableError):
    """Nothing was sent: another message to the same receiver had come to nothing just before."""


@dataclass(frozen=True, slots=True)
class Line:
    """The wire to one receiver; the defaults are MLLP release 1 over one connection that is kept open."""

    connect_seconds: float = 5.0
    answer_seconds: float = 30.0  # past that the connection is closed: a late answer is nobody's
    pause_seconds: float = 0.0  # between two messages
    one_message_per_connection: bool = False
    answers: Answers = "framed"  # unframed: without VT or FS, ended by silence; none: written is sent
    tls: bool = False
    ca: str = ""  # PEM authorities; the system's unless set
    cert: str = ""  # PEM client certificate, for receivers that want one
    key: str = ""  # its key, unless in the same file
    server_name: str = ""  # the name in the receiver's certificate, unless it is the host
    connections: int = 1  # kept open at once, with one message on its way over each
    mllp: int = 1  # release; 2: a commit block comes before the answer, and one goes back for it
    keepalive_seconds: float = 120.0  # of silence after which TCP asks whether the receiver is still there
