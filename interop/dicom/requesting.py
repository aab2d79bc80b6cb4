"""A mend for pynetdicom 3.0: a requestor's answers that its reactor takes away.

Before a message is sent, ``Association.send_*`` asks the association's reactor thread to pause and waits until it says
that it has. A reactor that was let go a moment ago, and not given the processor since, still says so from the time
before; it goes on then, finds the answer in the queue and drops it, and the sender waits until its time-out. On a
loaded machine that is one C-STORE in some thousands.
"""

from __future__ import annotations

import socket
import threading
from typing import Any


class Checkpoint(threading.Event):
    """Where the reactor waits while it has to pause; whoever passes is no longer said to be pausing."""

    def __init__(self, association: Any) -> None:
        super().__init__()
        self._association = association
        self._passing = threading.Lock()
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until the reactor may go on; whether it may."""
        while super().wait(timeout):
            with self._passing:
                if self.is_set():
                    self._association._is_paused = False
                    return True
        return False

    def clear(self) -> None:
        """From now on the reactor is to pause: it waits here already, or says that it does not."""
        with self._passing:
            super().clear()


def prepare(event: Any) -> None:
    """To be called for ``evt.EVT_CONN_OPEN`` of an association that we ask for, before its reactor runs.

    Turns Nagle's algorithm off too: each C-STORE is a few small writes, the last of which it would hold until an
    acknowledgement.
    """
    association = event.assoc
    association._reactor_checkpoint = Checkpoint(association)
    association.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
